// The deployable worker: `POST /v1/run` streams a run, `POST /v1/resume` goes on with one that was put away, and
// `/v1/conversations/<id>` is a conversation that is kept in a Durable Object; `GET /v1/health` says what is configured.
// Everything else is a static file, which never reaches this code.

import { version } from "edgewise";

import { authorise, cors, preflight } from "./access.js";
import { failure, json, Refusal } from "./answers.js";
import { readBody, readResume } from "./body.js";
import { options } from "./config.js";
import { placeOf, toObject } from "./conversation.js";
import { agentOf, demandSecret, stream } from "./runs.js";

export { Conversation } from "./conversation.js";

const ROUTES = { "/v1/run": { POST: run }, "/v1/resume": { POST: resume }, "/v1/health": { GET: health } };
const IN_CONVERSATION = { "": { GET: toObject, POST: toObject, DELETE: toObject }, "/resume": { POST: toObject } };

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
      const answer = await route(request, url)(request, env, ctx);
      // One that comes from an object cannot be changed.
      response = new Response(answer.body, answer);
    } catch (error) {
      response = failure(error);
    }
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  },
};

function route(request, url) {
  const place = placeOf(url);
  const methods = place ? IN_CONVERSATION[place.rest] : Object.hasOwn(ROUTES, url.pathname) ? ROUTES[url.pathname] : undefined;
  if (methods === undefined) {
    throw new Refusal(404, "misuse", `no such route; there are ${Object.keys(ROUTES).join(", ")} and /v1/conversations/<id>`);
  }
  if (Object.hasOwn(methods, request.method)) return methods[request.method];
  const allow = Object.keys(methods).join(", ");
  throw new Refusal(405, "misuse", `this route takes ${allow}`, { headers: { allow } });
}

async function run(request, env, ctx) {
  const config = options(env);
  const agent = agentOf(config);
  const { prompt, followUps, suspend, ...body } = await readBody(request, config.limits.maxTurns);
  if (suspend) demandSecret(config);
  // Whoever reads the stream has no way back into it: a call that needs approval is denied, it does not wait.
  const run = agent.run(prompt, { ...body, signal: request.signal, unattended: true });
  for (const text of followUps) run.followUp(text);
  return stream(run, suspend, ctx, () => agent.close());
}

async function resume(request, env, ctx) {
  const config = options(env);
  demandSecret(config);
  const agent = agentOf(config);
  const { snapshot, decisions } = await readResume(request);
  const run = agent.resume(snapshot, { decisions, signal: request.signal, unattended: true });
  return stream(run, true, ctx, () => agent.close());
}

function health(_request, env) {
  const config = options(env);
  const agent = agentOf(config);
  const { provider, id = provider } = config.model;
  const servers = agent.servers().map((server) => server.name);
  return json({ version, model: { provider, id }, servers, approval: config.approval, ...config.limits });
}
