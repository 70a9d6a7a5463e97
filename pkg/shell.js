// What every entry shares: loading, the living instance, and the public names. An entry says where the wasm is.

import * as glue from "./wasm/edgewise.js";
import { Agent as AgentShell } from "./agent.js";
import { EdgewiseError, misuse } from "./error.js";
import { Host } from "./host.js";

export { EdgewiseError } from "./error.js";
export { Run } from "./run.js";

/** The version of this package. */
export const version = "0.1.0";

let loader;
let loaded = false;
let loading;
let host;

/**
 * Tells how to get the wasm; only the entries call it.
 *
 * @param {{ sync?: () => BufferSource | WebAssembly.Module, async?: () => unknown }} how `sync` where the bytes are at
 * hand, so that nobody has to call `init`; `async` gives whatever the glue's own loader takes.
 */
export function provide(how) {
  loader = how;
}

/** See index.d.ts. */
export function init(source) {
  if (loaded) return Promise.resolve();
  loading ??= load(source).finally(() => {
    loading = undefined;
  });
  return loading;
}

async function load(source) {
  try {
    if (source === undefined && loader.sync) loadNow();
    else await glue.default({ module_or_path: await (source ?? loader.async()) });
    loaded = true;
  } catch (cause) {
    throw new EdgewiseError({ code: "network", message: `init: the wasm could not be loaded: ${cause?.message ?? cause}`, cause });
  }
}

function loadNow() {
  glue.initSync({ module: loader.sync() });
  loaded = true;
}

/** The living instance; made anew after a crash. */
function live() {
  if (!loaded) {
    if (!loader.sync) throw misuse("call `await init()` first: the wasm is not loaded");
    loadNow();
  }
  if (host === undefined || host.error) {
    if (host) glue.__wbg_reset_state();
    host = new Host(glue);
    glue.start(host);
  }
  return { host, glue };
}

/** See index.d.ts. */
export class Agent extends AgentShell {
  constructor(options) {
    super(options, live);
  }
}
