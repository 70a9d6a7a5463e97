// Entry with the wasm inside, for bundlers that copy no assets and hosts without URLs of their own. A third larger.

import { provide } from "./shell.js";
import base64 from "./wasm/inline.js";

provide({ sync: () => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)) });

export { Agent, EdgewiseError, init, Run, version } from "./shell.js";
