// Entry with the wasm inside, for bundlers that copy no assets and hosts without URLs of their own. A third larger.

import { provide } from "./shell.js";
import base64 from "./wasm/inline.js";

const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

provide({
  core: { sync: () => bytes(base64) },
  rest: { async: async () => bytes((await import("./wasm/inline-rest.js")).default) },
  parts: { async: async () => bytes((await import("./wasm/inline-parts.js")).default) },
});

export {
  Agent, authorizeByRedirect, authorizeInPopup, completeAuthorization, diagnose, EdgewiseError, init, McpClient, Run,
  version,
} from "./shell.js";
