// Runs through the worker: real MCP servers of both eras, a scripted model, streaming, cancelling, approvals.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { allEvents, errorOf, events, runInit, startDev, startVariants, startWorker, TOKEN, until } from "./harness.mjs";

const KEY = "sk-a-key-for-tests";

/** The name that the model was offered for a tool. */
const offered = (asked, tool) => asked.tools.map(({ name }) => name).find((name) => name.endsWith(tool));
const calls = (tool, input) => (asked) => ({ toolCalls: [{ name: offered(asked, tool), input }] });

function laws(all) {
  const ends = all.filter(({ type }) => type === "done" || type === "error");
  assert.equal(ends.length, 1, "one terminal event");
  assert.equal(all.at(-1), ends[0], "the terminal event is last");
  const ids = (wanted) => all.filter(({ type }) => type === wanted).map(({ id }) => id).sort();
  assert.deepEqual(ids("tool_result"), ids("tool_call"), "one result per call");
  return all.at(-1);
}

describe("with the offline model", () => {
  let legacy, now, worker;
  before(async () => {
    [legacy, now] = await Promise.all([everything.start(), modern.start({ token: "for modern" })]);
    const MCP_SERVERS = JSON.stringify([{ name: "everything", url: legacy.url }, { name: "modern", url: now.url }]);
    worker = await startWorker({ AUTH_TOKEN: TOKEN, MCP_SERVERS, MCP_TOKEN_MODERN: "for modern" });
  });
  after(() => Promise.all([worker?.close(), legacy?.close(), now?.close()]));

  test("a run finds tools on servers of both eras, calls them and answers", async () => {
    const response = await worker.run({ prompt: "What is 17 + 25? Then list the notes" });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type"), /^text\/event-stream/);
    assert.equal(response.headers.get("cache-control"), "no-store");
    const all = await allEvents(response);
    const end = laws(all);
    assert.equal(all[0].type, "run_start");
    assert.equal(end.type, "done", JSON.stringify(end.error));
    assert.match(end.text, /42/);
    const ready = all.filter(({ type, state }) => type === "server_status" && state === "ready");
    assert.deepEqual(ready.map(({ server }) => server).sort(), ["everything", "modern"]);
    const results = all.filter(({ type }) => type === "tool_result");
    const called = all.filter(({ type }) => type === "tool_call").map(({ name }) => name);
    assert.deepEqual(called, ["everything.get-sum", "modern.list_notes"]);
    assert.ok(results.every(({ outcome }) => outcome === "ok"), JSON.stringify(results));
  });

  test("history comes in and goes out", async () => {
    const messages = [
      { role: "user", content: [{ type: "text", text: "hello" }] },
      { role: "assistant", content: [{ type: "text", text: "hi" }] },
    ];
    const end = laws(await allEvents(await worker.run({ prompt: "echo \"again\"", messages })));
    assert.deepEqual(end.messages.slice(0, 2), messages);
    assert.equal(end.messages[2].role, "user");
  });

  test("follow-ups are answered one after the other, in one stream", async () => {
    const followUps = ["What is 1 + 2?", "What is 10 + 20?"];
    const all = await allEvents(await worker.run({ prompt: "What is 17 + 25?", followUps }));
    assert.equal(laws(all).type, "done");
    assert.deepEqual(all.filter(({ type }) => type === "steered").map(({ text }) => text), followUps);
    const sums = all.filter(({ type }) => type === "tool_result").map(({ content }) => content[0].text);
    assert.deepEqual(sums.map((text) => /\d+\D*$/.exec(text)?.[0].match(/\d+/)[0]), ["42", "3", "30"]);
    for (const wrong of [[""], Array(21).fill("hi"), "hi"]) {
      const refused = await worker.run({ prompt: "hi", followUps: wrong });
      assert.deepEqual([refused.status, (await errorOf(refused)).path], [400, "followUps"]);
    }
  });

  test("a tool that writes is denied at once: nobody can answer", async () => {
    const all = await allEvents(await worker.run({ prompt: "write note \"buy milk\"" }));
    laws(all);
    const result = all.find(({ type }) => type === "tool_result");
    assert.equal(result?.outcome, "denied", JSON.stringify(all));
    assert.deepEqual(now.state.notes, []);
  });

  test("the health names the servers and holds no token", async () => {
    const text = await (await worker.fetch("/v1/health", { headers: { authorization: `Bearer ${TOKEN}` } })).text();
    assert.deepEqual(JSON.parse(text).servers, ["everything", "modern"]);
    assert.ok(!text.includes("for modern"));
  });

  test("a bad body is refused with the field's path", async () => {
    const big = JSON.stringify({ prompt: "x".repeat(16 * 1024 * 1024) });
    const cases = [
      ["", 400, "protocol"],
      ["{", 400, "protocol"],
      [Buffer.from([0x22, 0xff, 0x22]), 400, "protocol"],
      ["[]", 400, "config", "body"],
      ["null", 400, "config", "body"],
      [{}, 400, "config", "prompt"],
      [{ prompt: "" }, 400, "config", "prompt"],
      [{ prompt: 7 }, 400, "config", "prompt"],
      [{ prompt: "x", promt: "x" }, 400, "config", "promt"],
      [{ prompt: "x", maxTurns: 0 }, 400, "config", "maxTurns"],
      [{ prompt: "x", maxTurns: 1.5 }, 400, "config", "maxTurns"],
      [{ prompt: "x", maxTurns: "2" }, 400, "config", "maxTurns"],
      [{ prompt: "x", maxTurns: 11 }, 400, "config", "maxTurns"],
      [{ prompt: "x", messages: {} }, 400, "config", "messages"],
      [{ prompt: "x", messages: [{ role: "wizard", content: [] }] }, 400, "config", "messages[0]"],
      [{ prompt: "x", attachments: "no" }, 400, "config", "attachments"],
      [{ prompt: "x", attachments: [{ type: "film" }] }, 400, "config", "attachments[0]"],
      [big, 413, "limit"],
    ];
    for (const [body, status, code, path] of cases) {
      const init = runInit("", { body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body) });
      const error = await errorOf(await worker.fetch("/v1/run", init));
      const shown = String(init.body).slice(0, 60);
      assert.deepEqual([error.status, error.code], [status, code], `${shown}: ${JSON.stringify(error)}`);
      if (path === undefined) assert.equal(error.path, undefined, shown);
      else assert.ok(error.path.startsWith(path), `${shown}: ${error.path}`);
      assert.ok(!error.message.includes("wizard"), error.message);
    }
    const plain = await worker.run({ prompt: "x" }, { headers: { "content-type": "text/plain" } });
    assert.equal((await errorOf(plain)).status, 415);
  });
});

describe("with a scripted model", () => {
  let model, now, worker;
  before(async () => {
    [model, now] = await Promise.all([llm.start(), modern.start()]);
    worker = await startWorker({
      AUTH_TOKEN: TOKEN,
      MODEL_PROVIDER: "anthropic",
      MODEL_ID: "scripted",
      MODEL_BASE_URL: model.url,
      MODEL_API_KEY: KEY,
      SYSTEM_PROMPT: "Be brief.",
      MCP_SERVERS: [{ name: "modern", url: now.url }],
      ALLOWED_ORIGINS: "https://app.example",
    });
  });
  after(() => Promise.all([worker?.close(), model?.close(), now?.close()]));

  test("events arrive while later ones are not even produced", async () => {
    const gate = Promise.withResolvers();
    model.push(calls("add", { a: 17, b: 25 }), () => gate.promise.then(() => ({ text: "It is 42." })));
    const asked = model.requests.length;
    const response = await worker.run({ prompt: "17 + 25?" }, { headers: { origin: "https://app.example" } });
    assert.equal(response.headers.get("access-control-allow-origin"), "https://app.example");
    const all = [];
    for await (const event of events(response)) {
      all.push(event);
      // The model says nothing more before the result of its tool has gone all the way to the caller.
      if (event.type === "tool_result") gate.resolve();
    }
    assert.equal(laws(all).text, "It is 42.");
    const [first, second] = model.requests.slice(asked);
    assert.equal(first.headers["x-api-key"], KEY);
    assert.ok(JSON.stringify(first.body.system).includes("Be brief."));
    assert.ok(JSON.stringify(second.body.messages).includes("42"));
    assert.ok(!JSON.stringify(all).includes(KEY));
  });

  test("two runs at once do not mix", async () => {
    const gates = { one: Promise.withResolvers(), two: Promise.withResolvers() };
    const arrived = { one: Promise.withResolvers(), two: Promise.withResolvers() };
    const turn = async (asked) => {
      const which = JSON.stringify(asked.messages).includes("number one") ? "one" : "two";
      if (JSON.stringify(asked.messages).includes("tool_result")) return { text: `That was ${which}.` };
      arrived[which].resolve();
      await gates[which].promise;
      return calls("echo", { message: `echo of ${which}` })(asked);
    };
    model.push(turn, turn, turn, turn);
    const one = worker.run({ prompt: "number one" }).then(allEvents);
    await arrived.one.promise;
    const two = worker.run({ prompt: "number two" }).then(allEvents);
    await arrived.two.promise;
    // The first to start is the last to go on.
    gates.two.resolve();
    assert.equal(laws(await two).text, "That was two.");
    gates.one.resolve();
    assert.equal(laws(await one).text, "That was one.");
    for (const [which, all] of [["one", await one], ["two", await two]]) {
      const { content } = all.find(({ type }) => type === "tool_result");
      assert.equal(content[0].text, `echo of ${which}`);
    }
  });

  test("a model that fails is the error event, without the key", async () => {
    model.push({ status: 401, body: { type: "error", error: { type: "authentication_error", message: `bad ${KEY}` } } });
    const response = await worker.run({ prompt: "hello" });
    assert.equal(response.status, 200);
    const end = laws(await allEvents(response));
    assert.deepEqual([end.type, end.error.code, end.error.status], ["error", "auth_required", 401]);
    assert.ok(!worker.log().includes(KEY) && !worker.log().includes(TOKEN));
  });

  test("maxTurns of the caller ends the run", async () => {
    model.push(calls("add", { a: 1, b: 1 }));
    const end = laws(await allEvents(await worker.run({ prompt: "for ever", maxTurns: 1 })));
    assert.deepEqual([end.type, end.error?.code], ["error", "limit"]);
  });
});

// An answer that says one word and then nothing more, not even that it is over.
const BEGUN = [
  { type: "message_start", message: { id: "m", type: "message", role: "assistant", model: "scripted", content: [], usage: {} } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Well" } },
].map((data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`).join("");

// workerd on its own learns that a caller has gone when it writes to it. Where the run is silent, that is the heartbeat
// of the stream, every 5 s.
describe("a caller that goes away", { concurrency: true }, () => {
  let model, now, worker;
  before(async () => {
    [model, now] = await Promise.all([llm.start(), modern.start()]);
    worker = await startDev({
      AUTH_TOKEN: TOKEN,
      MODEL_PROVIDER: "anthropic",
      MODEL_ID: "scripted",
      MODEL_BASE_URL: model.url,
      MODEL_API_KEY: KEY,
      MCP_SERVERS: [{ name: "modern", url: now.url }],
    });
    // By prompt, since the two runs are under way at once.
    const turn = (asked) => {
      const slow = JSON.stringify(asked.messages).includes("go slow");
      return slow ? calls("slow", { steps: 5000, stepMs: 20 })(asked) : { raw: BEGUN, hold: true };
    };
    model.push(turn, turn);
  });
  after(() => Promise.all([worker?.close(), model?.close(), now?.close()]));

  async function leaveAt(type, prompt) {
    const gone = new AbortController();
    const response = await worker.run({ prompt }, { signal: gone.signal });
    const read = async () => {
      for await (const event of events(response)) if (event.type === type) gone.abort();
    };
    await assert.rejects(read(), { name: "AbortError" });
  }

  test("ends the answer of a model that is silent", async () => {
    await leaveAt("text_delta", "tell me a story");
    const request = model.requests.find(({ body }) => JSON.stringify(body).includes("tell me a story"));
    await until(() => request.aborted, "the request to the model to be aborted", 30_000);
  });

  test("ends a tool at work", async () => {
    await leaveAt("tool_progress", "go slow");
    await until(() => now.state.aborted > 0, "the tool to be aborted");
  });
});

test("APPROVAL decides whether a tool that writes is called", async (t) => {
  const [model, now] = await Promise.all([llm.start(), modern.start()]);
  t.after(() => Promise.all([model.close(), now.close()]));
  const cases = [
    ["never", "write_note", { note: "milk" }, "ok"],
    ["writes", "write_note", { note: "milk" }, "denied"],
    ["writes", "list_notes", {}, "ok"],
    ["always", "list_notes", {}, "denied"],
  ];
  const shared = {
    DEV: "1",
    MODEL_PROVIDER: "openai",
    MODEL_ID: "scripted",
    MODEL_BASE_URL: `${model.url}/v1`,
    MCP_SERVERS: [{ name: "modern", url: now.url }],
  };
  const workers = await startVariants(cases.map(([APPROVAL]) => ({ ...shared, APPROVAL })));
  t.after(workers.close);
  for (const [index, { fetch }] of workers.variants.entries()) {
    const [APPROVAL, tool, input, outcome] = cases[index];
    const named = (asked) => asked.tools.map(({ function: { name } }) => name).find((name) => name.endsWith(tool));
    model.push((asked) => ({ toolCalls: [{ name: named(asked), input }] }), { text: "So be it." });
    const all = await allEvents(await fetch("/v1/run", runInit({ prompt: "go" })));
    assert.equal(laws(all).text, "So be it.");
    const result = all.find(({ type }) => type === "tool_result");
    assert.equal(result.outcome, outcome, `${APPROVAL} ${tool}: ${JSON.stringify(result)}`);
  }
  assert.deepEqual(now.state.notes, ["milk"]);
});

test("CONTEXT puts resources before the model, and what changes meanwhile behind its tool results", async (t) => {
  const [model, now] = await Promise.all([llm.start(), modern.start({ changes: true })]);
  t.after(() => Promise.all([model.close(), now.close()]));
  const worker = await startDev({
    DEV: "1",
    MODEL_PROVIDER: "openai",
    MODEL_ID: "scripted",
    MODEL_BASE_URL: `${model.url}/v1`,
    MCP_SERVERS: [{ name: "modern", url: now.url }],
    CONTEXT: "auto",
  });
  t.after(worker.close);
  const slow = (asked) => asked.tools.map(({ function: { name } }) => name).find((name) => name.endsWith("slow"));
  model.push((asked) => ({ toolCalls: [{ name: slow(asked), input: { steps: 60, stepMs: 50 } }] }), { text: "Well." });
  const all = [];
  for await (const event of events(await worker.run({ prompt: "What does the document beta say?" }))) {
    all.push(event);
    if (event.type === "tool_progress" && now.state.texts.beta === undefined) {
      now.state.texts.beta = "# beta\n\nGrüße aus gamma.";
      now.notify.resourceUpdated("docs://library/beta.md");
    }
  }
  laws(all);
  const [context] = all.filter(({ type }) => type === "context");
  assert.deepEqual(context.sources.map(({ uri }) => uri), ["docs://library/beta.md"]);
  assert.equal(context.meaning, true, "the table is among the static files");
  const changed = all.filter(({ type }) => type === "context_changed");
  assert.deepEqual(changed.map(({ difference, cited }) => [difference, cited]), [["@ # beta\n- Grüße aus beta.\n+ Grüße aus gamma.\n", true]]);
  assert.match(JSON.stringify(model.requests.at(-1).body.messages), /\+ Grüße aus gamma/);
});

test("the next model takes over, with its own key; a picture reaches it, and its tokens have a price", async (t) => {
  const [one, two] = await Promise.all([llm.start({ turns: [{ status: 401, body: { error: { message: "no" } } }, { status: 401, body: { error: { message: "no" } } }] }), llm.start({ turns: [{ text: "A cat." }, { text: "A dog." }] })]);
  t.after(() => Promise.all([one.close(), two.close()]));
  const worker = await startWorker({
    DEV: "1",
    MODEL_PROVIDER: "anthropic",
    MODEL_ID: "first",
    MODEL_BASE_URL: one.url,
    MODEL_API_KEY: KEY,
    MODEL_PRICES: '{"input":1}',
    MODEL_FALLBACKS: JSON.stringify([{ provider: "openai", id: "second", baseUrl: `${two.url}/v1`, prices: { input: 1_000_000 } }]),
    MODEL_API_KEY_2: "key of the second",
  });
  t.after(worker.close);
  const image = { type: "image", data: "iVBORw0KGgo=", mimeType: "image/png" };
  for (const [path, answer] of [["/v1/run", "A cat."], ["/v1/conversations/pictures", "A dog."]]) {
    const response = await worker.fetch(path, runInit({ prompt: "What is this?", attachments: [image] }));
    const end = laws(await allEvents(response));
    assert.deepEqual([end.type, end.text], ["done", answer], JSON.stringify(end));
    const { headers, body } = two.requests.at(-1);
    assert.equal(headers.authorization, "Bearer key of the second");
    assert.ok(JSON.stringify(body.messages).includes("data:image/png;base64,iVBORw0KGgo="), JSON.stringify(body.messages));
    assert.equal(end.usage.cost, end.usage.inputTokens);
  }
  assert.equal(one.requests[0].headers["x-api-key"], KEY);
  assert.ok(!worker.log().includes("key of the second"));
});

test("a mistake in the configuration names the variable and never its value", async (t) => {
  const servers = (...list) => ({ MCP_SERVERS: JSON.stringify(list) });
  const cases = [
    [{ MODEL_PROVIDER: "hidden-value" }, "MODEL_PROVIDER"],
    [{ MODEL_PROVIDER: "anthropic", MODEL_API_KEY: "hidden-value" }, "MODEL_ID"],
    [{ MODEL_PROVIDER: "anthropic", MODEL_ID: "hidden-value" }, "MODEL_API_KEY"],
    [{ MAX_TURNS: "hidden-value" }, "MAX_TURNS"],
    [{ MAX_TURNS: "0" }, "MAX_TURNS"],
    [{ MODEL_CONTEXT_WINDOW: "hidden-value" }, "MODEL_CONTEXT_WINDOW"],
    [{ MODEL_CONTEXT_WINDOW: "0" }, "MODEL_CONTEXT_WINDOW"],
    [{ MODEL_BODY: "hidden-value" }, "MODEL_BODY"],
    [{ MODEL_PROVIDER: "openai", MODEL_ID: "m", MODEL_API_KEY: "k", MODEL_BODY: '{"messages":["hidden-value"]}' }, "MODEL_BODY.messages"],
    [{ MODEL_FALLBACKS: "hidden-value" }, "MODEL_FALLBACKS"],
    [{ MODEL_FALLBACKS: '[{"provider":"openai","id":"m","apiKey":"hidden-value"}]' }, "MODEL_FALLBACKS[0]"],
    [{ MODEL_FALLBACKS: '[{"provider":"offline"},{"provider":"openai","id":"hidden-value"}]' }, "MODEL_API_KEY_3"],
    [{ MODEL_PROVIDER: "openai", MODEL_ID: "m", MODEL_API_KEY: "k", MODEL_PRICES: '{"input":"hidden-value"}' }, "MODEL_PRICES.input"],
    [{ APPROVAL: "hidden-value" }, "APPROVAL"],
    [{ CONTEXT: "hidden-value" }, "CONTEXT"],
    [{ MCP_SERVERS: "hidden-value" }, "MCP_SERVERS"],
    [{ MCP_SERVERS: "{}" }, "MCP_SERVERS"],
    [servers({ name: "a", url: "hidden-value" }), "MCP_SERVERS[0].url"],
    [servers({ name: "a b", url: "http://a.test" }), "MCP_SERVERS[0].name"],
    [servers({ name: "a", url: "http://a.test", token: "hidden-value" }), "MCP_SERVERS[0]"],
    [servers({ name: "a-b", url: "http://a.test" }, { name: "a_b", url: "http://b.test" }), "MCP_SERVERS[1]"],
    [servers({ name: "a", url: "http://a.test", timeoutMs: "hidden-value" }), "MCP_SERVERS[0].timeoutMs"],
  ];
  const workers = await startVariants(cases.map(([vars]) => ({ DEV: "1", ...vars })));
  t.after(workers.close);
  for (const [index, { fetch }] of workers.variants.entries()) {
    const path = cases[index][1];
    for (const response of [await fetch("/v1/health"), await fetch("/v1/run", runInit({ prompt: "hello" }))]) {
      const error = await errorOf(response);
      assert.deepEqual([error.status, error.code, error.path], [500, "config", path], JSON.stringify(error));
      assert.ok(error.message.includes(path), error.message);
      assert.ok(!error.message.includes("hidden-value"), error.message);
    }
  }
});
