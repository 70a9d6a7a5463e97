// What a careful person writes by hand for these servers and no others: the least that JavaScript needs.

export const version = "-";

export async function start() {}

async function* events(response) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body) {
    rest += decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end; (end = rest.indexOf("\n\n", from)) >= 0; from = end + 2) {
      const at = rest.indexOf("data: ", from);
      yield JSON.parse(rest.slice(at + 6, end));
    }
    rest = rest.slice(from);
  }
}

export async function run(base, { tools: withTools = true } = {}) {
  let id = 0;
  const rpc = async (method, params) => {
    const response = await fetch(`${base}/mcp`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params }),
    });
    return (await response.json()).result;
  };
  const tools = [];
  if (withTools) {
    await rpc("initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "floor", version: "1" } });
    for (let cursor; ; ) {
      const page = await rpc("tools/list", { cursor });
      tools.push(...page.tools);
      if (!(cursor = page.nextCursor)) break;
    }
  }
  const definitions = tools.map(({ name, description, inputSchema }) => ({ name, description, input_schema: inputSchema }));
  const messages = [{ role: "user", content: "Go." }];
  let deltas = 0;
  for (;;) {
    const response = await fetch(`${base}/llm/v1/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": "k", "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ model: "m", max_tokens: 4096, stream: true, messages, tools: definitions }),
    });
    const content = [];
    for await (const event of events(response)) {
      if (event.type === "content_block_start") content.push({ ...event.content_block, json: "" });
      else if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
        content.at(-1).text += event.delta.text;
        deltas += 1;
      } else if (event.type === "content_block_delta") content.at(-1).json += event.delta.partial_json;
    }
    const blocks = content.map(({ json, ...block }) => (block.type === "tool_use" ? { ...block, input: JSON.parse(json) } : block));
    messages.push({ role: "assistant", content: blocks });
    const calls = blocks.filter(({ type }) => type === "tool_use");
    if (calls.length === 0) return { deltas };
    const results = await Promise.all(calls.map(async ({ id: tool_use_id, name, input }) => {
      const { content } = await rpc("tools/call", { name, arguments: input });
      return { type: "tool_result", tool_use_id, content };
    }));
    messages.push({ role: "user", content: results });
  }
}
