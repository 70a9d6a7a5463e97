// Answers what the laws of `Platform` ask for; `tests/platform/laws.rs` has the table. CORS is open to everybody.

import { body, cors, listen, runAsScript, sleep } from "./lib.mjs";

/** Starts the server; `nobody` is a URL on which nothing listens. */
export async function start({ port = 0 } = {}) {
  // Exchanges that are still open, by id.
  const open = new Map();
  const hold = (id, response) => {
    open.set(id, (open.get(id) ?? 0) + 1);
    response.once("close", () => open.set(id, open.get(id) - 1));
  };
  const routes = {
    async "/echo"(request, response) {
      const echo = { method: request.method, body: await body(request), header: request.headers["x-law"] ?? null };
      response.setHeader("Content-Type", "application/json").end(JSON.stringify(echo));
    },
    async "/chunks"(_request, response, query) {
      response.writeHead(200, { "Content-Type": "text/plain" }).flushHeaders();
      for (let n = 0; n < Number(query.get("count")) && !response.destroyed; n++) {
        response.write(`${n}\n`);
        await sleep(Number(query.get("gap")));
      }
      response.end();
    },
    "/empty": (_request, response) => response.writeHead(204).end(),
    "/silent": (_request, response, query) => hold(query.get("id"), response),
    async "/drip"(_request, response, query) {
      hold(query.get("id"), response);
      response.writeHead(200, { "Content-Type": "text/plain" });
      for (; !response.destroyed; await sleep(20)) response.write("drip\n");
    },
    async "/reset"(_request, response) {
      response.writeHead(200, { "Content-Type": "text/plain" }).write("partial\n");
      await sleep(100);
      response.destroy();
    },
    "/refuse": (_request, response) => response.writeHead(429, { "Retry-After": "2" }).end("slow down"),
    "/open": (_request, response, query) => response.end(String(open.get(query.get("id")) ?? 0)),
  };
  const server = await listen(async (request, response) => {
    if (cors(request, response, "retry-after")) return;
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const route = Object.hasOwn(routes, pathname) ? routes[pathname] : (_, answer) => answer.writeHead(404).end();
    await route(request, response, searchParams);
  }, port);
  const unused = await listen(() => {});
  await unused.close();
  return { url: JSON.stringify({ base: server.origin, nobody: unused.origin }), close: server.close };
}

await runAsScript(import.meta, start);
// Whoever started the script holds its standard input, and need not end well.
if (process.argv[1] === import.meta.filename) process.stdin.resume().once("end", () => process.exit(0));
