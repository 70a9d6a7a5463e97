// Which HTTP status an error gets, for every code that the package knows.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { failure, Refusal, statusOf } from "../../edge/answers.js";

test("every code has a status; only what crashed is ours", async () => {
  const types = await readFile(new URL("../../pkg/index.d.ts", import.meta.url), "utf8");
  const [, union] = /export type Code =([^;]+);/.exec(types);
  const codes = [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.ok(codes.length >= 14, union);
  for (const code of codes) assert.equal(statusOf(code) === 500, code === "crashed", code);
  assert.equal(statusOf("from a later version"), 500);
  // The caller's token was fine: what the model or a server refuses is no 401.
  assert.equal(statusOf("auth_required"), 502);
});

test("an error becomes JSON with what the caller needs and nothing else", async () => {
  const thrown = Object.assign(new Error("slow down"), { name: "EdgewiseError", code: "rate_limited", retryAfterMs: 1500, cause: "x" });
  const response = failure(thrown);
  assert.deepEqual([response.status, response.headers.get("retry-after")], [503, "2"]);
  assert.deepEqual(await response.json(), { error: { code: "rate_limited", message: "slow down" } });

  const refused = failure(new Refusal(405, "misuse", "no", { path: "p", headers: { allow: "POST" } }));
  assert.deepEqual([refused.status, refused.headers.get("allow")], [405, "POST"]);
  assert.deepEqual(await refused.json(), { error: { code: "misuse", message: "no", path: "p" } });
});

test("a mistake of ours is logged by its place, not by its message", async (t) => {
  const log = t.mock.method(console, "error", () => {});
  const response = failure(new TypeError("cannot read content-of-the-caller"));
  assert.equal(response.status, 500);
  assert.ok(!(await response.text()).includes("content-of-the-caller"));
  const logged = log.mock.calls.map(({ arguments: [text] }) => text).join("\n");
  assert.match(logged, /TypeError[^]*answers\.test\.mjs/);
  assert.ok(!logged.includes("content-of-the-caller"), logged);
});
