// What else of an agent is reached through the worker: steering, plans, answers as data, long results, spans.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { body, listen } from "../servers/lib.mjs";
import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { allEvents, errorOf, runInit, startVariants, startWorker, TOKEN, until } from "./harness.mjs";

const SECRET = "a secret of the collector";
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const authorization = { headers: { authorization: `Bearer ${TOKEN}` } };

/** A collector of spans: `requests` are `{ path, headers, body }`. */
async function collector() {
  const requests = [];
  const server = await listen(async (request, response) => {
    requests.push({ path: request.url, headers: request.headers, body: JSON.parse(await body(request)) });
    response.end("{}");
  });
  return { ...server, requests };
}

describe("a worker with everything", () => {
  let model, now, spans, worker;
  before(async () => {
    [model, now, spans] = await Promise.all([llm.start(), modern.start(), collector()]);
    worker = await startWorker({
      AUTH_TOKEN: TOKEN,
      MODEL_PROVIDER: "anthropic",
      MODEL_ID: "scripted",
      MODEL_BASE_URL: model.url,
      MCP_SERVERS: JSON.stringify([{ name: "modern", url: now.url }]),
      PLANS: "auto",
      LIMITS: JSON.stringify({ maxResultTokens: 1000 }),
      OTEL_EXPORTER_OTLP_ENDPOINT: `${spans.origin}/`,
      OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${encodeURIComponent(SECRET)}`,
      OTEL_SERVICE_NAME: "notes",
    });
  });
  after(() => Promise.all([worker?.close(), model?.close(), now?.close(), spans?.close()]));
  const post = (path, body, init) => worker.fetch(path, runInit(body, init));
  const sum = { id: "sum", tool: "modern.add", input: { a: 17, b: 25 } };

  test("what is said to a conversation meanwhile joins its run", async () => {
    const gate = Promise.withResolvers();
    model.push(() => gate.promise.then(() => ({ text: "It rains." })), { text: "In Oslo it snows." }, { text: "Bye." });
    const asked = model.requests.length;
    const run = post("/v1/conversations/weather", { prompt: "How is the weather?" }).then(allEvents);
    await until(() => model.requests.length > asked, "the model to be asked");
    const said = await post("/v1/conversations/weather/steer", { text: "In Oslo, I mean" });
    assert.deepEqual([said.status, await said.json()], [202, { ok: true }]);
    assert.equal((await post("/v1/conversations/weather/steer", { text: "Thank you", followUp: true })).status, 202);
    gate.resolve();
    const all = await run;
    assert.equal(all.at(-1).type, "done", JSON.stringify(all.at(-1)));
    assert.deepEqual(all.filter(({ type }) => type === "steered").map(({ text }) => text), ["In Oslo, I mean", "Thank you"]);
    assert.equal(all.at(-1).text, "Bye.");
    const late = await errorOf(await post("/v1/conversations/weather/steer", { text: "Still there?" }));
    assert.deepEqual([late.status, late.code], [409, "misuse"]);
  });

  test("a plan is previewed, run, and offered to the model", async () => {
    const plan = { steps: [sum, { id: "say", tool: "modern.echo", input: { message: "The sum is {{sum.sum}}" } }], return: { $from: "say" } };
    const preview = await (await post("/v1/plan", { plan, preview: true })).json();
    assert.deepEqual([preview.ok, preview.waves], [true, [["sum"], ["say"]]], JSON.stringify(preview));
    const all = await allEvents(await post("/v1/plan", { plan }));
    const { type, plan: end } = all.at(-1);
    assert.equal(type, "done", JSON.stringify(all.at(-1)));
    assert.deepEqual(end.steps.map(({ id, state }) => [id, state]), [["sum", "ok"], ["say", "ok"]]);
    assert.match(JSON.stringify(end.value), /The sum is 42/);
    const wrong = await errorOf(await post("/v1/plan", { plan: [] }));
    assert.deepEqual([wrong.status, wrong.path], [400, "plan"]);
    const asked = model.requests.length;
    model.push({ text: "hello" });
    await allEvents(await worker.run({ prompt: "hello" }));
    assert.ok(model.requests[asked].body.tools.some(({ name }) => name === "run_plan"));
  });

  test("an answer as data", async () => {
    model.push({ text: '{"sum":42}' });
    const output = { type: "object", properties: { sum: { type: "number" } }, required: ["sum"], additionalProperties: false };
    const end = (await allEvents(await worker.run({ prompt: "17 + 25?", output }))).at(-1);
    assert.deepEqual([end.type, end.output], ["done", { sum: 42 }], JSON.stringify(end));
  });

  test("a long result is had from its conversation by its handle", async () => {
    const message = "word ".repeat(2000);
    const call = (asked) => ({ toolCalls: [{ name: asked.tools.map(({ name }) => name).find((name) => name.endsWith("echo")), input: { message } }] });
    model.push(call, { text: "Long." });
    const all = await allEvents(await post("/v1/conversations/long", { prompt: "Echo it" }));
    const { handle, content } = all.find(({ type }) => type === "tool_result");
    assert.ok(JSON.stringify(content).length < 5000 && handle, JSON.stringify(content).slice(0, 300));
    const path = `/v1/conversations/long/results/${encodeURIComponent(handle)}`;
    const whole = await (await worker.fetch(path, authorization)).json();
    assert.equal(whole.content[0].text, message);
    const other = await errorOf(await worker.fetch(path.replace("long", "other"), authorization));
    assert.deepEqual([other.status, other.code], [400, "misuse"]);
  });

  test("spans go to the collector, below the caller's, and the servers are told", async () => {
    const call = (asked) => ({ toolCalls: [{ name: asked.tools.map(({ name }) => name).find((name) => name.endsWith("add")), input: { a: 1, b: 2 } }] });
    model.push(call, { text: "3" });
    const seen = spans.requests.length;
    const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;
    await allEvents(await worker.run({ prompt: "1 + 2?" }, { headers: { traceparent } }));
    await until(() => spans.requests.length > seen, "the spans");
    const { path, headers, body } = spans.requests[seen];
    assert.deepEqual([path, headers["x-api-key"]], ["/v1/traces", SECRET]);
    const [{ resource, scopeSpans }] = body.resourceSpans;
    assert.deepEqual(resource.attributes, [{ key: "service.name", value: { stringValue: "notes" } }]);
    const names = scopeSpans[0].spans.map(({ name }) => name.split(" ")[0]);
    for (const name of ["invoke_agent", "chat", "execute_tool"]) assert.ok(names.includes(name), names.join());
    assert.ok(scopeSpans[0].spans.every(({ traceId }) => traceId === TRACE));
    const root = scopeSpans[0].spans.find(({ name }) => name.startsWith("invoke_agent"));
    assert.equal(root.parentSpanId, "b7ad6b7169203331");
    assert.ok(!worker.log().includes(SECRET));
  });

  test("a collector that is gone does not hold anything up", async () => {
    await spans.close();
    model.push({ text: "hello" });
    assert.equal((await allEvents(await worker.run({ prompt: "hello" }))).at(-1).type, "done");
    await until(() => worker.log().includes("spans are lost"), "a line in the log");
    assert.ok(!worker.log().includes(SECRET));
  });
});

test("a mistake in these variables is named", async () => {
  const cases = [
    [{ PLANS: "yes" }, "PLANS"],
    [{ THREADS: "auto", MODEL_PROVIDER: "openai", MODEL_ID: "m", MODEL_API_KEY: "k" }, "THREADS"],
    [{ LIMITS: "{" }, "LIMITS"],
    [{ LIMITS: "[]" }, "LIMITS"],
    [{ LIMITS: '{"maxTurns":1}' }, "LIMITS.maxTurns"],
    [{ LIMITS: '{"maxResultTokens":-1}' }, "LIMITS.maxResultTokens"],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector" }, "OTEL_EXPORTER_OTLP_ENDPOINT"],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example", OTEL_EXPORTER_OTLP_HEADERS: SECRET }, "OTEL_EXPORTER_OTLP_HEADERS"],
  ];
  const { variants, close } = await startVariants(cases.map(([vars]) => ({ DEV: "1", ...vars })));
  try {
    for (const [index, [vars, path]] of cases.entries()) {
      const error = await errorOf(await variants[index].fetch("/v1/health"));
      assert.deepEqual([error.status, error.code, error.path], [500, "config", path], JSON.stringify(vars));
      assert.ok(!error.message.includes(SECRET));
    }
  } finally {
    await close();
  }
});
