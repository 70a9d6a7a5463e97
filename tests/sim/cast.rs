//! Who takes part in a story, drawn by seed: the model, the servers, the app's functions, and the agent's options.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::options::FunctionId;
use edgewise::sim::{AppAnswer, Faults, Rng, ScriptedMcp, ScriptedModel, SimPlatform, ToolKind, Wire};
use edgewise::time::Millis;
use serde_json::{Value, json};

pub const MODEL: &str = "https://model.test";
/// In every credential; must never be seen anywhere.
pub const SECRET: &str = "s3cr3t";

pub const APP_ADD: u32 = 10;
pub const APP_NOTE: u32 = 11;
pub const JUDGE: u32 = 20;
pub const TOKEN: u32 = 30;

/// What is drawn before the story begins.
pub struct Plan {
    /// No faults, no cancel, no denial: everything must go well.
    pub calm: bool,
    pub wire: Wire,
    pub faults: Faults,
    pub approval: Value,
    pub reads: bool,
    pub answers: bool,
    /// The user says no to some requests.
    pub denies: bool,
    pub max_turns: u64,
    pub servers: usize,
    pub connect_first: bool,
    pub runs: usize,
    pub goes_on: bool,
    pub direct_call: bool,
    /// The app closes the agent, or removes and adds a server, while runs go on.
    pub closes: bool,
    pub removes: bool,
    pub max_parallel: u64,
    /// The user says something while a run is under way.
    pub steers: bool,
    /// Runs pursue a goal.
    pub goal: bool,
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Plan {
        let calm = rng.chance(300);
        let faults = match rng.below(5) {
            _ if calm => Faults::default(),
            0 => Faults::default(),
            1 => Faults { reset: 150, truncated: 150, ..Faults::default() },
            // The server has done its work, but the client does not learn of it.
            2 => Faults { lost_answer: 150, stalled: 100, ..Faults::default() },
            _ => Faults::some(),
        };
        let judge = json!({ "$function": JUDGE });
        let approval = rng.pick(&["never", "writes", "writes", "always", "function"]);
        let answers = calm || rng.chance(700);
        Plan {
            calm,
            wire: rng.pick(&[Wire::Anthropic, Wire::OpenAi]),
            faults,
            approval: if approval == "function" { judge } else { json!(approval) },
            reads: answers || rng.chance(700),
            answers,
            denies: !calm && rng.chance(500),
            max_turns: rng.within(1..=6),
            servers: rng.pick(&[0, 1, 1, 1, 2, 3]),
            connect_first: rng.chance(200),
            runs: rng.pick(&[1, 1, 1, 2]),
            goes_on: rng.chance(250),
            direct_call: rng.chance(200),
            closes: !calm && rng.chance(100),
            removes: !calm && rng.chance(150),
            max_parallel: rng.within(1..=4),
            steers: rng.chance(300),
            goal: rng.chance(150),
        }
    }
}

pub fn add_model(sim: &SimPlatform, plan: &Plan, rng: &mut Rng) -> Rc<RefCell<ScriptedModel>> {
    let mut model = ScriptedModel::new(plan.wire, &format!("sk-{SECRET}"));
    model.talk = rng.pick(&[0, 600, 800, 950]);
    model.fails = if plan.calm { 0 } else { rng.pick(&[0, 50]) };
    model.dialects = rng.chance(500);
    model.strict = plan.calm;
    model.continued = plan.goes_on;
    let model = sim.host(MODEL, model);
    // Where answers of servers are lost, the model is well, so that there are many calls.
    sim.faults(MODEL, if plan.faults.lost_answer > 100 { Faults::default() } else { plan.faults });
    model
}

pub fn add_server(sim: &SimPlatform, plan: &Plan, index: usize, rng: &mut Rng) -> Rc<RefCell<ScriptedMcp>> {
    let mut server = ScriptedMcp::random(rng);
    server.token = Some(format!("tok-{SECRET}-{index}"));
    server.several_clients = plan.removes;
    if plan.calm {
        server.reliable = true;
        // Once can be mended.
        server.forgets_at_most = 1;
    }
    let origin = format!("https://mcp{index}.test");
    let server = sim.host(&origin, server);
    sim.faults(&origin, plan.faults);
    server
}

pub fn add_functions(sim: &SimPlatform, plan: &Plan) {
    let calm = plan.calm;
    for (id, kind) in [(APP_ADD, ToolKind::Add), (APP_NOTE, ToolKind::Note)] {
        sim.function(FunctionId(id), move |argument, rng| {
            let after = Millis(rng.within(0..=2_000));
            match (rng.below(8), kind.result(argument)) {
                (0, _) if !calm => AppAnswer::throws(after, "Error: the app is tired"),
                (1, _) if !calm => AppAnswer::never(),
                (_, Some(text)) => AppAnswer::value(after, json!(text)),
                (_, None) => AppAnswer::throws(after, "Error: bad arguments"),
            }
        });
    }
    sim.function(FunctionId(JUDGE), move |_, rng| match rng.below(6) {
        0 if !calm => AppAnswer::throws(Millis(5), "Error: cannot decide"),
        1 if !calm => AppAnswer::value(Millis(5), json!("yes")),
        _ => AppAnswer::value(Millis(rng.within(0..=3_000)), json!(rng.chance(500))),
    });
    for index in 0..plan.servers {
        sim.function(FunctionId(TOKEN + index as u32), move |_, rng| match rng.below(10) {
            0 if !calm => AppAnswer::throws(Millis(5), "Error: not signed in"),
            _ => AppAnswer::value(Millis(rng.within(0..=100)), json!(format!("tok-{SECRET}-{index}"))),
        });
    }
}

pub fn options(plan: &Plan, rng: &mut Rng) -> Value {
    let (provider, base) = match plan.wire {
        Wire::Anthropic => ("anthropic", MODEL.to_owned()),
        Wire::OpenAi => ("openai", format!("{MODEL}/v1")),
    };
    let server = |index: usize, rng: &mut Rng| {
        let fixed = json!(format!("tok-{SECRET}-{index}"));
        let asked = json!({ "$function": TOKEN + index as u32 });
        json!({
            "name": format!("s{index}"),
            "url": format!("https://mcp{index}.test/mcp"),
            "token": if rng.chance(500) { fixed } else { asked },
            "headers": { "x-extra": format!("extra-{SECRET}") },
            "timeoutMs": if plan.calm { 60_000 } else { rng.pick(&[3_000, 20_000, 60_000]) },
        })
    };
    let servers: Vec<Value> = (0..plan.servers).map(|index| server(index, rng)).collect();
    let mut tools = Vec::new();
    for (name, id, tool) in [("app_add", APP_ADD, ToolKind::Add), ("app_note", APP_NOTE, ToolKind::Note)] {
        if rng.chance(400) {
            let definition = tool.definition();
            tools.push(json!({
                "name": name,
                "description": definition["description"],
                "inputSchema": definition["inputSchema"],
                "annotations": definition["annotations"],
                "execute": { "$function": id },
            }));
        }
    }
    json!({
        "model": { "provider": provider, "id": "scripted", "baseUrl": base, "apiKey": format!("sk-{SECRET}") },
        "servers": servers,
        "tools": tools,
        "system": if rng.chance(500) { json!("Be brief.") } else { Value::Null },
        "approval": plan.approval,
        "limits": {
            "maxTurns": plan.max_turns,
            "turnTimeoutMs": if plan.calm { 60_000 } else { rng.pick(&[4_000, 60_000, 120_000]) },
            "maxParallelTools": plan.max_parallel,
            "maxAttempts": rng.within(1..=4),
            "toolTimeoutMs": if plan.calm { Value::Null } else { rng.pick(&[None, Some(2_000)]).into() },
        },
    })
}
