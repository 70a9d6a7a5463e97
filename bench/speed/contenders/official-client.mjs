// The official MCP client with the provider's own SDK, and the loop by hand, as their documentation shows it.

import Anthropic from "@anthropic-ai/sdk";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { readFile } from "node:fs/promises";

export const version = JSON.parse(await readFile(new URL("../../node_modules/@modelcontextprotocol/client/package.json", import.meta.url))).version;

export async function start() {}

export async function run(base, { tools: withTools = true } = {}) {
  const anthropic = new Anthropic({ apiKey: "k", baseURL: `${base}/llm` });
  const client = new Client({ name: "bench", version: "1" });
  const tools = [];
  if (withTools) {
    await client.connect(new StreamableHTTPClientTransport(new URL(`${base}/mcp`)));
    for (let cursor; ; ) {
      const page = await client.listTools(cursor && { cursor });
      tools.push(...page.tools);
      if (!(cursor = page.nextCursor)) break;
    }
  }
  const definitions = tools.map(({ name, description, inputSchema }) => ({ name, description, input_schema: inputSchema }));
  const messages = [{ role: "user", content: "Go." }];
  let deltas = 0;
  for (;;) {
    const stream = anthropic.messages.stream({ model: "m", max_tokens: 4096, messages, tools: definitions });
    stream.on("text", () => (deltas += 1));
    const { content } = await stream.finalMessage();
    messages.push({ role: "assistant", content });
    const calls = content.filter(({ type }) => type === "tool_use");
    if (calls.length === 0) break;
    const results = await Promise.all(calls.map(async ({ id, name, input }) => {
      const { content } = await client.callTool({ name, arguments: input });
      return { type: "tool_result", tool_use_id: id, content };
    }));
    messages.push({ role: "user", content: results });
  }
  await client.close();
  return { deltas };
}
