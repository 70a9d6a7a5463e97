// Entry for Cloudflare Workers: they take wasm only as a static import, compiled when deployed.

import module from "./wasm/edgewise_bg.wasm";
import { provide } from "./shell.js";

provide({ sync: () => module });

export { Agent, EdgewiseError, init, Run, version } from "./shell.js";
