// Packs the package as npm would publish it, and installs it as a stranger would.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

import { start as serveFiles } from "../servers/static.mjs";

const run = promisify(execFile);

export const root = process.env.EDGEWISE_ROOT ?? join(import.meta.dirname, "../..");

/** Runs a program; gives what it prints, or throws with both streams. */
export async function exec(program, args, options) {
  try {
    return (await run(program, args, { maxBuffer: 64 << 20, ...options })).stdout;
  } catch (error) {
    throw new Error(`${program} ${args.join(" ")}\n${error.stdout ?? ""}\n${error.stderr ?? error.message}`);
  }
}

/** A folder that goes away after the tests. */
export async function folder() {
  const path = await mkdtemp(join(tmpdir(), "edgewise-"));
  after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Writes files, given by path and content, into the folder. */
export async function write(into, files) {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(into, path)), { recursive: true });
    await writeFile(join(into, path), content);
  }
}

/** A new project with the packed package installed, and `scenario.mjs` beside it. */
export async function project(files = {}) {
  const path = await folder();
  const packed = await exec("npm", ["pack", "--json", "--pack-destination", path], { cwd: join(root, "pkg") });
  const parsed = JSON.parse(packed);
  const [{ filename, files: contents }] = Array.isArray(parsed) ? parsed : Object.values(parsed);
  const manifest = { name: "stranger", private: true, type: "module" };
  await write(path, { "package.json": JSON.stringify(manifest), ...files });
  await cp(join(import.meta.dirname, "scenario.mjs"), join(path, "scenario.mjs"));
  await exec("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], { cwd: path });
  return { path, tarball: join(path, filename), contents: contents.map((file) => file.path) };
}

/** The installed package's manifest. */
export const manifest = async (path) => JSON.parse(await readFile(join(path, "node_modules/edgewise/package.json"), "utf8"));

/** Chromium, with these flags besides. */
export async function launch(flags = []) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROME ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", ...flags],
  });
  after(() => browser.close());
  return browser;
}

/** Chromium with one page; everything that goes wrong in the page fails `check`. */
export async function browse() {
  const browser = await launch();
  return async (url, { expect = [], prepare } = {}) => {
    const page = await browser.newPage();
    await prepare?.(page);
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(String(error)));
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    page.on("requestfailed", (request) => wrong.push(`${request.url()}: ${request.failure()?.errorText}`));
    await page.goto(url);
    return {
      page,
      /** What the page put into `globalThis.outcome`: a promise or a value. */
      async outcome() {
        await page.waitForFunction(() => "outcome" in globalThis);
        const outcome = await page.evaluate(() => globalThis.outcome);
        assert.deepEqual(wrong.filter((text) => !expect.some((pattern) => pattern.test(text))), []);
        return outcome;
      },
    };
  };
}

/** A browser of its own, used by nobody before, until the end of the test. `before` runs in each page first. */
export async function visit(t, browser, { timeout = 30_000, before } = {}) {
  const context = await browser.newContext();
  t.after(() => context.close());
  context.setDefaultTimeout(timeout);
  if (before) await context.addInitScript(before);
  return context;
}

/**
 * Waits until what `ask` gives in the page is true. `ask` may be async, unlike that of `page.waitForFunction`, which takes a promise
 * for true.
 */
export async function until(page, ask, argument, { timeout = 30_000 } = {}) {
  for (const end = Date.now() + timeout; !(await page.evaluate(ask, argument)); ) {
    assert.ok(Date.now() < end, `it did not come to that within ${timeout} ms: ${ask}`);
    await page.waitForTimeout(50);
  }
}

/** Kills the process of a page, without a chance to say goodbye. */
export async function kill(page) {
  const session = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent("crash");
  session.send("Page.crash").catch(() => {});
  await crashed;
}

/** Serves a folder on loopback. */
export async function serve(path, headers) {
  const server = await serveFiles({ mounts: { "/": path }, headers });
  after(() => server.close());
  return server;
}

/** Asserts what `scenario` gives. */
export function assertScenario(outcome, version) {
  assert.match(outcome.text, /42/);
  assert.equal(outcome.version, version);
  for (const type of ["run_start", "turn_start", "tool_call", "tool_result", "text_delta", "turn_end", "done"]) {
    assert.ok(outcome.types.includes(type), `${type} is among ${outcome.types}`);
  }
}

/** Starts a server of `tests/servers`, closed after the test. */
export async function started(t, module, options) {
  const server = await module.start(options);
  t.after(server.close);
  return server;
}

/** The EdgewiseError that the promise rejects with. */
export const rejected = (promise) =>
  promise.then(
    () => assert.fail("nothing was rejected"),
    (error) => {
      assert.equal(error.name, "EdgewiseError", String(error));
      return error;
    },
  );

/** The installed package, as Node imports it. */
export const installed = (path) => import(pathToFileURL(join(path, "node_modules/edgewise/node.js")));

/** A store as an app would write it; it outlives agents. */
export class Shelf {
  records = new Map();

  async read(keys) {
    return keys.map((key) => this.records.get(key));
  }

  async list(prefix) {
    return [...this.records].filter(([key]) => key.startsWith(prefix));
  }

  async write(changes) {
    for (const { key, value, prefix } of changes) {
      if (prefix !== undefined) for (const known of [...this.records.keys()]) if (known.startsWith(prefix)) this.records.delete(known);
      if (value) this.records.set(key, value);
      else if (key !== undefined) this.records.delete(key);
    }
  }
}
