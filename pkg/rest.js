// The half of the core that is loaded when it is first wanted. The wasm itself imports this module.

let table;

/** Puts the other half into the instance with those exports, of which `isAlive` says whether it still is in use. */
export async function link(exports, module, isAlive) {
  await WebAssembly.instantiate(module, { __wasm_split: exports });
  if (isAlive()) table = exports.__indirect_function_table;
}

/** Called by the core, and only after it has waited for `link`: there is nothing left to load. */
export function __wasm_split_load_rest(callback, data) {
  table.get(callback)(data, 1);
}
