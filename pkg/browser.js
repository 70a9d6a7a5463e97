// Entry for pages, workers of pages, and bundlers: `await init()` fetches the wasm that lies beside this file.

import { provide } from "./shell.js";

provide({
  core: { async: () => new URL("./wasm/edgewise_bg.wasm", import.meta.url) },
  rest: { async: () => new URL("./wasm/edgewise_rest.wasm", import.meta.url) },
  parts: { async: () => new URL("./wasm/edgewise_parts_bg.wasm", import.meta.url) },
  embeddings: { async: () => new URL("./embeddings.bin", import.meta.url) },
});

export {
  Agent, authorizeByRedirect, authorizeInPopup, completeAuthorization, diagnose, EdgewiseError, init, McpClient, Run,
  version,
} from "./shell.js";
