// The client that the conformance suite starts: `node client.mjs <server url>`, with the scenario in the environment.

import { McpClient } from "../../pkg/node.js";
import { play } from "./scenarios.mjs";

const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_CONTEXT: context = "{}" } = process.env;
try {
  await play(McpClient, process.argv[2], scenario, JSON.parse(context));
} catch (error) {
  console.error(String(error?.stack ?? error));
  process.exitCode = 1;
}
