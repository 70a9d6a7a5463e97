// An agent in Node (22.18 and newer run TypeScript as it is): `node agent.ts "echo hello" http://127.0.0.1:3000/mcp`
// readme:begin
import { Agent, EdgewiseError } from "edgewise";

const [prompt = "What can you do?", ...urls] = process.argv.slice(2);

const agent = new Agent({
  model: process.env.ANTHROPIC_API_KEY
    ? { provider: "anthropic", id: "claude-sonnet-4-5", apiKey: process.env.ANTHROPIC_API_KEY }
    : { provider: "offline" },
  servers: urls.map((url, index) => ({ name: `server${index + 1}`, url })),
  // Nobody sits at this terminal to be asked.
  approval: "never",
});

try {
  const { text, usage } = await agent.run(prompt).result;
  console.log(text);
  console.error(`${usage.inputTokens} tokens in, ${usage.outputTokens} out`);
} catch (error) {
  if (!(error instanceof EdgewiseError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await agent.close();
}
// readme:end
