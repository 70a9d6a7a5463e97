// A model and an MCP server for measurements, in a process of their own: as little work as can be, always the same bytes.
//
// The first part of a URL's path is the scenario: /<scenario>/llm/v1/messages and /<scenario>/mcp.

import { createServer } from "node:http";

/** Text deltas of one answer, and how many of them go into one write. */
export const DELTAS = 20_000;
const TOGETHER = 16;
/** Turns of the loop: so many answers that call a tool, and one that ends. */
export const TURNS = 200;
export const TOOLS = 2_000;
const BIG = 10 << 20;

const event = (data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const head = () =>
  event({
    type: "message_start",
    message: {
      id: "msg_1", type: "message", role: "assistant", model: "m", content: [], stop_reason: null, stop_sequence: null,
      usage: { input_tokens: 10, output_tokens: 1 },
    },
  });
const tail = (reason) =>
  event({ type: "message_delta", delta: { stop_reason: reason, stop_sequence: null }, usage: { output_tokens: 9 } }) +
  event({ type: "message_stop" });
const block = (index, content, deltas) =>
  event({ type: "content_block_start", index, content_block: content }) +
  deltas.map((delta) => event({ type: "content_block_delta", index, delta })).join("") +
  event({ type: "content_block_stop", index });

const text = head() + block(0, { type: "text", text: "" }, [{ type: "text_delta", text: "Done." }]) + tail("end_turn");
const call = (turn, name) =>
  head() +
  block(0, { type: "text", text: "" }, [{ type: "text_delta", text: "I look it up." }]) +
  block(1, { type: "tool_use", id: `toolu_${turn}`, name, input: {} }, [{ type: "input_json_delta", partial_json: `{"n":${turn}}` }]) +
  tail("tool_use");

function many(response) {
  response.write(head() + event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }));
  let sent = 0;
  const more = () => {
    while (sent < DELTAS) {
      let chunk = "";
      for (let i = 0; i < TOGETHER; i += 1, sent += 1) {
        chunk += event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: `word${sent % 10} ` } });
      }
      if (!response.write(chunk)) return response.once("drain", more);
    }
    response.end(event({ type: "content_block_stop", index: 0 }) + tail("end_turn"));
  };
  more();
}

function model(scenario, body, response) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (scenario === "deltas") return many(response);
  const { messages, tools = [] } = JSON.parse(body);
  const calls = messages.filter(({ role }) => role === "assistant").length;
  const wanted = scenario === "loop" ? TURNS : scenario === "big" ? 1 : 0;
  response.end(calls < wanted ? call(calls, tools[0].name) : text);
}

const schema = { type: "object", properties: { n: { type: "integer", description: "Which one." } }, required: ["n"] };
const tool = (name) => ({
  name, description: "Looks up one thing by its number and says what is known of it.", inputSchema: schema,
  annotations: { readOnlyHint: true },
});
const lists = {
  many: Array.from({ length: TOOLS }, (_, index) => tool(`tool_${String(index).padStart(4, "0")}`)),
  few: [tool("look_up")],
};
const big = "x".repeat(BIG);

function mcp(scenario, request, body, response) {
  const json = (result, id) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...result }));
  };
  if (request.method === "GET") return response.writeHead(405).end();
  if (request.method === "DELETE") return response.writeHead(200).end();
  const { id, method, params } = JSON.parse(body);
  if (id === undefined) return response.writeHead(202).end();
  if (method === "initialize") {
    const serverInfo = { name: "bench", version: "1" };
    return json({ result: { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo } }, id);
  }
  if (method === "tools/list") {
    const all = lists[scenario === "tools" ? "many" : "few"];
    const from = Number(params?.cursor ?? 0);
    const to = from + 100;
    return json({ result: { tools: all.slice(from, to), ...(to < all.length && { nextCursor: String(to) }) } }, id);
  }
  if (method === "tools/call") {
    const known = scenario === "big" ? big : `Number ${params.arguments.n} is known.`;
    return json({ result: { content: [{ type: "text", text: known }] } }, id);
  }
  return json({ error: { code: -32601, message: "Method not found" } }, id);
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const [, scenario, kind] = request.url.split("/");
    const body = Buffer.concat(chunks).toString();
    if (kind === "llm") model(scenario, body, response);
    else mcp(scenario, request, body, response);
  });
});
if (process.send) server.listen(0, "127.0.0.1", () => process.send(`http://127.0.0.1:${server.address().port}`));
