// Big results, many tools, remembered approvals and labels, through the installed package.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

const rows = Array.from({ length: 4000 }, (_, id) => ({ id, name: `row ${id}`, note: "x".repeat(40) }));
const reads = { readOnlyHint: true };

async function start(t, turns, options = {}) {
  const model = await llm.start({ turns });
  t.after(model.close);
  const taken = [];
  const tools = [
    { name: "rows", description: "Gives rows.", annotations: reads, execute: () => rows },
    { name: "take", description: "Takes rows.", annotations: reads, inputSchema: { type: "object", properties: { rows: { type: "array" } } }, execute: ({ rows }) => (taken.push(rows), "taken") },
    { name: "note", description: "Notes.", execute: () => "noted" },
  ];
  const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url }, tools, ...options });
  t.after(() => agent.close());
  return { agent, model, taken };
}

/** The events of a run; `asked` answers what waits for an approval. */
async function events(run, asked = () => {}) {
  const all = [];
  for await (const event of run) {
    all.push(event);
    if (event.type === "approval_request") asked(run, event);
  }
  return all;
}

const call = (name, input, id = name) => ({ toolCalls: [{ id, name, input }] });

test("a long result is kept, read on, passed on, and given to the app", async (t) => {
  let handle;
  const turns = [call("rows", {}), () => call("take", { rows: handle }), () => call("read_result", { handle, path: "/17/name" }), { text: "Done." }];
  const { agent, model, taken } = await start(t, turns);
  const run = agent.run("go");
  const results = [];
  for await (const event of run) {
    if (event.type !== "tool_result") continue;
    handle ??= event.handle;
    results.push(event);
  }
  assert.match(handle, /^result:[0-9a-f]{20}$/);
  assert.deepEqual(taken, [rows]);
  assert.equal(results[2].content[0].text, "row 17");
  assert.equal(results[0].structuredContent, undefined);
  assert.match(results[0].content[0].text, /Shape: \[4000 × \{ id: number, name: string, note: string \}\]/);
  const sent = model.requests.map((request) => JSON.stringify(request.body)).join("").length;
  assert.ok(sent < 50_000, `${sent} bytes went to the model`);
  assert.deepEqual((await agent.readResult(handle)).structuredContent, rows);
  await assert.rejects(agent.readResult("result:00000000000000000000"), { code: "misuse" });
});

test("what is allowed for good is asked for once, until it is forgotten", async (t) => {
  const { agent } = await start(t, [...Array(4)].flatMap((_, at) => [call("note", { a: 1 }, `n${at}`), { text: "Done." }]));
  const asked = async (options) => {
    let count = 0;
    await events(agent.run("go"), (run, { id }) => ((count += 1), run.approve(id, options)));
    return count;
  };
  assert.deepEqual([await asked({ remember: "always" }), await asked(), (await agent.forgetApprovals(), await asked()), await asked({ remember: "run" })], [1, 0, 1, 1]);
  const { agent: other } = await start(t, [call("note", {})]);
  await events(other.run("go"), (run, { id }) => {
    assert.throws(() => run.approve(id, { remember: "ever" }), { code: "config" });
    run.cancel();
  });
});

test("private data of a server do not leave unasked, whatever the policy", async (t) => {
  const [mail, web] = await Promise.all([modern.start(), modern.start()]);
  t.after(mail.close);
  t.after(web.close);
  const servers = [{ name: "mail", url: mail.url, labels: ["private"] }, { name: "web", url: web.url, labels: ["untrusted"] }];
  const turns = [call("web__add", { a: 1, b: 1 }, "one"), call("mail__add", { a: 1, b: 2 }, "two"), call("web__add", { a: 3, b: 3 }, "three"), { text: "Done." }];
  const { agent } = await start(t, turns, { servers, approval: "never" });
  const all = await events(agent.run("go"), (run, { id, reason }) => {
    assert.match(reason, /^private data of mail may leave through web\.add: /);
    run.deny(id, "stays here");
  });
  const ends = all.filter(({ type }) => type === "tool_result").map(({ id, outcome }) => [id, outcome]);
  assert.deepEqual(ends, [["one", "ok"], ["two", "ok"], ["three", "denied"]]);
});

/** Sixty tools that nobody asks for, and one. */
function manyTools() {
  const many = Array.from({ length: 60 }, (_, at) => ({ name: `tool_${at}`, description: `Does number ${at} of the things that nobody asks for`, execute: () => "" }));
  return [...many, { name: "send_mail", description: "Sends an email to a person", annotations: reads, execute: () => "sent" }];
}

test("of many tools those that fit are offered, and others are found", async (t) => {
  const tools = manyTools();
  const { agent, model } = await start(t, [call("find_tools", { query: "send an email" }), call("send_mail", {}), { text: "Done." }], { tools, limits: { maxToolTokens: 500 } });
  const all = await events(agent.run("Do the things number 7 and 8"));
  const offered = model.requests.map(({ body }) => body.tools.map(({ name }) => name));
  assert.ok(offered[0].length < 30 && offered[0].at(-1) === "find_tools", offered[0].join());
  assert.deepEqual(offered[1].slice(0, offered[0].length), offered[0]);
  assert.ok(offered[1].includes("send_mail"));
  assert.deepEqual(all.filter(({ type }) => type === "tool_result").map(({ outcome }) => outcome), ["ok", "ok"]);
});

test("what was offered stays in front of a history, whoever goes on from it", async (t) => {
  const options = { tools: manyTools(), limits: { maxToolTokens: 1000 } };
  const here = await start(t, [call("find_tools", { query: "send an email" }), { text: "Done." }], options);
  const { messages } = await here.agent.run("Do the things number 7 and 8").result;
  const [mark] = messages[0].content;
  assert.deepEqual([mark.type, mark.anew], ["tools", true]);
  const there = await start(t, [{ text: "Done." }, { text: "Done." }], options);
  const again = await there.agent.run("Do the things number 8 and 7", { messages }).result;
  // Something that fits better than all that is there.
  await there.agent.run("Does number 58", { messages: again.messages }).result;
  // Breakpoints move on; to the cache they are no part of it.
  const plain = ({ cache_control: _, ...tool }) => tool;
  const asked = [...here.model.requests, ...there.model.requests].map(({ body }) => body.tools.map(plain));
  assert.equal(JSON.stringify(asked[2]), JSON.stringify(asked[1]), "what was found and never called is there, and nothing else is new");
  assert.deepEqual(asked[3].slice(0, asked[2].length), asked[2]);
  const names = asked[3].map(({ name }) => name);
  assert.ok(names.includes("send_mail") && names.includes("tool_58"), names.join());
  assert.ok(!JSON.stringify(there.model.requests.at(-1).body.messages).includes('"anew"'), "no model is shown the mark");
});

test("Anthropic is told of found tools where they were found, and nothing in front of them changes", async (t) => {
  const turns = [call("find_tools", { query: "send an email" }), call("send_mail", {}), { text: "Done." }];
  const model = await llm.start({ turns });
  const { fetch } = globalThis;
  globalThis.fetch = (url, init) => fetch(String(url).replace("https://api.anthropic.com", model.url), init);
  t.after(() => {
    globalThis.fetch = fetch;
    return model.close();
  });
  const agent = new Agent({ model: { provider: "anthropic", id: "claude-sonnet-4-6", apiKey: "k" }, tools: manyTools(), limits: { maxToolTokens: 500 } });
  t.after(() => agent.close());
  await agent.run("Do the things number 7 and 8").result;
  const [first, ...rest] = model.requests.map(({ body }) => body);
  for (const { tools, messages } of rest) {
    const late = tools.filter(({ defer_loading }) => defer_loading);
    assert.deepEqual(tools.slice(0, first.tools.length), first.tools);
    // The first one is never told of: it is there so that the prompt is the same before anything is found.
    assert.deepEqual(late.slice(1).map(({ name, cache_control }) => [name, cache_control]), [["send_mail", undefined]]);
    assert.deepEqual(late[0], first.tools.at(-1));
    const [found] = messages[2].content;
    assert.deepEqual([found.type, found.content], ["tool_result", [{ type: "tool_reference", tool_name: "send_mail" }]]);
  }
  assert.equal(rest.length, 2);
});
