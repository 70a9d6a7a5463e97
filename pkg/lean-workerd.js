// Entry `edgewise/lean` for Cloudflare Workers, as workerd.js but with the smaller wasm.

import module from "./wasm/edgewise_lean_bg.wasm";
import { provide } from "./shell.js";

provide({ sync: () => module });

export { Agent, EdgewiseError, init, Run, version } from "./shell.js";
