// What every route that runs an agent needs: the agent, its secret, and the run as an answer.

import { Agent, init } from "edgewise";

import { Refusal } from "./answers.js";
import { demandKey, explain, options } from "./config.js";
import { exporter, traceOf } from "./spans.js";

/**
 * The agent that is configured, with its configuration. One per request: a Worker may not use a connection that another
 * request opened. `flush` sends the spans of runs that have ended.
 */
export function agentOf(env, more) {
  const config = options(env);
  // The table of meanings is among the static files, and is loaded from there when context is first looked for.
  if (env.ASSETS) init(undefined, { embeddings: () => env.ASSETS.fetch("https://assets.local/edgewise/embeddings.bin") });
  const spans = exporter(env);
  let agent;
  try {
    agent = new Agent({ ...config, onSpan: spans?.onSpan, ...more });
  } catch (error) {
    throw explain(error);
  }
  demandKey(config.model);
  return { agent, config, flush: async () => spans?.flush() };
}

/** The same for one run: `end` is to be waited for when the run is over. */
export function agentFor(env) {
  const made = agentOf(env);
  // Legacy MCP sessions are ended at the server, also when the caller has gone.
  return { ...made, end: () => Promise.all([made.agent.close(), made.flush()]) };
}

/** What may be said of a run whose tokens are counted. */
export const COUNTED = ["prompt", "mode", "output", "attachments"];

/** Options of each run. Whoever reads the stream has no way back into it: a call that needs approval is denied, it does not wait. */
export const given = (request) => ({ signal: request.signal, unattended: true, meta: traceOf(request) });

/** The run as an event stream. One that may be put away ends with `suspended` where it would need approvals. */
export function stream(run, suspend, ctx, end) {
  if (suspend) run.onSuspend(() => {});
  ctx.waitUntil(run.result.catch(() => {}).then(end));
  return run.toResponse({ headers: { "cache-control": "no-store" } });
}

/** Without it a caller could have calls made that no model has asked for. */
export function demandSecret({ snapshotSecret }) {
  if (snapshotSecret !== undefined) return;
  const message = "SNAPSHOT_SECRET is not set, so runs cannot be put away: run `npx wrangler secret put SNAPSHOT_SECRET`";
  throw new Refusal(500, "config", message, { path: "SNAPSHOT_SECRET" });
}
