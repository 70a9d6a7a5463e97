// Serves folders of files on loopback with the MIME types that pages need.

import { readFile } from "node:fs/promises";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { listen } from "./lib.mjs";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/**
 * Starts the server. `mounts` maps URL prefixes that end in `/` to folders; the longest that fits wins. `files` maps
 * URL paths to `[type, content]` and comes before any folder. `headers` go with every answer, a policy for instance.
 * Nothing is cached, so that a reload shows what was built last.
 */
export async function start({ port = 0, mounts = {}, files = {}, headers = {} } = {}) {
  const prefixes = Object.keys(mounts).sort((a, b) => b.length - a.length);
  const requests = [];
  const server = await listen(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    requests.push({ method: request.method, path });
    const answer = (status, type, content) => {
      response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store", ...headers });
      response.end(request.method === "HEAD" ? undefined : content);
    };
    if (Object.hasOwn(files, path)) return answer(200, ...files[path]);
    const prefix = prefixes.find((candidate) => path.startsWith(candidate));
    if (prefix !== undefined) {
      const folder = mounts[prefix];
      const rest = path.slice(prefix.length);
      const file = normalize(join(folder, rest === "" || rest.endsWith("/") ? `${rest}index.html` : rest));
      const content = file.startsWith(normalize(folder + sep)) ? await readFile(file).catch(() => undefined) : undefined;
      if (content) return answer(200, TYPES[extname(file)] ?? "application/octet-stream", content);
    }
    answer(404, "text/plain; charset=utf-8", `nothing at ${path}\n`);
  }, port);
  return { url: `${server.origin}/`, requests, close: server.close };
}

/** The mounts of a page that imports the package from `/edgewise/index.js`, as `cargo xtask dev` serves it. */
export function siteMounts() {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  return { "/": join(root, "www"), "/edgewise/": join(root, "pkg") };
}
