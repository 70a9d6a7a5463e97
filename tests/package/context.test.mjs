// Context from the resources of real servers: chosen, filled into a budget, put before a model; and the table of meanings.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { browse, installed, project, root, serve, Shelf, started } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const { path } = await project({
  "context.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { Agent, init } from "./node_modules/edgewise/browser.js";
    await init();
    const tool = (name, description) => ({ name, description, execute: () => "done" });
    const tools = [tool("forecast", "Weather of the next days: rain, wind"), tool("invoice", "Bills a customer")];
    const agent = new Agent({ model: { provider: "offline" }, tools });
    const one = await agent.findTools("will I need an umbrella", { limit: 1 });
    const two = await agent.findTools("ask the client for money", { limit: 1 });
    globalThis.outcome = [one, two];
  </script>`,
});
const { Agent, EdgewiseError } = await installed(path);
const model = { provider: "offline" };

async function library(t, more) {
  const server = await modern.start();
  t.after(server.close);
  const agent = new Agent({ model, servers: [{ name: "library", url: server.url }], ...more });
  t.after(() => agent.close());
  return { agent, server };
}

test("a template is filled from the query, and its resource read", async (t) => {
  const { agent } = await library(t);
  const context = await agent.buildContext("What does the document beta say?");
  assert.deepEqual(context.sources.map(({ server, uri }) => `${server} ${uri}`), ["library docs://library/beta.md"]);
  assert.match(context.text, /Grüße aus beta/);
  const [source] = context.sources;
  const [passage] = source.shown;
  assert.deepEqual([passage.score, passage.from, source.shown.length], [source.score, 0, source.passages]);
  assert.ok("# beta\n\nGrüße aus beta.".slice(passage.from, passage.to).endsWith("beta."), JSON.stringify(passage));
  assert.ok(Number.isInteger(context.omitted) && context.meaningError === undefined);
  assert.equal(source.mimeType, "text/markdown");
  assert.ok(Math.abs(Date.now() - source.readAt) < 60_000 && source.score > 0 && source.tokens > 0);
  assert.equal(context.meaning, true, "in Node the table lies at hand");
});

test("what is meant for people alone does not go to a model, unless the app asks for more than there is room for", async (t) => {
  const { agent } = await library(t);
  const { sources } = await agent.buildContext("alpha", { resources: ["docs://library/alpha.md"] });
  assert.deepEqual(sources, []);
  const small = await agent.buildContext("What does the document beta say?", { maxTokens: 5 });
  assert.deepEqual([small.text, small.tokens, small.dropped.at(0)?.reason], ["", 0, "budget"]);
});

test("a run puts context before the prompt, and what was said before stays as it was", async (t) => {
  const answers = await llm.start({ turns: [{ text: "It greets." }, { text: "Again." }] });
  t.after(answers.close);
  const remote = { provider: "anthropic", id: "m", apiKey: "k", baseUrl: answers.url };
  const { agent } = await library(t, { model: remote, context: { embed: false, maxTokens: 500 } });
  const events = [];
  for await (const event of agent.run("What does the document beta say?")) events.push(event);
  const done = laws(events);
  const context = events.find((event) => event.type === "context");
  assert.deepEqual([context.sources[0].uri, context.meaning], ["docs://library/beta.md", false]);
  assert.ok(context.tokens > 0 && context.tokens <= 500);
  assert.match(done.messages[0].content[0].text, /^<context>\n[^]*Grüße aus beta/);
  assert.equal(done.messages[0].content[1].text, "What does the document beta say?");
  await agent.run("And gamma?", { messages: done.messages }).result;
  const [first, second] = answers.requests.map((request) => request.body.messages);
  assert.deepEqual(second.slice(0, 1).map(({ content }) => content.map(({ text }) => text)), first.map(({ content }) => content.map(({ text }) => text)));
});

test("the app tells what texts are about", async (t) => {
  const asked = [];
  const embed = (texts) => {
    asked.push(texts.length);
    return texts.map((text) => (/beta|second/.test(text) ? new Float32Array([1, 0]) : [0, 1]));
  };
  const { agent } = await library(t, { context: { embed }, tools: [] });
  const context = await agent.buildContext("document beta");
  assert.equal(context.meaning, true);
  assert.ok(asked.length > 0);
});

test("two agents with functions of their own do not share what those told", async (t) => {
  const tool = (name, description) => ({ name, description, execute: () => "done" });
  const tools = [tool("invoice", "Bills a customer"), tool("forecast", "Weather of the next days")];
  const asks = [];
  // The same texts, other meanings: what one calls north is south to the other.
  const make = (sign) => {
    const embed = (texts) => {
      asks.push(sign);
      return texts.map((text) => (/umbrella/.test(text) || /Bills/.test(text) === sign > 0 ? [1, 0] : [0, 1]));
    };
    const agent = new Agent({ model, tools, context: { embed } });
    t.after(() => agent.close());
    return agent.findTools("an umbrella", { limit: 1 });
  };
  assert.deepEqual([await make(1), await make(-1)], [["invoice"], ["forecast"]]);
  assert.deepEqual(new Set(asks), new Set([1, -1]));
});

test("an embed function that throws leaves the words, and is told of without what it threw", async (t) => {
  const embed = () => {
    throw new Error("the key sk-secret is refused");
  };
  const { agent } = await library(t, { context: { embed } });
  const context = await agent.buildContext("What does the document beta say?");
  assert.deepEqual([context.sources[0].uri, context.meaning], ["docs://library/beta.md", false]);
  assert.match(context.meaningError, /embed/);
  assert.ok(!context.meaningError.includes("secret"));
});

test("an endpoint of a provider tells what texts are about, once for all who share the store", async (t) => {
  const about = { rain: [0.9, 0.1, 0], money: [0, 1, 0.2] };
  let status;
  const embed = (text) => {
    if (status) throw status;
    return /rain|umbrella/i.test(text) ? about.rain : about.money;
  };
  const provider = await started(t, llm, { embed });
  const store = new Shelf();
  const tool = (name, description) => ({ name, description, execute: () => "done" });
  const tools = [tool("invoice", "Bills a customer"), tool("forecast", "Weather of the next days: rain, wind")];
  const make = (more) => {
    const meaning = { baseUrl: `${provider.url}/v1/`, id: "meanings-1", apiKey: "secret", headers: { "X-Team": "ferry" }, ...more };
    const agent = new Agent({ model, tools, context: { embed: meaning }, cache: { store } });
    t.after(() => agent.close());
    return agent;
  };
  assert.deepEqual(await make().findTools("will I need an umbrella", { limit: 1 }), ["forecast"]);
  assert.deepEqual(new Set(provider.embedded.map(({ path, headers, body }) => [path, headers.authorization, headers["x-team"], body.model].join(" "))), new Set(["/v1/embeddings Bearer secret ferry meanings-1"]));
  const texts = provider.embedded.flatMap(({ body }) => body.input);
  assert.ok(texts.length === 3 && texts.some((text) => text.includes("Bills a customer")), JSON.stringify(texts));
  const sizes = await make().storage.sizes();
  assert.deepEqual([sizes.spaces.embeddings.entries, sizes.spaces.embeddings.bytes], [3, 9], "a byte for each number");
  assert.ok(![...store.records].some((record) => JSON.stringify(record).includes("secret")));

  // What it told is known to the next agent, and another model's is not compared with it.
  assert.deepEqual(await make().findTools("will I need an umbrella", { limit: 1 }), ["forecast"]);
  assert.equal(provider.embedded.flatMap(({ body }) => body.input).length, 3);
  assert.deepEqual(await make({ id: "meanings-2" }).findTools("will I need an umbrella", { limit: 1 }), ["forecast"]);
  assert.equal(provider.embedded.flatMap(({ body }) => body.input).length, 6);

  // One that cannot answer, or answers something else, leaves the words.
  for (const answer of [429, () => "no numbers", () => []]) {
    const silent = await started(t, llm, { embed: typeof answer === "number" ? () => { throw answer; } : answer });
    const agent = make({ baseUrl: `${silent.url}/v1` });
    assert.deepEqual(await agent.findTools("will I need an umbrella", { limit: 1 }), []);
    assert.deepEqual(await agent.findTools("bills of customers", { limit: 1 }), ["invoice"]);
    assert.ok(silent.embedded.length > 0);
  }
  // It is asked again when it can, and an index without meanings is not kept for those who come later.
  tools.push(...Array.from({ length: 300 }, (_, at) => tool(`tool${at}`, "Does nothing of use")));
  status = 503;
  const later = make({ id: "meanings-3" });
  assert.deepEqual(await later.findTools("an umbrella", { limit: 1 }), []);
  assert.equal((await later.storage.sizes()).spaces.index.entries, 0);
  status = undefined;
  assert.deepEqual(await later.findTools("an umbrella", { limit: 1 }), ["forecast"]);
  assert.ok((await later.storage.sizes()).spaces.index.entries > 0);
  const asked = provider.embedded.length;
  assert.deepEqual(await make({ id: "meanings-3" }).findTools("an umbrella", { limit: 1 }), ["forecast"]);
  assert.equal(provider.embedded.length, asked);
});

test("mistakes are told by their path", async (t) => {
  const { agent } = await library(t);
  const path = (promise) => promise.then(() => undefined, (error) => (assert.ok(error instanceof EdgewiseError), error.path));
  assert.equal(await path(agent.buildContext(7)), "query");
  assert.equal(await path(agent.buildContext("x", { maxTokens: 0 })), "maxTokens");
  assert.equal(await path(agent.buildContext("x", { tokens: 1 })), "tokens");
  assert.equal(await path(agent.findTools("x", { limit: 0 })), "limit");
  assert.throws(() => new Agent({ model, context: { embed: "yes" } }), (error) => error.path === "context.embed");
  assert.throws(() => new Agent({ model, context: { embed: { id: "m" } } }), (error) => error.path === "context.embed.baseUrl");
});

test("a page loads the table when it is first needed, once", async () => {
  const open = await browse();
  const server = await serve(path);
  const { outcome } = await open(`${server.url}context.html`);
  assert.deepEqual(await outcome(), [["forecast"], ["invoice"]]);
  const loaded = server.requests.filter((request) => request.path.endsWith("embeddings.bin"));
  assert.equal(loaded.length, 1);
});

test("the table may be given when it is first used", async () => {
  const script = `
    import { readFile } from "node:fs/promises";
    import { Agent, init } from "edgewise";
    let calls = 0;
    await init(undefined, { embeddings: async () => (calls++, readFile("node_modules/edgewise/embeddings.bin")) });
    const tool = (name, description) => ({ name, description, execute: () => "done" });
    const agent = new Agent({ model: { provider: "offline" }, tools: [tool("invoice", "Bills a customer"), tool("forecast", "Weather: rain, wind")] });
    const before = calls;
    const found = [await agent.findTools("will I need an umbrella", { limit: 1 }), await agent.findTools("ask for money", { limit: 1 })];
    await agent.close();
    console.log(JSON.stringify([before, calls, found]));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { cwd: path });
  assert.deepEqual(JSON.parse(stdout), [0, 1, [["forecast"], ["invoice"]]]);
});

test("the table says where it comes from", async () => {
  const text = await readFile(join(root, "pkg/embeddings.md"), "utf8");
  assert.match(text, /all-MiniLM-L6-v2/);
  assert.match(text, /Apache License 2\.0/);
});
