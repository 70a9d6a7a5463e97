// The deployable worker: `POST /v1/run` streams a run, `GET /v1/health` says what is configured; everything else is a
// static file, which never reaches this code.

import { Agent, version } from "edgewise";

import { authorise, cors, preflight } from "./access.js";
import { failure, json, Refusal } from "./answers.js";
import { readBody } from "./body.js";
import { demandKey, explain, options } from "./config.js";

const ROUTES = { "/v1/run": { POST: run }, "/v1/health": { GET: health } };

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (!/^\/v1(\/|$)/.test(url.pathname)) return new Response("not found\n", { status: 404 });
    let headers = {};
    let response;
    try {
      headers = cors(request, env, url);
      if (request.method === "OPTIONS") return preflight(headers);
      await authorise(request, env, url);
      response = await route(request, url)(request, env, ctx);
    } catch (error) {
      response = failure(error);
    }
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  },
};

function route(request, url) {
  const methods = Object.hasOwn(ROUTES, url.pathname) ? ROUTES[url.pathname] : undefined;
  if (methods === undefined) {
    throw new Refusal(404, "misuse", `no such route; there are ${Object.keys(ROUTES).join(" and ")}`);
  }
  if (Object.hasOwn(methods, request.method)) return methods[request.method];
  const allow = Object.keys(methods).join(", ");
  throw new Refusal(405, "misuse", `this route takes ${allow}`, { headers: { allow } });
}

async function run(request, env, ctx) {
  const config = options(env);
  const agent = agentOf(config);
  const { prompt, followUps, ...body } = await readBody(request, config.limits.maxTurns);
  // Whoever reads the stream has no way back into it: a call that needs approval is denied, it does not wait.
  const run = agent.run(prompt, { ...body, signal: request.signal, unattended: true });
  for (const text of followUps) run.followUp(text);
  // Legacy MCP sessions are ended at the server, also when the caller has gone.
  ctx.waitUntil(run.result.catch(() => {}).then(() => agent.close()));
  return run.toResponse({ headers: { "cache-control": "no-store" } });
}

// One agent per request: a Worker may not use a connection that another request opened.
function agentOf(config) {
  let agent;
  try {
    agent = new Agent(config);
  } catch (error) {
    throw explain(error);
  }
  demandKey(config.model);
  return agent;
}

function health(_request, env) {
  const config = options(env);
  const agent = agentOf(config);
  const { provider, id = provider } = config.model;
  const servers = agent.servers().map((server) => server.name);
  return json({ version, model: { provider, id }, servers, approval: config.approval, ...config.limits });
}
