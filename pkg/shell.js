// What every entry shares: loading, the living instance, and the public names. An entry says where the wasm is.

import * as glue from "./wasm/edgewise.js";
import { Agent as AgentShell } from "./agent.js";
import { McpClient as McpClientShell } from "./client.js";
import { EdgewiseError, misuse } from "./error.js";
import { Host } from "./host.js";
import { later } from "./later.js";
import { callOptions, encodePlain, text } from "./options.js";
import { link } from "./rest.js";

export { authorizeByRedirect, authorizeInPopup, completeAuthorization } from "./authorize.js";
export { EdgewiseError } from "./error.js";
export { Run } from "./run.js";

/** The version of this package. */
export const version = "0.1.0";

let how;
let loaded = false;
let loading;
let host;

/**
 * Tells how to get the wasm files; only the entries call it. `sync` where the bytes are at hand, so that nobody has
 * to call `init`; `async` gives whatever the glue's own loader takes.
 *
 * @typedef {{ sync?: () => BufferSource | WebAssembly.Module, async?: () => unknown }} Source
 * @param {{ core: Source, rest: Source, parts: Source, embeddings?: Source }} sources `core` is what every app needs, `rest`
 * what of it is loaded when first used, `parts` what is loaded so besides, `embeddings` the table for finding by meaning; without it words alone count.
 */
export function provide(sources) {
  how = sources;
}

/** See index.d.ts. */
export function init(source, options) {
  // Taken as it comes: it is looked at only if a part is ever asked for.
  for (const name of ["rest", "parts", "embeddings"]) {
    const given = options?.[name];
    if (given !== undefined) how = { ...how, [name]: { async: typeof given === "function" ? given : () => given } };
  }
  if (loaded) return Promise.resolve();
  loading ??= load(source).finally(() => {
    loading = undefined;
  });
  return loading;
}

async function load(source) {
  try {
    await instantiate(glue, source === undefined ? how.core : { async: () => source });
    loaded = true;
  } catch (cause) {
    throw new EdgewiseError({ code: "network", message: `init: the wasm could not be loaded: ${cause?.message ?? cause}`, cause });
  }
}

async function instantiate(glue, { sync, async }) {
  if (sync) glue.initSync({ module: sync() });
  else await glue.default({ module_or_path: await async() });
}

/** The living instance; made anew after a crash. */
function live() {
  if (!loaded) {
    if (!how.core.sync) throw misuse("call `await init()` first: the wasm is not loaded");
    glue.initSync({ module: how.core.sync() });
    loaded = true;
  }
  host = revive(glue, host, () => ({ parts, rest: once(rest) }));
  return { host, glue };
}

/** The same promise for all who ask, until it fails. */
function once(load) {
  let loading;
  return () => (loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  }));
}

const restModule = once(async () => {
  const given = await (how.rest.sync ?? how.rest.async)();
  return given instanceof WebAssembly.Module ? given : WebAssembly.compile(await bytes("rest", given));
});

/** Loads the other half of the core into the living instance. */
async function rest() {
  const exports = glue.initSync();
  await link(exports, await restModule(), () => glue.initSync() === exports);
}

/** The host, or a new one on a new instance if that one has crashed; `links` gives what it gets from here. */
function revive(glue, host, links) {
  if (host && !host.error) return host;
  if (host) glue.__wbg_reset_state();
  const next = new Host(glue, links());
  glue.start(next);
  return next;
}

const partsGlue = once(loadParts);
let partsHost;

/** The living instance of the other wasm; loaded by the first call, again after one that failed. */
async function parts() {
  const glue = await partsGlue();
  partsHost = revive(glue, partsHost, () => ({ assets: asset }));
  return { host: partsHost, glue };
}

async function loadParts() {
  const glue = await later("parts", () => import("./wasm/edgewise_parts.js"));
  await instantiate(glue, how.parts);
  return glue;
}

/** The bytes of a file of the package. */
async function asset(name) {
  const source = await (how[name]?.sync ?? how[name]?.async)?.();
  return source === undefined || source === false ? undefined : bytes(name, source);
}

/** The bytes of a file, from them or from where they are. */
async function bytes(name, source) {
  const isPlace = typeof source === "string" || source instanceof URL;
  const given = isPlace ? await fetch(source) : source;
  if (given instanceof ArrayBuffer) return new Uint8Array(given);
  if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  if (!given.ok) throw new Error(`${name}: HTTP status ${given.status}`);
  return new Uint8Array(await given.arrayBuffer());
}

/** See index.d.ts. */
export async function diagnose(url, options) {
  const { signal, rest } = callOptions(options);
  // A file has an origin that is no address; `null` is how it says so.
  const origin = globalThis.location?.origin;
  const page = origin === "null" ? undefined : origin;
  const data = encodePlain({ ...rest, url: text(String(url), "url"), page }, "options");
  const { host, glue } = live();
  return host.ask((ticket) => glue.diagnose(ticket, data), { signal });
}

/** See index.d.ts. */
export class Agent extends AgentShell {
  constructor(options) {
    super(options, live);
  }
}

/** See index.d.ts. */
export class McpClient extends McpClientShell {
  constructor(options) {
    super(options, live);
  }
}
