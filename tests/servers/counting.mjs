// Stands before another server and counts what its clients do with sessions of the 2025 era.

import { request as ask } from "node:http";

import { body, listen } from "./lib.mjs";

/**
 * Passes everything on to the server at `target`.
 *
 * `seen` has each POST, GET and DELETE: `{ http, method, id, session, last }`, with the `Last-Event-ID`; `sessions` what was begun, in order; `streams` how
 * many streams of a session are open, by its id, and `mostStreams` how many ever were at once.
 */
export async function start({ target, port = 0 }) {
  const { origin } = new URL(target);
  const seen = [];
  const sessions = [];
  const streams = new Map();
  const counted = { mostStreams: 0 };
  const responses = new Set();
  const server = await listen(async (incoming, outgoing) => {
    const text = incoming.method === "POST" ? await body(incoming) : "";
    const session = incoming.headers["mcp-session-id"];
    const { method, id } = text ? JSON.parse(text) : {};
    if (incoming.method !== "OPTIONS") seen.push({ http: incoming.method, method, id, session, last: incoming.headers["last-event-id"] });
    const { host, connection, ...headers } = incoming.headers;
    const onward = ask(`${origin}${incoming.url}`, { method: incoming.method, headers }, (answer) => {
      const begun = method === "initialize" && answer.headers["mcp-session-id"];
      if (begun) sessions.push(begun);
      if (incoming.method === "GET" && answer.statusCode === 200) {
        const open = (streams.get(session) ?? 0) + 1;
        streams.set(session, open);
        counted.mostStreams = Math.max(counted.mostStreams, open);
        answer.on("close", () => streams.set(session, streams.get(session) - 1));
        responses.add(outgoing);
        outgoing.on("close", () => responses.delete(outgoing));
      }
      outgoing.writeHead(answer.statusCode, answer.headers);
      outgoing.flushHeaders();
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    onward.end(text);
  }, port);
  return {
    url: target.replace(origin, server.origin),
    seen,
    sessions,
    streams,
    get mostStreams() {
      return counted.mostStreams;
    },
    /** How often that method was called, by JSON-RPC or HTTP. */
    count: (name) => seen.filter(({ http, method }) => method === name || http === name).length,
    /** Has the server forget a session, as a restart would. */
    forget: (session) => fetch(target, { method: "DELETE", headers: { "Mcp-Session-Id": session } }),
    /** Breaks every stream of a session off, as a network would. */
    drop: () => responses.forEach((stream) => stream.destroy()),
    close: server.close,
  };
}
