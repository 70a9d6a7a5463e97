// `/v1/conversations/<id>`: conversations that are kept, a Durable Object each.

import { failure, json, Refusal } from "./answers.js";
import { readBody, readResume } from "./body.js";
import { options } from "./config.js";
import { agentOf, demandSecret, stream } from "./runs.js";

const PATH = /^\/v1\/conversations\/([^/]{1,256})(\/resume)?$/;

/** The conversation that a URL is about, and what comes after its name; undefined for others. */
export function placeOf({ pathname }) {
  const [, name, rest = ""] = PATH.exec(pathname) ?? [];
  return name && { name, rest };
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
  #agent;

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
    const config = options(this.#env);
    this.#agent ??= agentOf({ ...config, cache: { store: this.#ctx.storage } });
    const chat = this.#agent.conversation("main");
    if (request.method === "GET") return json({ messages: await chat.messages() });
    if (request.method === "DELETE") {
      await chat.clear();
      return json({ messages: [] });
    }
    const more = { signal: request.signal, unattended: true };
    if (placeOf(new URL(request.url)).rest === "/resume") {
      demandSecret(config);
      const { snapshot, decisions } = await readResume(request);
      return stream(this.#agent.resume(snapshot, { ...more, decisions }), true, this.#ctx, () => {});
    }
    const fields = ["prompt", "maxTurns", "mode", "followUps", "suspend"];
    const { prompt, followUps, suspend, maxTurns, mode } = await readBody(request, config.limits.maxTurns, fields);
    if (suspend) demandSecret(config);
    const run = chat.send(prompt, { ...more, maxTurns, mode });
    for (const text of followUps) run.followUp(text);
    return stream(run, suspend, this.#ctx, () => {});
  }
}
