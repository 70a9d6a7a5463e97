/** The wasm itself. What an import of it gives depends on the bundler: a URL, bytes, or a `WebAssembly.Module`. */
declare const wasm: unknown;
export default wasm;
