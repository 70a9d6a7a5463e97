// A server of the modern era (2026-07-28) on the official `createMcpHandler`.

import { createMcpHandler, ProtocolError, ProtocolErrorCode, Server } from "@modelcontextprotocol/server";
import { toNodeHandler } from "@modelcontextprotocol/node";
import * as library from "./library.mjs";
import { cors, listen, runAsScript, sleep } from "./lib.mjs";

const text = (value) => ({ content: [{ type: "text", text: value }] });
const object = (properties, required = Object.keys(properties)) => ({ type: "object", properties, required });

/** The tools by name, in the order they are listed. `call` gets the arguments, the request's context and the notes. */
const TOOLS = {
  add: {
    description: "Adds two numbers.",
    inputSchema: object({ a: { type: "number", description: "First term" }, b: { type: "number", description: "Second term" } }),
    outputSchema: object({ sum: { type: "number" } }),
    annotations: { readOnlyHint: true, idempotentHint: true },
    call: ({ a, b }) => ({ ...text(String(a + b)), structuredContent: { sum: a + b } }),
  },
  echo: {
    description: "Echoes the given message.",
    inputSchema: object({ message: { type: "string", description: "What to echo" } }),
    annotations: { readOnlyHint: true, idempotentHint: true },
    call: ({ message }) => text(message),
  },
  slow: {
    description: "Takes its time and reports progress.",
    inputSchema: object({ steps: { type: "integer", minimum: 1 }, stepMs: { type: "integer", minimum: 0 } }, ["steps"]),
    annotations: { readOnlyHint: true },
    async call({ steps, stepMs = 20 }, { mcpReq }, state) {
      const progressToken = mcpReq._meta?.progressToken;
      for (let progress = 1; progress <= steps; progress++) {
        await sleep(stepMs);
        if (mcpReq.signal.aborted) {
          state.aborted += 1;
          throw new Error("aborted by the client");
        }
        if (progressToken === undefined) continue;
        const params = { progressToken, progress, total: steps, message: `step ${progress} of ${steps}` };
        await mcpReq.notify({ method: "notifications/progress", params });
      }
      return text(`finished ${steps} steps`);
    },
  },
  fail: {
    description: "Always fails.",
    inputSchema: object({ reason: { type: "string" } }, []),
    call: ({ reason = "as it always does" }) => ({ ...text(`failed: ${reason}`), isError: true }),
  },
  write_note: {
    description: "Stores a note.",
    inputSchema: object({ note: { type: "string", description: "The note's text" } }),
    call({ note }, _context, state) {
      state.notes.push(note);
      return text(`stored note ${state.notes.length}`);
    },
  },
  list_notes: {
    description: "Lists the stored notes.",
    inputSchema: object({}),
    annotations: { readOnlyHint: true },
    call: (_args, _context, state) => text(state.notes.map((note, at) => `${at + 1}. ${note}`).join("\n") || "no notes"),
  },
};

/** One page of the tool list; the cursor is the index of the page's first tool. */
function page(cursor, pageSize) {
  const from = Number(cursor ?? 0);
  const names = Object.keys(TOOLS);
  const tools = names.slice(from, from + pageSize).map((name) => {
    const { call: _call, ...definition } = TOOLS[name];
    return { name, ...definition };
  });
  const next = from + pageSize;
  return next < names.length ? { tools, nextCursor: String(next) } : { tools };
}

/** The server itself, for any transport. */
export function make({ state = { notes: [], aborted: 0 }, pageSize = 4 } = {}) {
  const server = new Server({ name: "modern", version: "1.0.0" }, { capabilities: { tools: {}, ...library.capabilities } });
  library.register(server);
  server.setRequestHandler("tools/list", ({ params }) => page(params?.cursor, pageSize));
  server.setRequestHandler("tools/call", ({ params }, context) => {
    const tool = Object.hasOwn(TOOLS, params.name) ? TOOLS[params.name] : undefined;
    if (!tool) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `unknown tool ${params.name}`);
    return tool.call(params.arguments ?? {}, context, state);
  });
  return server;
}

/**
 * Starts the server on loopback.
 *
 * `legacy` is "reject" (modern only, the default) or "stateless". `token`: demand this bearer token.
 * `guard(request, response)` comes before everything and says whether it has answered. `cors: false`:
 * send no CORS headers and refuse preflights, as many servers do. `requests` records `{ method, headers }` of every
 * HTTP request, preflights included; `state.notes` and `state.aborted` tell what the tools did.
 */
export async function start({ port = 0, pageSize = 4, legacy = "reject", token, guard, cors: allowPages = true } = {}) {
  const state = { notes: [], aborted: 0 };
  const requests = [];
  const handler = createMcpHandler(() => make({ state, pageSize }), { legacy });
  const serve = toNodeHandler(handler);
  const server = await listen((request, response) => {
    requests.push({ method: request.method, headers: { ...request.headers } });
    if (guard?.(request, response)) return;
    if (allowPages && cors(request, response, "Mcp-Session-Id, WWW-Authenticate")) return;
    if (!allowPages && request.method === "OPTIONS") return response.writeHead(405).end();
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      response.setHeader("WWW-Authenticate", 'Bearer error="invalid_token"');
      return response.writeHead(401).end();
    }
    if (new URL(request.url, "http://localhost").pathname !== "/mcp") return response.writeHead(404).end();
    serve(request, response);
  }, port);
  return {
    url: `${server.origin}/mcp`,
    requests,
    state,
    async close() {
      await handler.close();
      await server.close();
    },
  };
}

await runAsScript(import.meta, start);
