// The official server-everything over Streamable HTTP or HTTP+SSE, as its own process: the 2025 era, sessions and all.

import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runAsScript } from "./lib.mjs";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));

/**
 * Starts the server on loopback. Its own CORS reflects the requested headers and exposes `Mcp-Session-Id`, so a page
 * can use it directly. `transport`: "streamableHttp", or "sse" for HTTP+SSE of 2024-11-05.
 */
export async function start({ port = 0, transport = "streamableHttp" } = {}) {
  const root = dirname(require.resolve("@modelcontextprotocol/server-everything/package.json"));
  const child = fork(join(root, "dist/index.js"), [transport], {
    env: { ...process.env, PORT: String(port) },
    execArgv: ["--import", join(here, "loopback.mjs")],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let complaints = "";
  child.stderr.on("data", (chunk) => (complaints = (complaints + chunk).slice(-2000)));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const listening = await Promise.race([
    new Promise((resolve) => child.once("message", resolve)),
    exited.then((code) => {
      throw new Error(`server-everything ended with ${code} before it listened: ${complaints}`);
    }),
  ]);
  return {
    url: `http://127.0.0.1:${listening.port}/${transport === "sse" ? "sse" : "mcp"}`,
    async close() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

await runAsScript(import.meta, start);
