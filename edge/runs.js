// What every route that runs an agent needs: the agent, its secret, and the run as an answer.

import { Agent } from "edgewise";

import { Refusal } from "./answers.js";
import { demandKey, explain } from "./config.js";

// One agent per request: a Worker may not use a connection that another request opened.
export function agentOf(config) {
  let agent;
  try {
    agent = new Agent(config);
  } catch (error) {
    throw explain(error);
  }
  demandKey(config.model);
  return agent;
}

/** The run as an event stream. One that may be put away ends with `suspended` where it would need approvals. */
export function stream(run, suspend, ctx, after) {
  if (suspend) run.onSuspend(() => {});
  // Legacy MCP sessions are ended at the server, also when the caller has gone.
  ctx.waitUntil(run.result.catch(() => {}).then(after));
  return run.toResponse({ headers: { "cache-control": "no-store" } });
}

/** Without it a caller could have calls made that no model has asked for. */
export function demandSecret({ snapshotSecret }) {
  if (snapshotSecret !== undefined) return;
  const message = "SNAPSHOT_SECRET is not set, so runs cannot be put away: run `npx wrangler secret put SNAPSHOT_SECRET`";
  throw new Refusal(500, "config", message, { path: "SNAPSHOT_SECRET" });
}
