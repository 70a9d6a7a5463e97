// The installed package in Node: both module systems, and the behaviour of the shell.

import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { assertScenario, exec, manifest, project, root } from "./lib.mjs";

const { path } = await project();
const { version } = await manifest(path);
const node = (code, type) => exec(process.execPath, [`--input-type=${type}`, "-e", code], { cwd: path });

test("import", async () => {
  const printed = await node(
    'import * as edgewise from "edgewise"; import { scenario } from "./scenario.mjs"; console.log(JSON.stringify(await scenario(edgewise)));',
    "module",
  );
  assertScenario(JSON.parse(printed), version);
});

test("require, and no init()", async () => {
  const printed = await node(
    `const edgewise = require("edgewise");
     import("./scenario.mjs").then(({ scenario }) => scenario({ ...edgewise, init() {} })).then((outcome) => console.log(JSON.stringify(outcome)));`,
    "commonjs",
  );
  assertScenario(JSON.parse(printed), version);
});

test("the inline entry", async () => {
  const printed = await node(
    'import * as edgewise from "edgewise/inline"; import { scenario } from "./scenario.mjs"; console.log(JSON.stringify(await scenario(edgewise)));',
    "module",
  );
  assertScenario(JSON.parse(printed), version);
});

test("the wasm itself can be found", async () => {
  const resolved = createRequire(join(path, "package.json")).resolve("edgewise/wasm");
  const printed = await node(
    `const { readFileSync } = require("node:fs"); WebAssembly.compile(readFileSync(${JSON.stringify(resolved)})).then((module) => console.log(module instanceof WebAssembly.Module));`,
    "commonjs",
  );
  assert.equal(printed.trim(), "true");
});

test("the example for Node, with a real MCP server", async (t) => {
  const server = await modern.start();
  t.after(server.close);
  await cp(join(root, "examples/node/agent.ts"), join(path, "agent.ts"));
  const printed = await exec(process.execPath, ["--no-warnings", "agent.ts", 'echo "hello"', server.url], { cwd: path });
  assert.match(printed, /hello/);
});
