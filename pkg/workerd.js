// Entry for Cloudflare Workers: they take wasm only as a static import, compiled when deployed.

import { provide } from "./shell.js";
import core from "./wasm/edgewise_bg.wasm";
import rest from "./wasm/edgewise_rest.wasm";
import parts from "./wasm/edgewise_parts_bg.wasm";

provide({ core: { sync: () => core }, rest: { sync: () => rest }, parts: { sync: () => parts } });

export {
  Agent, authorizeByRedirect, authorizeInPopup, completeAuthorization, diagnose, EdgewiseError, init, McpClient, Run,
  version,
} from "./shell.js";
