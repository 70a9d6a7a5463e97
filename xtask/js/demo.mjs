// `cargo xtask demo`: a real MCP server, the edge worker under workerd, and the page; stops all of them with itself.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import * as everything from "../../tests/servers/everything.mjs";
import { sleep } from "../../tests/servers/lib.mjs";
import * as statics from "../../tests/servers/static.mjs";

const root = resolve(import.meta.dirname, "../..");
const port = Number(process.argv[2]);
// The page's source, and the copy that the worker serves.
const lists = ["www/demo.json", "target/site/demo.json"].map((path) => join(root, path));
const stops = lists.map((path) => () => rmSync(path, { force: true }));

let stopping = false;
let workerLog = "";
async function stop(code) {
  if (stopping) return;
  stopping = true;
  await Promise.allSettled(stops.map((each) => each()));
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop(0));

function fail(why) {
  if (stopping) return;
  console.error(`demo: ${why}\n${workerLog}`);
  stop(1);
}

/** The worker under workerd. A process group of its own, so that workerd ends with wrangler whatever happens. */
function worker(servers) {
  const wrangler = join(root, "tests/node_modules/wrangler/bin/wrangler.js");
  const flags = ["dev", "--ip", "127.0.0.1", "--port", String(port), "--var", "DEV:1", `MCP_SERVERS:${JSON.stringify(servers)}`, "--show-interactive-dev-session=false"];
  const child = spawn(process.execPath, [wrangler, ...flags], { cwd: root, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (workerLog = (workerLog + chunk).slice(-4000)));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  exited.then((code) => fail(`the edge worker ended (${code})`));
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // The group is gone already.
    }
  };
  stops.push(async () => {
    signal("SIGTERM");
    await Promise.race([exited, sleep(3000)]);
    signal("SIGKILL");
  });
  return `http://127.0.0.1:${port}/`;
}

/** Waits until something answers, whatever it says. */
async function answers(url, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end && !stopping; await sleep(200)) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response) return;
  }
  throw new Error(`${url} did not answer within ${seconds} s`);
}

try {
  console.log("=> starting the MCP server");
  const mcp = await everything.start();
  stops.push(mcp.close);
  // For the page, which runs its own agent, and for the worker's `/v1/run`.
  const servers = [{ name: "everything", url: mcp.url }];
  const list = JSON.stringify({ servers }, null, 2);
  for (const path of lists) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${list}\n`);
  }

  let page;
  if (existsSync(join(root, "wrangler.toml"))) {
    console.log("=> starting the edge worker under workerd");
    page = worker(servers);
  } else {
    const server = await statics.start({ port, mounts: statics.siteMounts() });
    stops.push(server.close);
    page = server.url;
  }
  await Promise.all([answers(page), answers(mcp.url)]);
  console.log(`\n  Demo page:   ${page}\n  MCP server:  ${mcp.url}\n\n  Ctrl-C stops both.\n`);
} catch (error) {
  fail(error.message);
}
