//! Conversations that are held for long: each turn costs what the first ones did, in requests, in what is stored and read, in
//! steps, in time and in memory.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::RunOptions;
use edgewise::drive::agent::Agent;
use edgewise::sim::SimPlatform;
use serde_json::Value;

use crate::compact::{World, agent, host};

const TURNS: usize = 1_000;

/// Says something in that conversation, and gives the last event.
fn send(sim: &SimPlatform, agent: &Agent<SimPlatform>, id: &str, prompt: String) -> Value {
    let (handle, driver) = agent.send(Some(id), prompt, RunOptions::default()).unwrap();
    sim.spawn("driver", driver);
    let end = sim.block_on(async move { handle.terminal().await }).unwrap_or_else(|stuck| panic!("{stuck:?}"));
    serde_json::from_str(&end).unwrap()
}

/// Hundredths of a second that this thread has worked, where the system tells.
fn worked() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[test]
fn a_conversation_of_a_thousand_turns_costs_no_more_at_its_end_than_at_its_beginning() {
    let sim = SimPlatform::new(1);
    let world = Rc::new(RefCell::new(World::looking()));
    host(&sim, &world);
    let agent = agent(&sim, 300);
    let costs = || {
        let sent = world.borrow().sent.iter().sum::<usize>() as u64;
        [("bytes sent", sent), ("records", sim.store_work()), ("steps", sim.polls())]
    };
    let (mut marks, mut clock, mut most) = (vec![costs()], vec![worked()], 0);
    for number in 0..TURNS {
        let end = send(&sim, &agent, "c", format!("remember: {number}"));
        assert_eq!(end["type"], "done", "{number}: {end}");
        let (known, messages) = agent.remembered();
        assert_eq!(known, 1);
        most = most.max(messages);
        if (number + 1) % (TURNS / 2) == 0 {
            marks.push(costs());
            clock.push(worked());
        }
    }
    for (place, (what, end)) in marks[2].into_iter().enumerate() {
        let (first, second) = (marks[1][place].1 - marks[0][place].1, end - marks[1][place].1);
        assert!(second < first * 11 / 10, "{what}: {first}, and then {second}");
    }
    if let [Some(begun), Some(half), Some(done)] = clock[..] {
        let (first, second) = (half - begun, done - half);
        println!("{first} and then {second} hundredths of a second");
        assert!(second < first * 3 / 2 + 20, "{first}, and then {second} hundredths of a second");
    }
    println!("{most} messages in memory at most, {:?}", marks);
    assert!(most < 120, "{most} messages in memory");
    // All of it can still be had, here and elsewhere.
    let messages = sim.run(agent.messages("c")).unwrap();
    let prompts = messages.iter().filter(|message| message.text().contains("remember: "));
    assert!(prompts.count() >= TURNS && messages.len() >= 4 * TURNS, "{}", messages.len());
    let other = crate::compact::agent(&sim.tab(), 300);
    assert_eq!(sim.run(other.messages("c")).unwrap(), messages);
    // Who comes later reads only what the model is still shown.
    let late = crate::compact::agent(&sim.tab(), 300);
    let before = sim.store_work();
    assert_eq!(send(&sim, &late, "c", "remember: more".into())["type"], "done");
    assert!(sim.store_work() - before < 500, "{} records", sim.store_work() - before);
    assert_eq!(sim.run(late.messages("c")).unwrap()[..messages.len()], messages);
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn conversations_that_nobody_is_in_are_not_kept_in_memory() {
    let sim = SimPlatform::new(1);
    let world = Rc::new(RefCell::new(World::looking()));
    host(&sim, &world);
    let agent = agent(&sim, 10);
    for number in 0..60 {
        send(&sim, &agent, &number.to_string(), format!("remember: {number}"));
    }
    let (known, messages) = agent.remembered();
    assert!(known <= 9 && messages <= 40, "{known} with {messages} messages");
    // None of them is lost by it.
    send(&sim, &agent, "0", "remember: again".into());
    let messages = sim.run(agent.messages("0")).unwrap();
    let said: Vec<String> =
        messages.iter().map(|message| message.text()).filter(|text| text.contains("remember")).collect();
    assert_eq!(said, ["remember: 0", "remember: again"]);
}
