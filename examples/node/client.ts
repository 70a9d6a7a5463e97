// The MCP client alone, for whoever brings their own loop.
// node client.ts https://example.com/mcp
// readme:begin
import { McpClient } from "edgewise";

const client = new McpClient({ url: process.argv[2] });

const { serverInfo, era } = await client.connect();
console.log(`${serverInfo?.name ?? "somebody"} speaks the ${era} protocol`);

for (const { name, description } of (await client.listTools()).tools) console.log(`${name}: ${description}`);
for (const { uri } of (await client.listResources()).resources) console.log(uri);

const { content } = await client.callTool(
  "echo",
  { message: "hello" },
  { onProgress: ({ progress, total }) => console.log(progress, total), timeoutMs: 10_000 },
);
console.log(content);

await client.close();
// readme:end
