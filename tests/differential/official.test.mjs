// The official TypeScript client and ours ask the same servers the same things, and must be told the same.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { installed, project } from "../package/lib.mjs";
import * as everything from "../servers/everything.mjs";
import * as gateway from "../servers/gateway.mjs";
import * as modern from "../servers/modern.mjs";

const { path } = await project();
const { McpClient } = await installed(path);

/** The official client behind the same few names. */
async function official(url) {
  // It leaves the fallback to HTTP+SSE to the app; ours has to find it by itself.
  const sse = url.endsWith("/sse");
  const client = new Client({ name: "official", version: "1.0.0" }, { versionNegotiation: { mode: sse ? "legacy" : "auto" } });
  await client.connect(new (sse ? SSEClientTransport : StreamableHTTPClientTransport)(new URL(url)));
  const pages = async (list, key) => {
    const elements = [];
    let cursor;
    do {
      const page = await list(cursor === undefined ? {} : { cursor });
      elements.push(...page[key]);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return elements;
  };
  const capable = (name) => client.getServerCapabilities()?.[name] !== undefined;
  return {
    info: () => ({ serverInfo: client.getServerVersion(), instructions: client.getInstructions() }),
    tools: () => pages((params) => client.listTools(params), "tools"),
    resources: () => (capable("resources") ? pages((params) => client.listResources(params), "resources") : []),
    resourceTemplates: () => (capable("resources") ? pages((params) => client.listResourceTemplates(params), "resourceTemplates") : []),
    prompts: () => (capable("prompts") ? pages((params) => client.listPrompts(params), "prompts") : []),
    call: (name, input, progress) => client.callTool({ name, arguments: input }, { onprogress: (notice) => progress.push(notice) }),
    read: (uri) => client.readResource({ uri }),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (ref, argument) => client.complete({ ref, argument }),
    close: () => client.close(),
  };
}

async function ours(url) {
  const client = new McpClient({ url });
  await client.connect();
  return {
    info: () => ({ serverInfo: client.info().serverInfo, instructions: client.info().instructions }),
    tools: async () => (await client.listTools()).tools,
    resources: async () => (await client.listResources()).resources,
    resourceTemplates: async () => (await client.listResourceTemplates()).resourceTemplates,
    prompts: async () => (await client.listPrompts()).prompts,
    call: (name, input, progress) => client.callTool(name, input, { onProgress: (notice) => progress.push(notice) }),
    read: (uri) => client.readResource(uri),
    prompt: (name, args) => client.getPrompt(name, args),
    complete: (ref, argument) => client.complete(ref, argument),
    close: () => client.close(),
  };
}

/** What came of it: the result, or the code of the server's refusal. */
async function outcome(promise) {
  try {
    return { result: tidy(await promise) };
  } catch (error) {
    const code = error.rpcCode ?? error.code;
    assert.equal(typeof code, "number", `refused by the server: ${error}`);
    return { refused: code };
  }
}

/** Without what says only how the answer travelled: both clients take its type away or leave it as they see fit. */
function tidy(value) {
  const { resultType: _, ttlMs: _ttl, cacheScope: _scope, ...rest } = value;
  // The official client adds it where a legacy server left it out.
  if (rest.isError === false) delete rest.isError;
  if (rest._meta && Object.keys(rest._meta).length === 0) delete rest._meta;
  return rest;
}

/** Asks both the same and compares; gives what they were told. */
async function both(clients, ask) {
  const [theirs, mine] = [await ask(clients.official), await ask(clients.ours)];
  assert.deepEqual(mine, theirs);
  return mine;
}

async function compare(t, url, { calls = [], prompts = [], completions = [], reads = [], volatile = [] }) {
  const clients = { official: await official(url), ours: await ours(url) };
  t.after(() => Promise.all([clients.official.close(), clients.ours.close()]));
  const said = await both(clients, async (client) => {
    const { serverInfo, instructions } = await client.info();
    const { name, version, title } = serverInfo;
    return { name, version, title, instructions };
  });
  assert.ok(said.name);
  const counts = {};
  for (const list of ["tools", "resources", "resourceTemplates", "prompts"]) {
    counts[list] = (await both(clients, (client) => client[list]())).length;
  }
  for (const [name, input] of calls) {
    const noticed = { official: [], ours: [] };
    const told = {};
    for (const who of ["official", "ours"]) told[who] = await outcome(clients[who].call(name, input, noticed[who]));
    if (!volatile.includes(name)) assert.deepEqual(told.ours, told.official, name);
    // The official client drops a notice that comes right before the result; ours must not have fewer.
    assert.deepEqual(noticed.ours.slice(0, noticed.official.length), noticed.official, `progress of ${name}`);
    if (input.steps !== undefined) assert.equal(noticed.ours.length, input.steps, `progress of ${name}`);
  }
  for (const uri of reads) await both(clients, (client) => outcome(client.read(uri)));
  for (const [name, args] of prompts) await both(clients, (client) => outcome(client.prompt(name, args)));
  for (const [ref, argument] of completions) await both(clients, (client) => outcome(client.complete(ref, argument)));
  return counts;
}

for (const transport of ["streamableHttp", "sse"]) test(`server-everything, ${transport}`, async (t) => {
  const server = await everything.start({ transport });
  t.after(server.close);
  const counts = await compare(t, server.url, {
    calls: [
      ["echo", { message: "héllo \u{1F600}\n" }],
      ["get-sum", { a: 17, b: 0.1 }],
      ["get-sum", { a: "seventeen" }],
      ["get-tiny-image", {}],
      ["get-annotated-message", { messageType: "error", includeImage: true }],
      ["get-structured-content", { location: "New York" }],
      ["get-resource-links", { count: 3 }],
      ["get-resource-reference", { resourceType: "Text", resourceId: 2 }],
      ["trigger-long-running-operation", { duration: 1, steps: 4 }],
      ["no-such-tool", {}],
    ],
    // Tells the time.
    volatile: ["get-resource-reference"],
    reads: ["demo://resource/static/document/architecture.md", "demo://nowhere"],
    prompts: [["simple-prompt", {}], ["args-prompt", { city: "Oslo" }], ["args-prompt", {}], ["no-such-prompt", {}]],
    completions: [
      [{ type: "ref/prompt", name: "completable-prompt" }, { name: "department", value: "" }],
      [{ type: "ref/resource", uri: "demo://resource/dynamic/text/{resourceId}" }, { name: "resourceId", value: "1" }],
    ],
  });
  assert.ok(counts.tools > 8 && counts.resources > 3 && counts.resourceTemplates > 0 && counts.prompts > 3, JSON.stringify(counts));
});

test("createMcpHandler, modern", async (t) => {
  const server = await modern.start({ pageSize: 2 });
  t.after(server.close);
  const counts = await compare(t, server.url, {
    calls: [
      ["add", { a: 17, b: 25 }],
      ["echo", { message: "Grüße" }],
      ["slow", { steps: 3, stepMs: 5 }],
      ["fail", { reason: "on purpose" }],
      ["no-such-tool", {}],
    ],
    reads: ["nowhere://at.all"],
    prompts: [["no-such-prompt", {}]],
  });
  assert.ok(counts.tools > 4 && counts.resources > 0 && counts.prompts > 0, JSON.stringify(counts));
});

test("createMcpHandler, modern: every resource, prompt and completion of its library", async (t) => {
  const server = await modern.start();
  t.after(server.close);
  const clients = { official: await official(server.url), ours: await ours(server.url) };
  t.after(() => Promise.all([clients.official.close(), clients.ours.close()]));
  for (const { uri } of await clients.ours.resources()) await both(clients, (client) => outcome(client.read(uri)));
  for (const { name, arguments: args = [] } of await clients.ours.prompts()) {
    const filled = Object.fromEntries(args.map((argument) => [argument.name, "x"]));
    await both(clients, (client) => outcome(client.prompt(name, filled)));
    for (const argument of args) {
      await both(clients, (client) => outcome(client.complete({ type: "ref/prompt", name }, { name: argument.name, value: "" })));
    }
  }
});

for (const [how, options] of [["with sessions", {}], ["without sessions", { stateful: false }], ["HTTP+SSE", { transport: "sse" }]]) {
  test(`server-memory behind supergateway, ${how}`, async (t) => {
    const server = await gateway.start({ server: "memory", ...options });
    t.after(server.close);
    const oslo = { name: "Oslo", entityType: "city", observations: ["rains"] };
    const counts = await compare(t, server.url, {
      calls: [
        ["create_entities", { entities: [oslo] }],
        ["read_graph", {}],
        ["search_nodes", { query: "rain" }],
        ["open_nodes", { names: ["Oslo", "Nowhere"] }],
        ["create_entities", { entities: "none" }],
      ],
      // The first of the two creates it, the second finds it there.
      volatile: ["create_entities"],
    });
    assert.ok(counts.tools > 5, JSON.stringify(counts));
  });
}

test("server-filesystem behind supergateway", async (t) => {
  const server = await gateway.start({ server: "filesystem" });
  t.after(server.close);
  await writeFile(join(server.folder, "note.txt"), "one\ntwo\n");
  await writeFile(join(server.folder, "dot.png"), Buffer.from("89504e470d0a1a0a", "hex"));
  const at = (name) => ({ path: join(server.folder, name) });
  const counts = await compare(t, server.url, {
    calls: [
      ["list_allowed_directories", {}],
      ["list_directory", { path: server.folder }],
      ["read_text_file", at("note.txt")],
      ["read_text_file", { ...at("note.txt"), head: 1 }],
      ["read_media_file", at("dot.png")],
      ["read_text_file", at("missing.txt")],
      ["read_text_file", { path: "/etc/passwd" }],
      ["directory_tree", { path: server.folder }],
    ],
  });
  assert.ok(counts.tools > 8, JSON.stringify(counts));
});
