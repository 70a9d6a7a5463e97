// Entry for Service Workers, where `import()` is not allowed: the same as browser.js, with all that others load when first used.

import { handOver } from "./later.js";
import * as models from "./models.js";
import * as secrets from "./secrets.js";
import * as storage from "./storage.js";
import * as transport from "./transport.js";
import * as parts from "./wasm/edgewise_parts.js";

handOver({ models, parts, secrets, storage, transport });

export * from "./browser.js";
