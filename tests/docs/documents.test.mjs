// The documents at the root: their snippets are the examples' own text, and their links lead somewhere.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path) => readFileSync(join(root, path), "utf8");
const documents = [...readdirSync(root).filter((name) => name.endsWith(".md")), "pkg/README.md"]
  .filter((path) => existsSync(join(root, path)));

/** What stands between the lines with `readme:begin` and `readme:end`, moved to the margin. */
function excerpt(path) {
  const lines = read(path).split("\n");
  const begin = lines.findIndex((line) => line.includes("readme:begin"));
  const end = lines.findIndex((line) => line.includes("readme:end"));
  assert.ok(begin >= 0 && end > begin, `${path} has a readme:begin and a readme:end`);
  const part = lines.slice(begin + 1, end);
  const margin = Math.min(...part.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return part.map((line) => line.slice(margin)).join("\n").trim();
}

test("every snippet is cut from an example that is run by a test", () => {
  let snippets = 0;
  for (const path of documents) {
    const text = read(path);
    for (const [, example, code] of text.matchAll(/<!-- from (\S+) -->\n+```\w*\n([^]*?)```/g)) {
      assert.equal(code.trim(), excerpt(example), `${path} differs from ${example}`);
      snippets += 1;
    }
    // A snippet without a source could say anything.
    const program = text.match(/```(?:js|ts|html)\n/g)?.length ?? 0;
    const sourced = text.match(/<!-- from \S+ -->\n+```(?:js|ts|html)\n/g)?.length ?? 0;
    assert.equal(program, sourced, `${path}: a program without a source`);
  }
  assert.ok(snippets >= 3, `${snippets} snippets`);
});

test("every relative link leads to a file", () => {
  let links = 0;
  for (const path of documents) {
    for (const [, target] of read(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
      assert.ok(existsSync(join(root, dirname(path), target)), `${path}: ${target}`);
      links += 1;
    }
  }
  assert.ok(links > 0);
});

test("every cargo xtask command that a document names exists", () => {
  const source = read("xtask/src/main.rs");
  for (const path of documents) {
    for (const [, command] of read(path).matchAll(/cargo xtask (\w+)/g)) {
      assert.ok(source.includes(`"${command}"`), `${path}: cargo xtask ${command}`);
    }
  }
});
