// Side by side, in turn, each run in a process of its own: CPU milliseconds of the contender, the least of several runs,
// since other programs on the machine only ever add to it. Ratios are to the hand-written floor.
//
// node speed/speed.mjs [--runs N] [--only contender,...] [scenario ...]

import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";

import { DELTAS, TOOLS, TURNS } from "./fake.mjs";

const SCENARIOS = {
  start: { what: "import, load and instantiate", unit: "ms", of: ({ loaded }) => loaded },
  deltas: { what: `a stream of ${DELTAS} text deltas, each`, unit: "us", of: ({ used }) => (used * 1000) / DELTAS },
  loop: { what: `a loop of ${TURNS} turns with a tool call, each`, unit: "us", of: ({ used }) => (used * 1000) / (TURNS + 1) },
  tools: { what: `connecting, listing ${TOOLS} tools and a turn with them`, unit: "ms", of: ({ used }) => used },
  big: { what: "a tool result of 10 MB through the loop", unit: "ms", of: ({ used }) => used },
};

const args = process.argv.slice(2);
const option = (name) => (args.includes(name) ? args.splice(args.indexOf(name), 2)[1] : undefined);
const runs = Number(option("--runs") ?? 5);
const contenders = (option("--only") ?? "floor,edgewise,official-client,ai-sdk").split(",");
const wanted = args.length > 0 ? args : Object.keys(SCENARIOS);
for (const name of wanted) {
  if (!SCENARIOS[name]) throw new Error(`no scenario ${name}; there are: ${Object.keys(SCENARIOS).join(", ")}`);
}

const here = (file) => new URL(file, import.meta.url).pathname;
const fake = fork(here("fake.mjs"));
const [base] = await once(fake, "message");

async function one(contender, scenario) {
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", here("one.mjs"), contender, scenario, base]);
  return JSON.parse(stdout);
}

for (const name of wanted) {
  const { what, unit, of } = SCENARIOS[name];
  const all = Object.fromEntries(contenders.map((contender) => [contender, []]));
  for (let run = 0; run < runs; run += 1) {
    for (const contender of contenders) all[contender].push(await one(contender, name));
  }
  console.log(`\n${name}: ${what} (CPU ${unit}, least and median of ${runs})`);
  const least = (contender) => Math.min(...all[contender].map(of));
  for (const contender of contenders) {
    const costs = all[contender].map(of).sort((a, b) => a - b);
    const memory = Math.min(...all[contender].map(({ grown }) => grown));
    const ratio = name === "start" || !all.floor ? "" : `${(least(contender) / least("floor")).toFixed(2)} x floor`;
    const row = [contender, all[contender][0].version, costs[0].toFixed(1), costs[costs.length >> 1].toFixed(1), ratio, `+${memory.toFixed(0)} MB`];
    console.log(row.map((cell, place) => cell.padEnd([16, 10, 10, 10, 14, 8][place])).join(""));
  }
  if (name === "deltas" && Object.values(all).flat().some(({ deltas }) => deltas !== DELTAS)) throw new Error("deltas were lost");
}
fake.kill();
