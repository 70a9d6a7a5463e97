// Hits per second, and what a hit costs against the round trip that it saves: over memory in Node and over IndexedDB in
// Chromium, with small and large results. `cargo xtask bench cache [hits]`.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

import { start as serveFiles } from "../../tests/servers/static.mjs";

const root = join(import.meta.dirname, "../..");
const { chromium } = createRequire(join(root, "tests/package.json"))("playwright-core");
const hits = Number(process.argv[2] ?? 2000);
const SIZES = { "1 kB": 1_000, "100 kB": 100_000 };

/** Runs in Node and in the page alike: milliseconds for each call that was made, and for each that was cached. */
async function measure(Agent, url, length, hits, cpu) {
  const servers = [{ name: "bench", url }];
  const agent = new Agent({ model: { provider: "offline" }, servers, cache: { tools: { "bench.get": true } } });
  await agent.connect();
  const call = (n, cache) => agent.callTool("bench.get", { length, n }, { cache });
  await call(0);
  const time = async (count, make) => {
    const [from, used] = [performance.now(), cpu()];
    for (let at = 0; at < count; at += 1) await make(at);
    return { ms: (performance.now() - from) / count, cpu: (cpu() - used) / count };
  };
  const made = await time(Math.ceil(hits / 10), (at) => call(at % 50, "reload"));
  const hit = await time(hits, async (at) => {
    const { cached } = await call(at % 50);
    if (!cached) throw new Error("that was no hit");
  });
  const { store } = await agent.cache.stats();
  await agent.close();
  return { store, made, hit };
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*", "content-type": "application/json" };
    if (request.method !== "POST") return response.writeHead(request.method === "OPTIONS" ? 204 : 405, headers).end();
    const { id, method, params } = JSON.parse(Buffer.concat(chunks).toString());
    const tool = { name: "get", inputSchema: { type: "object" }, annotations: { readOnlyHint: true } };
    const results = {
      "server/discover": () => ({ supportedVersions: ["2026-07-28"], capabilities: { tools: {} } }),
      "tools/list": () => ({ tools: [tool], ttlMs: 60_000 }),
      "tools/call": () => ({ content: [{ type: "text", text: "x".repeat(params.arguments.length) }] }),
    };
    response.writeHead(200, headers).end(JSON.stringify({ jsonrpc: "2.0", id, result: { resultType: "complete", ...results[method]() } }));
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/mcp`;

function tell(where, size, { store, made, hit }) {
  const cpu = hit.cpu > 0 ? `, ${(hit.cpu * 1000).toFixed(0)} us CPU against ${(made.cpu * 1000).toFixed(0)}` : "";
  const saved = made.ms - hit.ms;
  console.log(`${where}, ${store}, ${size}: ${(1000 / hit.ms).toFixed(0)} hits/s, ${hit.ms.toFixed(3)} ms a hit, ${made.ms.toFixed(3)} ms a call on loopback (${saved.toFixed(3)} ms saved)${cpu}`);
}

const { Agent } = await import(join(root, "pkg/node.js"));
const used = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
for (const [size, length] of Object.entries(SIZES)) tell("Node", size, await measure(Agent, url, length, hits, used));

const site = await serveFiles({ mounts: { "/edgewise/": join(root, "pkg") }, files: { "/": ["text/html", "<!doctype html><title>bench</title>"] } });
const browser = await chromium.launch({ executablePath: process.env.CHROME ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const page = await browser.newPage();
await page.goto(site.url);
for (const [size, length] of Object.entries(SIZES)) {
  const given = [`${measure}`, url, length, hits];
  const told = await page.evaluate(async ([measure, url, length, hits]) => {
    const { init, Agent } = await import("/edgewise/browser.js");
    await init();
    const run = (await import(URL.createObjectURL(new Blob([`export default ${measure}`], { type: "text/javascript" })))).default;
    return run(Agent, url, length, hits, () => 0);
  }, given);
  tell("Chromium", size, told);
}
await Promise.all([browser.close(), site.close()]);
server.close();
