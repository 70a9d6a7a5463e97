// Modules of the package that are loaded when they are first used. A Service Worker can load nothing later: its entry hands
// them over before.

const here = new Map();

export function handOver(modules) {
  for (const [name, module] of Object.entries(modules)) here.set(name, module);
}

/** The module of that name, from `load` where it was not handed over. */
export async function later(name, load) {
  return here.get(name) ?? load();
}
