// Agents whose records lie in the storage of a Durable Object, for durable.test.mjs: one call of the agent per request.

import { DurableObject } from "cloudflare:workers";
import { Agent } from "edgewise";

import { storeOf } from "../../pkg/store.js";
import { brokenLaws } from "../package/records.mjs";

class Keeper extends DurableObject {
  async fetch(request) {
    const { what, given = [], servers = [] } = await request.json();
    if (what === "abort") this.ctx.abort("the test wants a new instance");
    if (what === "laws") return Response.json({ broken: await brokenLaws(storeOf(this.ctx.storage)) });
    if (what === "own") {
      await this.ctx.storage.put("own", given[0]);
      return Response.json({ keys: [...(await this.ctx.storage.list()).keys()].filter((key) => !key.startsWith("edgewise/")) });
    }
    // The server does not say that its tools reach no further than itself.
    const agent = new Agent({ model: { provider: "offline" }, servers, cache: { store: this.ctx.storage, tools: { "notes.echo": true } } });
    try {
      const [owner, method] = what.includes(".") ? [agent[what.split(".")[0]], what.split(".")[1]] : [agent, what];
      const value = await owner[method](...given);
      return Response.json({ value: value instanceof Blob ? await value.text() : value });
    } catch (error) {
      return Response.json({ error: error.toJSON?.() ?? String(error) });
    } finally {
      await agent.close();
    }
  }
}

/** Over SQLite, and over the older kind, whose values are at most 128 KiB. */
export class Lite extends Keeper {}
export class Older extends Keeper {}

export default {
  fetch(request, env) {
    const [, kind, name] = new URL(request.url).pathname.split("/");
    return env[kind].get(env[kind].idFromName(name)).fetch(request);
  },
};
