// Entry `edgewise/lean` for pages, workers of pages, and bundlers: a smaller wasm, without the offline model and OAuth.

import { provide } from "./shell.js";

provide({ async: () => new URL("./wasm/edgewise_lean_bg.wasm", import.meta.url) });

export { Agent, EdgewiseError, init, Run, version } from "./shell.js";
