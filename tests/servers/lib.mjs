// What the fixture servers share: a loopback listener, CORS for pages, and a way to be run as a script.

import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

/**
 * Serves `handler` on 127.0.0.1 and resolves once it listens.
 *
 * `close()` also ends open streams, so that a test never waits for a client that forgot one.
 */
export async function listen(handler, port = 0) {
  const server = createServer(handler);
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    /** Breaks every connection, streams included. */
    drop: () => server.closeAllConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * Sets the CORS headers that let any page call; answers a preflight and returns true for it.
 *
 * Every requested header is allowed. `exposed` are the response headers that scripts may read.
 */
export function cors(request, response, exposed) {
  response.setHeader("Access-Control-Allow-Origin", "*");
  response.setHeader("Access-Control-Expose-Headers", exposed);
  if (request.method !== "OPTIONS") return false;
  response.setHeader("Access-Control-Allow-Methods", "GET, POST, DELETE");
  response.setHeader("Access-Control-Allow-Headers", request.headers["access-control-request-headers"] ?? "");
  response.writeHead(204).end();
  return true;
}

/** Reads a request's body as text. */
export async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** When `meta` is the module that was started, starts its server on the port given as the first argument. */
export async function runAsScript(meta, start) {
  if (!process.argv[1] || meta.url !== pathToFileURL(process.argv[1]).href) return;
  const server = await start({ port: Number(process.argv[2] ?? 0) });
  console.log(server.url);
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, async () => {
      await server.close();
      process.exit(0);
    });
  }
}
