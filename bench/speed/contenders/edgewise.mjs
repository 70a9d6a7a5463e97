import { Agent, init } from "../../../pkg/node.js";

export const version = JSON.parse(await (await import("node:fs/promises")).readFile(new URL("../../../pkg/package.json", import.meta.url))).version;

export async function start() {
  await init();
}

export async function run(base, { tools = true, maxTurns = 300 } = {}) {
  const agent = new Agent({
    model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: `${base}/llm` },
    servers: tools ? [{ name: "bench", url: `${base}/mcp` }] : [],
    limits: { maxTurns },
  });
  let deltas = 0;
  let last;
  for await (const event of agent.run("Go.")) {
    if (event.type === "text_delta") deltas += 1;
    last = event;
  }
  await agent.close();
  if (last.type !== "done") throw new Error(JSON.stringify(last.error));
  return { deltas };
}
