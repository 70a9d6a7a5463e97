// Entry `edgewise/lean` for Node, as node.js but with the smaller wasm.

import { readFileSync } from "node:fs";
import { provide } from "./shell.js";

provide({ sync: () => readFileSync(new URL("./wasm/edgewise_lean_bg.wasm", import.meta.url)) });

export { Agent, EdgewiseError, init, Run, version } from "./shell.js";
