// A stdio server of the official collection behind `supergateway`, as people put them on HTTP; each in its own process.

import { fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { runAsScript } from "./lib.mjs";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
const entry = (name) => join(dirname(require.resolve(`${name}/package.json`)), "dist/index.js");

/** Quoted for the shell that supergateway runs its command in. */
const quoted = (words) => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");

/**
 * Starts a server on loopback.
 *
 * `server`: "memory" or "filesystem", which gets a `folder` of its own. `transport`: "streamableHttp" (sessions when
 * `stateful`) or "sse", which is HTTP+SSE of 2024-11-05.
 */
export async function start({ server = "memory", transport = "streamableHttp", stateful = true, port = 0 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "edgewise-gateway-"));
  const command = [process.execPath, entry(`@modelcontextprotocol/server-${server}`), ...(server === "filesystem" ? [folder] : [])];
  const args = ["--stdio", quoted(command), "--outputTransport", transport, "--port", String(port), "--logLevel", "none", "--cors"];
  if (stateful && transport === "streamableHttp") args.push("--stateful");
  const child = fork(entry("supergateway"), args, {
    env: { ...process.env, MEMORY_FILE_PATH: join(folder, "memory.jsonl") },
    execArgv: ["--import", join(here, "loopback.mjs")],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let complaints = "";
  child.stderr.on("data", (chunk) => (complaints = (complaints + chunk).slice(-2000)));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const listening = await Promise.race([
    new Promise((resolve) => child.once("message", resolve)),
    exited.then((code) => {
      throw new Error(`supergateway ended with ${code} before it listened: ${complaints}`);
    }),
  ]);
  return {
    url: `http://127.0.0.1:${listening.port}/${transport === "sse" ? "sse" : "mcp"}`,
    folder,
    async close() {
      // Politely, so that it ends the server that it has started.
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await exited;
      clearTimeout(late);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

await runAsScript(import.meta, start);
