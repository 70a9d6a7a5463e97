// Who may call the worker, and from which web pages.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";

import { errorOf, runInit, startVariants, startWorker, TOKEN } from "./harness.mjs";

/** A request with headers that `fetch` does not let one set, such as `Host`. */
function raw(url, path, headers, method = "GET") {
  return new Promise((resolve, reject) => {
    const call = request({ host: url.hostname, port: url.port, path, method, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: text }));
    });
    call.on("error", reject).end();
  });
}

describe("a deployed worker", () => {
  let worker;
  before(async () => {
    worker = await startWorker({ AUTH_TOKEN: TOKEN, ALLOWED_ORIGINS: "https://app.example, http://localhost:5173" });
  });
  after(() => worker.close());

  test("demands its token", async () => {
    const right = await worker.fetch("/v1/health", { headers: { authorization: `bearer ${TOKEN}` } });
    assert.equal(right.status, 200);

    const refused = [undefined, "", TOKEN, "Bearer", "Bearer ", `Basic ${TOKEN}`, "Bearer wrong", `Bearer ${TOKEN}x`];
    for (const authorization of refused) {
      for (const path of ["/v1/health", "/v1/run", "/v1/nothing", "/v1"]) {
        const headers = authorization === undefined ? {} : { authorization };
        const response = await worker.fetch(path, { method: path === "/v1/run" ? "POST" : "GET", headers });
        assert.equal(response.headers.get("www-authenticate"), "Bearer");
        const error = await errorOf(response);
        assert.deepEqual([error.status, error.code], [401, "auth_required"], `${path} with ${authorization}`);
      }
    }
  });

  test("says 404 and 405 in JSON", async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    for (const path of ["/v1", "/v1/", "/v1/runs", "/v1/constructor"]) {
      const error = await errorOf(await worker.fetch(path, { headers }));
      assert.deepEqual([error.status, error.code], [404, "misuse"], path);
    }
    const response = await worker.fetch("/v1/run", { headers });
    assert.equal(response.headers.get("allow"), "POST");
    assert.equal((await errorOf(response)).status, 405);
    assert.equal((await errorOf(await worker.fetch("/v1/health", { headers, method: "DELETE" }))).status, 405);
  });

  test("lets listed origins read its answers, also its errors", async () => {
    for (const origin of ["https://app.example", "http://localhost:5173"]) {
      for (const authorization of [`Bearer ${TOKEN}`, "Bearer wrong"]) {
        const response = await worker.fetch("/v1/health", { headers: { origin, authorization } });
        assert.equal(response.headers.get("access-control-allow-origin"), origin);
        assert.equal(response.headers.get("vary"), "Origin");
        assert.equal(response.headers.get("access-control-allow-credentials"), null);
      }
    }
  });

  test("refuses pages of other origins before anything runs", async () => {
    for (const origin of ["https://evil.example", "https://app.example.evil.example", "null", "http://app.example"]) {
      const response = await worker.run({ prompt: "What is 17 + 25?" }, { headers: { origin } });
      assert.equal(response.headers.get("access-control-allow-origin"), null);
      assert.equal(response.headers.get("vary"), "Origin");
      const error = await errorOf(response);
      assert.deepEqual([error.status, error.code], [403, "auth_required"], origin);
      assert.match(error.message, /ALLOWED_ORIGINS/);
      assert.equal((await worker.fetch("/v1/run", { method: "OPTIONS", headers: { origin } })).status, 403);
    }
  });

  test("answers a preflight without a token", async () => {
    const headers = { origin: "https://app.example", "access-control-request-method": "POST" };
    const response = await worker.fetch("/v1/run", { method: "OPTIONS", headers });
    assert.equal(response.status, 204);
    assert.equal(response.headers.get("access-control-allow-origin"), "https://app.example");
    assert.equal(response.headers.get("access-control-allow-methods"), "GET, POST, DELETE");
    assert.equal(response.headers.get("access-control-allow-headers"), "authorization, content-type");
    assert.equal(response.headers.get("vary"), "Origin");
  });

  test("takes requests of its own pages", async () => {
    const headers = { origin: worker.url.origin, authorization: `Bearer ${TOKEN}` };
    assert.equal((await worker.fetch("/v1/health", { headers })).status, 200);
  });

  test("says what is configured, and no secret", async () => {
    const response = await worker.fetch("/v1/health", { headers: { authorization: `Bearer ${TOKEN}` } });
    const text = await response.text();
    const { version, ...health } = JSON.parse(text);
    assert.match(version, /^\d+\.\d+\.\d+/);
    const expected = { model: { provider: "offline", id: "offline" }, servers: [], approval: "writes", maxTurns: 10 };
    assert.deepEqual(health, expected);
    assert.ok(!text.includes(TOKEN));
  });
});

describe("a worker without AUTH_TOKEN", () => {
  let worker;
  before(async () => {
    worker = await startWorker();
  });
  after(() => worker.close());

  test("refuses everything and says which command to run", async () => {
    for (const [path, init] of [["/v1/health", {}], ["/v1/run", runInit({ prompt: "hello" })], ["/v1/nothing", {}]]) {
      const error = await errorOf(await worker.fetch(path, init));
      assert.deepEqual([error.status, error.code, error.path], [503, "config", "AUTH_TOKEN"]);
      assert.match(error.message, /wrangler secret put AUTH_TOKEN/);
    }
  });

  test("still serves the page", async () => {
    assert.equal((await worker.fetch("/")).status, 200);
  });
});

describe("local development", () => {
  let worker;
  before(async () => {
    worker = await startWorker({ DEV: "1" });
  });
  after(() => worker.close());

  test("needs no token under a loopback name", async () => {
    for (const host of ["localhost", "127.0.0.1", "[::1]"]) {
      assert.equal((await raw(worker.url, "/v1/health", { host: `${host}:${worker.url.port}` })).status, 200, host);
    }
  });

  test("is not to be had under any other name", async () => {
    for (const host of ["edgewise.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7", "0.0.0.0"]) {
      assert.equal((await raw(worker.url, "/v1/health", { host })).status, 503, host);
    }
  });

  test("refuses a page that the browser got elsewhere", async () => {
    const headers = { origin: "https://evil.example", "content-type": "text/plain" };
    const response = await worker.run({ prompt: "hello" }, { headers });
    assert.equal(response.status, 403);
  });
});

test("a wildcard, or anything else that is no origin, is a mistake in ALLOWED_ORIGINS", async (t) => {
  const wrong = ["*", "https://typo.test/", "typo.test", "https://a.test https://b.test"];
  const workers = await startVariants(wrong.map((ALLOWED_ORIGINS) => ({ DEV: "1", ALLOWED_ORIGINS })));
  t.after(workers.close);
  for (const { fetch } of workers.variants) {
    const error = await errorOf(await fetch("/v1/health"));
    assert.deepEqual([error.status, error.code, error.path], [500, "config", "ALLOWED_ORIGINS"]);
    assert.ok(!error.message.includes(".test"), error.message);
  }
});
