// The deployable worker: `POST /v1/run` streams a run, `POST /v1/resume` goes on with one that was put away, `POST /v1/plan`
// runs a plan, `POST /v1/count` counts tokens, `/v1/conversations/<id>` is a conversation in a Durable Object, `GET /v1/health`
// says what is configured. Everything else is a static file, which never reaches this code.

import { version } from "edgewise";

import { authorise, cors, preflight } from "./access.js";
import { failure, json, Refusal } from "./answers.js";
import { readBody, readPlan, readResume } from "./body.js";
import { placeOf, toObject } from "./conversation.js";
import { agentFor, agentOf, COUNTED, demandSecret, given, stream } from "./runs.js";

export { Conversation } from "./conversation.js";

const ROUTES = {
  "/v1/run": { POST: run },
  "/v1/resume": { POST: resume },
  "/v1/plan": { POST: plan },
  "/v1/count": { POST: count },
  "/v1/health": { GET: health },
};
const IN_CONVERSATION = {
  "": { GET: toObject, POST: toObject, DELETE: toObject },
  resume: { POST: toObject },
  steer: { POST: toObject },
  count: { POST: toObject },
  results: { GET: toObject },
};

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
  const methods = place ? IN_CONVERSATION[place.part] : Object.hasOwn(ROUTES, url.pathname) ? ROUTES[url.pathname] : undefined;
  if (methods === undefined) {
    throw new Refusal(404, "misuse", `no such route; there are ${Object.keys(ROUTES).join(", ")} and /v1/conversations/<id>`);
  }
  if (Object.hasOwn(methods, request.method)) return methods[request.method];
  const allow = Object.keys(methods).join(", ");
  throw new Refusal(405, "misuse", `this route takes ${allow}`, { headers: { allow } });
}

async function run(request, env, ctx) {
  const { agent, config, end } = agentFor(env);
  const { prompt, followUps, suspend, ...body } = await readBody(request, config.limits.maxTurns);
  if (suspend) demandSecret(config);
  const run = agent.run(prompt, { ...body, ...given(request) });
  for (const text of followUps) run.followUp(text);
  return stream(run, suspend, ctx, end);
}

async function resume(request, env, ctx) {
  const { agent, config, end } = agentFor(env);
  demandSecret(config);
  const { snapshot, decisions } = await readResume(request, ["run"]);
  const { meta: _, ...options } = given(request);
  return stream(agent.resume(snapshot, { ...options, decisions }), true, ctx, end);
}

async function plan(request, env, ctx) {
  const { agent, end } = agentFor(env);
  const { plan, preview } = await readPlan(request);
  if (!preview) return stream(agent.runPlan(plan, given(request)), false, ctx, end);
  try {
    return json(await agent.previewPlan(plan, { signal: request.signal }));
  } finally {
    ctx.waitUntil(end());
  }
}

async function count(request, env, ctx) {
  const { agent, config, end } = agentFor(env);
  const { prompt, messages, mode, output, attachments } = await readBody(request, config.limits.maxTurns, ["messages", ...COUNTED]);
  try {
    return json(await agent.countTokens(prompt, { messages, mode, output, attachments, signal: request.signal }));
  } finally {
    ctx.waitUntil(end());
  }
}

function health(_request, env) {
  const { agent, config } = agentOf(env);
  const { provider, id = provider } = config.model;
  const servers = agent.servers().map((server) => server.name);
  return json({ version, model: { provider, id }, servers, approval: config.approval, ...config.limits });
}
