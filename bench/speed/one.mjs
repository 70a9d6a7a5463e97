// One scenario with one contender in a process of its own; prints what it cost as JSON.

import { setTimeout as sleep } from "node:timers/promises";

const [contender, scenario, base] = process.argv.slice(2);
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const before = cpu();
const { run, start, version } = await import(`./contenders/${contender}.mjs`);
await start();
const loaded = cpu() - before;
if (scenario !== "start") {
  // What is compiled and connected first is told apart: by `start`.
  const warm = scenario === "deltas" ? "warm" : "warm-tools";
  await run(`${base}/${warm}`, { tools: scenario !== "deltas" });
}
await sleep(50);
globalThis.gc?.();
const memory = () => process.memoryUsage.rss();
const rest = memory();
let peak = rest;
const watch = setInterval(() => (peak = Math.max(peak, memory())), 5);
const from = cpu();
const result = scenario === "start" ? {} : await run(`${base}/${scenario}`, { tools: scenario !== "deltas" });
const used = cpu() - from;
clearInterval(watch);
peak = Math.max(peak, memory());
console.log(JSON.stringify({ version, loaded, used, grown: (peak - rest) / (1 << 20), ...result }));
process.exit(0);
