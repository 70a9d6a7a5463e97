// Signing in where there is no window: the app gets the address and hands over where the user came back to. And tokens stay
// with the server that they are for. In Node.

import assert from "node:assert/strict";
import { test } from "node:test";

import { body, listen } from "../servers/lib.mjs";
import * as modern from "../servers/modern.mjs";
import * as oauth from "../servers/oauth.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent, McpClient, authorizeInPopup, completeAuthorization } = await installed(path);

const redirectUrl = "https://app.example/callback";

/** A store as an app has one, with its functions on the class. */
class Kept {
  texts = new Map();
  async load(key) {
    return this.texts.get(key) ?? null;
  }
  save(key, text) {
    if (text === null) this.texts.delete(key);
    else this.texts.set(key, text);
  }
}

async function world(t) {
  const authority = await oauth.start({ auto: true });
  const [server, open] = [await oauth.startProtected(authority), await modern.start()];
  t.after(() => Promise.all([authority.close(), server.close(), open.close()]));
  const agent = (store, servers = []) =>
    new Agent({
      model: { provider: "offline" },
      servers: [{ name: "closed", url: server.url, oauth: { redirectUrl, ...(store && { store }) } }, ...servers],
      approval: "never",
    });
  return { authority, server, open, agent };
}

/** What the user's browser does. */
const visit = async (url) => (await fetch(url, { redirect: "manual" })).headers.get("location");

async function events(run) {
  const all = [];
  for await (const event of run) all.push(event);
  return all;
}

test("a run goes on without the server, says where to sign in, and the next one has it", async (t) => {
  const { authority, open, agent: make } = await world(t);
  const store = new Kept();
  const agent = make(store, [{ name: "open", url: open.url }]);
  const first = await events(agent.run("What is 17 + 25?"));
  assert.equal(first.at(-1).type, "done");
  assert.match(first.at(-1).text, /42/, "by the other server");
  const status = first.find((event) => event.type === "server_status" && event.state === "auth_required");
  assert.deepEqual([status.server, status.reason.code], ["closed", "auth_required"]);
  const info = agent.servers().find(({ name }) => name === "closed");
  assert.deepEqual([info.state, info.error.authorizationUrl], ["auth_required", status.reason.authorizationUrl]);
  const texts = JSON.stringify([...store.texts.values()]);
  for (const secret of ["verifier"]) assert.ok(texts.includes(secret), "it survives in the app's store");

  // Another isolate takes the callback, with a new agent on the same store.
  const other = make(store);
  const callback = await visit(info.error.authorizationUrl);
  assert.equal((await other.finishAuthorization(callback)).state, "ready");
  await assert.rejects(other.finishAuthorization(callback), { code: "misuse" });
  await other.close();
  assert.deepEqual((await agent.callTool("closed.add", { a: 1, b: 2 })).structuredContent, { sum: 3 });
  assert.deepEqual([authority.grants, authority.violations], [["authorization_code"], []]);
  assert.ok(!JSON.stringify(first).includes("verifier") && !JSON.stringify(first).includes("access-"));

  // In the middle of a run.
  authority.revoke({ all: true });
  const later = await events(agent.run("Use closed.echo to echo hello"));
  assert.equal(later.at(-1).type, "done");
  const told = later.filter((event) => event.type === "server_status" && event.state === "auth_required");
  if (later.some((event) => event.type === "tool_call" && event.server === "closed")) assert.equal(told.length, 1);
  await agent.close();
});

test("two agents of one process know nothing of each other's tokens unless they share a store", async (t) => {
  const { agent: make } = await world(t);
  const [mine, yours] = [make(), make()];
  const [{ error }] = await mine.connect();
  await mine.finishAuthorization(new URL(await visit(error.authorizationUrl)));
  assert.deepEqual([mine.servers()[0].state, (await yours.connect())[0].state], ["ready", "auth_required"]);
  await Promise.all([mine.close(), yours.close()]);
});

test("McpClient: the error has the address", async (t) => {
  const { server } = await world(t);
  const client = new McpClient({ url: server.url, oauth: { redirectUrl } });
  const error = await client.listTools().catch((thrown) => thrown);
  assert.deepEqual([error.code, error.name], ["auth_required", "EdgewiseError"]);
  assert.equal(error.cause.status, 401);
  assert.equal(client.info().state, "auth_required");
  assert.equal((await client.finishAuthorization(await visit(error.authorizationUrl))).state, "ready");
  assert.equal((await client.listTools()).tools.length, 6);
  await client.close();
});

test("helpers for pages say that there is none", async () => {
  await assert.rejects(authorizeInPopup()("https://as.example/"), { code: "misuse" });
  await assert.rejects(completeAuthorization(), { code: "misuse" });
});

test("a token follows a redirect within its origin, and to no other", async (t) => {
  const seen = [];
  const elsewhere = await listen(async (request, response) => {
    seen.push(request.headers.authorization ?? "", await body(request));
    response.writeHead(404).end();
  });
  let to;
  const front = await listen((_request, response) => response.writeHead(307, { Location: to }).end());
  t.after(() => Promise.all([elsewhere.close(), front.close()]));
  for (to of [`${elsewhere.origin}/mcp`, `//${new URL(elsewhere.origin).host}/mcp`]) {
    const client = new McpClient({ url: `${front.origin}/mcp`, token: "s3cret" });
    const failure = await client.connect().catch((thrown) => thrown);
    assert.equal(failure.name, "EdgewiseError");
    assert.ok(!failure.message.includes("s3cret"));
    await client.close();
  }
  assert.deepEqual(seen, [], "not even a request without the token");

  // Within the origin.
  const plain = await modern.start({ token: "s3cret" });
  const hop = await listen((request, response) => {
    if (request.url === "/mcp") return response.writeHead(308, { Location: "/mcp/" }).end();
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk)).on("end", async () => {
      const { authorization, "content-type": type, accept, ...rest } = request.headers;
      const mcp = Object.fromEntries(Object.entries(rest).filter(([name]) => name.startsWith("mcp-")));
      const answer = await fetch(plain.url, { method: "POST", headers: { authorization, "content-type": type, accept, ...mcp }, body: Buffer.concat(chunks) });
      response.writeHead(answer.status, { "Content-Type": answer.headers.get("content-type") });
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
  });
  t.after(() => Promise.all([plain.close(), hop.close()]));
  const client = new McpClient({ url: `${hop.origin}/mcp`, token: "s3cret" });
  assert.equal((await client.listTools()).tools.length, 6);
  await client.close();
});
