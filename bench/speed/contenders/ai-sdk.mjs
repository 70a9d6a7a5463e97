import { createAnthropic } from "@ai-sdk/anthropic";
import { createMCPClient } from "@ai-sdk/mcp";
import { stepCountIs, streamText } from "ai";
import { readFile } from "node:fs/promises";

export const version = JSON.parse(await readFile(new URL("../../node_modules/ai/package.json", import.meta.url))).version;

export async function start() {}

export async function run(base, { tools: withTools = true, maxTurns = 300 } = {}) {
  const anthropic = createAnthropic({ apiKey: "k", baseURL: `${base}/llm/v1` });
  const client = withTools ? await createMCPClient({ transport: { type: "http", url: `${base}/mcp` } }) : undefined;
  const tools = await client?.tools();
  const result = streamText({ model: anthropic("m"), prompt: "Go.", tools, stopWhen: stepCountIs(maxTurns) });
  let deltas = 0;
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") deltas += 1;
    if (part.type === "error") throw part.error;
  }
  await client?.close();
  return { deltas };
}
