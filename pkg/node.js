// Entry for Node: reads the wasm at first use, without `await`, so that `require("edgewise")` works as well.

import { readFileSync } from "node:fs";
import { provide } from "./shell.js";

provide({
  core: { sync: () => readFileSync(new URL("./wasm/edgewise_bg.wasm", import.meta.url)) },
  rest: { sync: () => readFileSync(new URL("./wasm/edgewise_rest.wasm", import.meta.url)) },
  parts: { sync: () => readFileSync(new URL("./wasm/edgewise_parts_bg.wasm", import.meta.url)) },
  embeddings: { sync: () => readFileSync(new URL("./embeddings.bin", import.meta.url)) },
});

export {
  Agent, authorizeByRedirect, authorizeInPopup, completeAuthorization, diagnose, EdgewiseError, init, McpClient, Run,
  version,
} from "./shell.js";
