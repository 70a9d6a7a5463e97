// An MCP server with one fault at a time, each seen in the wild: CORS that is not set up, wrong addresses, broken metadata.

import { body, listen } from "./lib.mjs";

const MODERN = ["content-type", "authorization", "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "last-event-id"];
const json = (response, status, value, headers = {}) =>
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(value));

/** What the server does, by the name of its fault. */
const faults = {
  none: {},
  "no-cors": { origin: false },
  "no-mcp-method": { allow: MODERN.filter((name) => name !== "mcp-method") },
  "no-authorization": { allow: MODERN.filter((name) => name !== "authorization") },
  "nothing-allowed": { allow: [] },
  // Of the older era, so that it need not know the new headers.
  older: { legacy: true, allow: ["content-type", "mcp-session-id", "mcp-protocol-version", "last-event-id"], expose: "mcp-session-id" },
  "hidden-session": { legacy: true, expose: "" },
  html: { answer: (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><p>app") },
  empty: { answer: (response) => response.writeHead(200).end() },
  "not-found": { answer: (response) => json(response, 404, { error: "no such route" }) },
  redirect: { answer: (response) => response.writeHead(301, { Location: "/moved/mcp" }).end() },
  "no-metadata": { auth: true },
  "other-resource": { auth: true, resource: () => ({ resource: "https://other.test/mcp", authorization_servers: ["https://as.test"] }) },
  "other-issuer": { auth: true, resource: (origin) => ({ resource: `${origin}/mcp`, authorization_servers: [origin] }), issuer: () => ({ issuer: "https://other.test", token_endpoint: "https://other.test/token" }) },
  "sign-in": {
    auth: true,
    resource: (origin) => ({ resource: `${origin}/mcp`, authorization_servers: [origin] }),
    issuer: (origin) => ({ issuer: origin, token_endpoint: `${origin}/token`, authorization_endpoint: `${origin}/authorize`, code_challenge_methods_supported: ["S256"] }),
  },
};

/** Starts the server with that fault; `seen` lists what it was asked: method and path. */
export async function start({ fault = "none", port = 0 } = {}) {
  const { origin = true, allow = MODERN, expose = "mcp-session-id, www-authenticate", legacy, answer, auth, resource, issuer } = faults[fault];
  const seen = [];
  const server = await listen(async (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (origin) {
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Access-Control-Expose-Headers", expose);
    }
    if (request.method === "OPTIONS") {
      // A real preflight: the browser compares this list itself.
      if (origin) response.setHeader("Access-Control-Allow-Headers", allow.join(", "));
      return response.writeHead(204, { "Access-Control-Allow-Methods": "GET, POST, DELETE" }).end();
    }
    if (request.url.startsWith("/.well-known/")) {
      const document = request.url.includes("protected-resource") ? resource : issuer;
      return document ? json(response, 200, document(server.origin)) : json(response, 404, {});
    }
    if (answer && request.url !== "/moved/mcp") return answer(response);
    if (auth) return json(response, 401, {}, { "WWW-Authenticate": "Bearer" });
    if (request.method !== "POST") return json(response, 405, {});
    const { id = null, method } = JSON.parse(await body(request));
    const result = (value, headers) => json(response, 200, { jsonrpc: "2.0", id, result: value }, headers);
    const refuse = () => json(response, 400, { jsonrpc: "2.0", id: null, error: { code: -32000, message: "Bad Request: Server not initialized" } });
    if (!legacy) {
      if (method !== "server/discover") return refuse();
      return result({ resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: {} });
    }
    if (method === "initialize") return result({ protocolVersion: "2025-06-18", capabilities: {} }, { "Mcp-Session-Id": "s1" });
    if (request.headers["mcp-session-id"] !== "s1") return refuse();
    return result({ tools: [] });
  }, port);
  return { url: `${server.origin}/mcp`, seen, close: server.close };
}
