// `/v1/conversations/<id>`: conversations that are kept, a Durable Object each.

import { failure, json, Refusal } from "./answers.js";
import { readBody, readResume, readSteer } from "./body.js";
import { agentOf, COUNTED, demandSecret, given, stream } from "./runs.js";

/** Fields of a prompt; the history is here. */
const SAID = ["prompt", "maxTurns", "mode", "followUps", "suspend", "output", "attachments"];

const PATH = /^\/v1\/conversations\/([^/]{1,256})(?:\/(resume|steer|count)|\/(results)\/([^/]{1,256}))?$/;

/**
 * The conversation that a URL is about, and what of it: `resume`, `steer`, `count`, `results` with a handle, or "" for itself.
 * Undefined for other URLs.
 */
export function placeOf({ pathname }) {
  const [, name, verb, results, handle] = PATH.exec(pathname) ?? [];
  return name && { name, part: verb ?? results ?? "", handle };
}

/** A conversation is at home in its Durable Object. */
export function toObject(request, env) {
  if (!env.CONVERSATIONS) {
    throw new Refusal(500, "config", "there is no binding CONVERSATIONS in wrangler.toml", { path: "CONVERSATIONS" });
  }
  const { name } = placeOf(new URL(request.url));
  return env.CONVERSATIONS.get(env.CONVERSATIONS.idFromName(name)).fetch(request);
}

/** One conversation: its history is in the object's own storage, and two prompts at once come one after the other. */
export class Conversation {
  #ctx;
  #env;
  // Objects may share connections between requests, and the agent knows whose turn it is.
  #home;
  #open = new Set();

  constructor(ctx, env) {
    this.#ctx = ctx;
    this.#env = env;
  }

  async fetch(request) {
    try {
      return await this.#answer(request);
    } catch (error) {
      return failure(error);
    }
  }

  async #answer(request) {
    this.#home ??= agentOf(this.#env, { cache: { store: this.#ctx.storage } });
    const { agent, config } = this.#home;
    const chat = agent.conversation("main");
    const { part, handle } = placeOf(new URL(request.url));
    if (part === "resume") {
      demandSecret(config);
      const { snapshot, decisions } = await readResume(request, ["run", "always"]);
      const { meta: _, ...options } = given(request);
      return this.#run(agent.resume(snapshot, { ...options, decisions }), true);
    }
    if (part === "steer") {
      const { text, followUp } = await readSteer(request);
      return this.#steer(text, followUp);
    }
    if (part === "count") {
      const { prompt, mode, output, attachments } = await readBody(request, config.limits.maxTurns, COUNTED);
      return json(await chat.countTokens(prompt, { mode, output, attachments, signal: request.signal }));
    }
    if (part === "results") return json(await agent.readResult(decoded(handle)));
    if (request.method === "GET") return json({ messages: await chat.messages() });
    if (request.method === "DELETE") {
      await chat.clear();
      await agent.forgetApprovals();
      return json({ messages: [] });
    }
    const { prompt, followUps, suspend, messages: _, ...body } = await readBody(request, config.limits.maxTurns, SAID);
    if (suspend) demandSecret(config);
    const run = chat.send(prompt, { ...body, ...given(request) });
    for (const text of followUps) run.followUp(text);
    return this.#run(run, suspend);
  }

  #run(run, suspend) {
    this.#open.add(run);
    return stream(run, suspend, this.#ctx, () => {
      this.#open.delete(run);
      return this.#home.flush();
    });
  }

  /** Says something to the run that is under way: the oldest, since those behind it wait for it. */
  #steer(text, followUp) {
    for (const run of this.#open) {
      try {
        if (followUp) run.followUp(text);
        else run.steer(text);
        return json({ ok: true }, 202);
      } catch (error) {
        // It has ended this instant.
        if (error.code !== "misuse") throw error;
      }
    }
    throw new Refusal(409, "misuse", "no run is under way in this conversation");
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Refusal(400, "config", "handle: is no URL-encoded text", { path: "handle" });
  }
}
