// Spans as an app gets them, against a real server, and what a collector gets of them.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import * as modern from "../servers/modern.mjs";
import { installed, project, started } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);
const { toOtlp } = await import(pathToFileURL(join(path, "node_modules/edgewise/otlp.js")));

const TRACE = "0af7651916cd43dd8448eb211c80319c";

async function spansOf(t, options, run) {
  const { url } = await started(t, modern);
  const spans = [];
  const agent = new Agent({ model: { provider: "offline" }, servers: [{ name: "calc", url }], onSpan: (span) => void spans.push(span), ...options });
  t.after(() => agent.close());
  const events = [];
  for await (const event of agent.run("What is 17 + 25?", run)) {
    events.push(event);
    if (event.type === "done") assert.equal(spans.at(-1)?.name, "invoke_agent", "all spans are there at the end");
  }
  return { spans, events };
}

test("a run is told as spans of one trace", async (t) => {
  const { spans, events } = await spansOf(t, {}, { meta: { traceparent: `00-${TRACE}-b7ad6b7169203331-01` } });
  const names = spans.map(({ name }) => name).filter((name) => name !== "wait servers");
  assert.deepEqual(names, ["execute_tool add", "chat offline", "chat offline", "invoke_agent"]);
  const root = spans.at(-1);
  assert.deepEqual([root.traceId, root.parentSpanId, root.traceFlags], [TRACE, "b7ad6b7169203331", 1]);
  for (const span of spans) {
    assert.equal(span.attributes["edgewise.run.id"], events[0].runId);
    assert.ok(span.startTimeMs >= root.startTimeMs && span.endTimeMs <= root.endTimeMs, span.name);
    if (span !== root) assert.deepEqual([span.traceId, span.parentSpanId], [TRACE, root.spanId]);
  }
  const text = JSON.stringify(spans);
  for (const content of ["What is", "arguments", "messages", "tool.call.result"]) assert.ok(!text.includes(content), content);
});

test("content is in spans when the app asks for it", async (t) => {
  const { spans } = await spansOf(t, { spanContent: true });
  const { attributes } = spans.find(({ name }) => name === "execute_tool add");
  assert.deepEqual(attributes["gen_ai.tool.call.arguments"], { a: 17, b: 25 });
  assert.equal(spans.at(-1).attributes["gen_ai.input.messages"][0].parts[0].content, "What is 17 + 25?");
});

test("an app that throws at a span harms nothing", async () => {
  let told = 0;
  const onSpan = () => {
    told += 1;
    assert.fail("of the app's own making");
  };
  const agent = new Agent({ model: { provider: "offline" }, onSpan });
  assert.notEqual((await agent.run("hello").result).text, "");
  assert.equal(told, 2, "the answer and the run");
});

test("spans become an OTLP/JSON export", () => {
  const span = {
    traceId: TRACE, spanId: "00f067aa0ba902b7", parentSpanId: "b7ad6b7169203331", traceFlags: 1, name: "chat m", kind: "client",
    startTimeMs: 1763890000123, endTimeMs: 1763890000456,
    attributes: { text: "t", whole: 3, part: 0.5, yes: true, list: ["a", 1], tree: { b: null, c: "d" } },
    events: [{ name: "e", timeMs: 1763890000200, attributes: {} }], status: { code: "error" },
  };
  const [{ resource, scopeSpans }] = toOtlp([span], { "service.name": "mine" }).resourceSpans;
  assert.deepEqual(resource.attributes, [{ key: "service.name", value: { stringValue: "mine" } }]);
  assert.deepEqual(scopeSpans[0].spans, [{
    traceId: TRACE, spanId: "00f067aa0ba902b7", parentSpanId: "b7ad6b7169203331", flags: 1, name: "chat m", kind: 3,
    startTimeUnixNano: "1763890000123000000", endTimeUnixNano: "1763890000456000000",
    attributes: [
      { key: "text", value: { stringValue: "t" } },
      { key: "whole", value: { intValue: "3" } },
      { key: "part", value: { doubleValue: 0.5 } },
      { key: "yes", value: { boolValue: true } },
      { key: "list", value: { arrayValue: { values: [{ stringValue: "a" }, { intValue: "1" }] } } },
      { key: "tree", value: { kvlistValue: { values: [{ key: "c", value: { stringValue: "d" } }] } } },
    ],
    events: [{ timeUnixNano: "1763890000200000000", name: "e", attributes: [] }], status: { code: 2 },
  }]);
});
