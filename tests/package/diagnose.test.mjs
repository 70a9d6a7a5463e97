// `diagnose` in a real browser and in Node, against servers with one fault each.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as faulty from "../servers/faulty.mjs";
import * as modern from "../servers/modern.mjs";
import { browse, installed, project, serve } from "./lib.mjs";

const { path } = await project({
  "diagnose.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { diagnose, init } from "./node_modules/edgewise/browser.js";
    await init();
    const { url, token } = Object.fromEntries(new URLSearchParams(location.search));
    globalThis.outcome = diagnose(url, token ? { token } : {});
  </script>`,
});
const { diagnose } = await installed(path);
const pages = await serve(path);
const open = await browse();

/** The report of a page; the browser's own complaints about refused requests are expected. */
async function inPage(url, query = "") {
  const { page, outcome } = await open(`${pages.url}diagnose.html?url=${encodeURIComponent(url)}${query}`, { expect: [/./] });
  const report = await outcome();
  await page.close();
  return report;
}

const codes = (report) => report.findings.map(({ code }) => code);

async function faultyServer(t, fault) {
  const server = await faulty.start({ fault });
  t.after(server.close);
  return server;
}

for (const [fault, code, words] of [
  ["none", "works"],
  ["no-cors", "cors_origin"],
  ["no-mcp-method", "cors_header", /the header mcp-method is/],
  ["nothing-allowed", "cors_header", /content-type, mcp-protocol-version, mcp-method/],
  ["older", "works"],
  ["hidden-session", "session_hidden"],
  ["html", "html"],
  ["empty", "empty"],
  ["not-found", "not_found"],
  ["redirect", "redirect"],
  ["other-resource", "resource_mismatch"],
  ["other-issuer", "issuer_mismatch"],
  ["sign-in", "sign_in"],
]) {
  test(`in a page: ${fault}`, async (t) => {
    const server = await faultyServer(t, fault);
    const report = await inPage(server.url);
    assert.deepEqual(codes(report), [code], JSON.stringify(report, null, 1));
    if (words) assert.match(report.findings[0].message, words);
    assert.equal(report.usable, code === "works");
    if (code.startsWith("cors")) {
      assert.match(report.findings[0].fix, new RegExp(`^Access-Control-Allow-Origin: ${new URL(pages.url).origin}$`, "m"));
      assert.match(report.findings[0].fix, /^Access-Control-Allow-Headers: content-type, authorization, .*mcp-method/m);
    }
    assert.ok(server.seen.length < 40, `${server.seen.length} requests`);
  });
}

test("in a page: a header of the app, nobody there, metadata that is missing", async (t) => {
  const closed = await faultyServer(t, "no-authorization");
  const report = await inPage(closed.url, "&token=s3cret");
  assert.deepEqual(codes(report), ["cors_header"]);
  assert.match(report.findings[0].message, /the header authorization is/);
  const gone = await faulty.start();
  await gone.close();
  assert.deepEqual(codes(await inPage(gone.url)), ["unreachable"]);
  const silent = await faultyServer(t, "no-metadata");
  assert.deepEqual(codes(await inPage(silent.url)), ["no_resource_metadata", "no_server_metadata"]);
});

test("real servers of both eras work from a page and from Node", async (t) => {
  for (const [module, era] of [[modern, "modern"], [everything, "legacy"]]) {
    const server = await module.start();
    t.after(server.close);
    for (const report of [await inPage(server.url), await diagnose(server.url)]) {
      assert.deepEqual([codes(report), report.usable, report.era], [["works"], true, era], JSON.stringify(report, null, 1));
    }
  }
});

test("in Node, where CORS does not matter", async (t) => {
  assert.equal((await diagnose((await faultyServer(t, "no-cors")).url)).usable, true);
  assert.equal((await diagnose((await faultyServer(t, "hidden-session")).url)).usable, true);
  const moved = await diagnose((await faultyServer(t, "redirect")).url);
  assert.deepEqual([codes(moved), moved.findings[0].fix], [["redirect"], "/moved/mcp"]);
  const refused = await diagnose((await faultyServer(t, "sign-in")).url, { token: "wrong" });
  assert.deepEqual(codes(refused), ["token_refused"]);
  assert.ok(!JSON.stringify(refused).includes("wrong"));
  await assert.rejects(diagnose("https://a.test", { tok: "x" }), { code: "config" });
});
