// A server of the modern era (2026-07-28) on the official `createMcpHandler`.

import { createMcpHandler, inputRequired, ProtocolError, ProtocolErrorCode, Server } from "@modelcontextprotocol/server";
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

/** Asks for a form and the roots, then for a visit to a page, before it answers with everything that it was told. */
const ASKS = {
  plan_trip: {
    description: "Plans a trip, asking the traveller for details.",
    inputSchema: object({ place: { type: "string", description: "Where to go" } }),
    annotations: { readOnlyHint: true },
    call({ place }, { mcpReq }, state) {
      const responses = mcpReq.inputResponses ?? {};
      state.rounds.push({ responses, requestState: mcpReq.requestState?.() });
      if (responses.pay) return text(`${place}: ${JSON.stringify(JSON.parse(mcpReq.requestState()).told)}, paid: ${responses.pay.action}`);
      if (responses.days) {
        const told = { days: responses.days, roots: responses.roots };
        const pay = inputRequired.elicitUrl({ message: "Please pay.", url: "https://pay.test/?trip=1" });
        return inputRequired({ inputRequests: { pay }, requestState: JSON.stringify({ told, end: "ü\u2028 " }) });
      }
      const requestedSchema = object({ days: { type: "integer", minimum: 1, maximum: 30 }, hotel: { type: "boolean", default: true } }, ["days"]);
      const days = inputRequired.elicit({ message: `How many days in ${place}?`, requestedSchema });
      const mayList = mcpReq.envelope?.["io.modelcontextprotocol/clientCapabilities"]?.roots !== undefined;
      return inputRequired({ inputRequests: mayList ? { days, roots: inputRequired.listRoots() } : { days } });
    },
  },
};

/** One page of the tool list; the cursor is the index of the page's first tool. */
function page(cursor, pageSize, all) {
  const from = Number(cursor ?? 0);
  const names = Object.keys(all);
  const tools = names.slice(from, from + pageSize).map((name) => {
    const { call: _call, ...definition } = all[name];
    return { name, ...definition };
  });
  const next = from + pageSize;
  return next < names.length ? { tools, nextCursor: String(next) } : { tools };
}

/** The server itself, for any transport. */
export function make({ state = { notes: [], aborted: 0, rounds: [] }, pageSize = 4, all = TOOLS, changes = false } = {}) {
  const told = { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true } };
  const capabilities = { tools: {}, ...library.capabilities, ...(changes && told) };
  const server = new Server({ name: "modern", version: "1.0.0" }, { capabilities });
  library.register(server, state.texts);
  server.setRequestHandler("tools/list", ({ params }) => page(params?.cursor, pageSize, all));
  server.setRequestHandler("tools/call", ({ params }, context) => {
    const tool = Object.hasOwn(all, params.name) ? all[params.name] : undefined;
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
 * HTTP request, preflights included. `asks`: there is a tool that asks. `state.notes` and `state.aborted` tell what the
 * tools did, and `state.texts` makes documents say something else. `changes`: declare that changes are told; `notify` tells them, and `drop()` breaks every connection.
 */
export async function start({ port = 0, pageSize = 4, legacy = "reject", token, guard, cors: allowPages = true, asks = false, changes = false } = {}) {
  const state = { notes: [], aborted: 0, rounds: [], texts: {} };
  const all = asks ? { ...TOOLS, ...ASKS } : TOOLS;
  const requests = [];
  const handler = createMcpHandler(() => make({ state, pageSize, all, changes }), { legacy });
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
    notify: handler.notify,
    drop: server.drop,
    async close() {
      await handler.close();
      await server.close();
    },
  };
}

await runAsScript(import.meta, start);
