// From the worker's variables and secrets to the options of an agent. Whatever is wrong is a 500 with the variable's
// name and never its value.

import { Refusal } from "./answers.js";

// Which variable an option comes from, to name it when the core finds a mistake in it.
const VARIABLES = {
  "model.provider": "MODEL_PROVIDER",
  "model.id": "MODEL_ID",
  "model.baseUrl": "MODEL_BASE_URL",
  "model.apiKey": "MODEL_API_KEY",
  "model.contextWindow": "MODEL_CONTEXT_WINDOW",
  "model.body": "MODEL_BODY",
  "model.fallbacks": "MODEL_FALLBACKS",
  "model.prices": "MODEL_PRICES",
  "model.binding": "AI",
  "model.threads": "THREADS",
  servers: "MCP_SERVERS",
  system: "SYSTEM_PROMPT",
  approval: "APPROVAL",
  context: "CONTEXT",
  plans: "PLANS",
  "limits.maxTurns": "MAX_TURNS",
  limits: "LIMITS",
  snapshotSecret: "SNAPSHOT_SECRET",
};

function mistake(path, message) {
  return new Refusal(500, "config", `${path}: ${message}`, { path });
}

/** A variable that is text; one that is absent or blank is `undefined`. */
export function text(env, name) {
  const value = env[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw mistake(name, "expected text");
  return value.trim() || undefined;
}

/** A variable that is a number; the core judges which. */
function number(env, name) {
  const value = env[name];
  const number = value === undefined || value === "" ? undefined : Number(value);
  if (Number.isNaN(number)) throw mistake(name, "expected a whole number");
  return number;
}

/**
 * The options for `new Agent`.
 *
 * @throws {Refusal} 500 for a variable that is not what it should be. What only the core can judge, it judges in
 * `new Agent`; see `explain`.
 */
export function options(env) {
  const turns = number(env, "MAX_TURNS");
  const provider = text(env, "MODEL_PROVIDER") ?? "offline";
  return {
    model: {
      provider,
      id: text(env, "MODEL_ID"),
      baseUrl: text(env, "MODEL_BASE_URL"),
      apiKey: text(env, "MODEL_API_KEY"),
      binding: provider === "workers-ai" ? env.AI : undefined,
      contextWindow: number(env, "MODEL_CONTEXT_WINDOW"),
      body: parsed(env, "MODEL_BODY", undefined),
      prices: parsed(env, "MODEL_PRICES", undefined),
      fallbacks: fallbacks(env),
      threads: auto(env, "THREADS") || undefined,
    },
    servers: servers(env),
    system: text(env, "SYSTEM_PROMPT"),
    approval: text(env, "APPROVAL") ?? "writes",
    context: auto(env, "CONTEXT") ? {} : undefined,
    plans: auto(env, "PLANS"),
    limits: { ...limits(env), maxTurns: turns ?? 10 },
    snapshotSecret: text(env, "SNAPSHOT_SECRET"),
  };
}

/**
 * `MODEL_FALLBACKS`: an array of models as the option `model` takes them, as JSON text or as an array in `wrangler.toml`. The key of
 * the first is the secret `MODEL_API_KEY_2`, since it is the second model that is asked.
 */
function fallbacks(env) {
  const list = parsed(env, "MODEL_FALLBACKS", undefined);
  if (list === undefined) return undefined;
  if (!Array.isArray(list)) throw mistake("MODEL_FALLBACKS", "expected an array of models");
  return list.map((model, index) => {
    const path = `MODEL_FALLBACKS[${index}]`;
    const secret = `MODEL_API_KEY_${index + 2}`;
    if (model === null || typeof model !== "object") throw mistake(path, "expected an object { provider, id }");
    if ("apiKey" in model || "headers" in model) throw mistake(path, `credentials do not belong in a variable; put the key into the secret ${secret}`);
    const whole = { ...model, apiKey: text(env, secret), binding: model.provider === "workers-ai" ? env.AI : undefined };
    demandKey(whole, secret);
    return whole;
  });
}

function auto(env, name) {
  const value = text(env, name) ?? "none";
  if (value !== "none" && value !== "auto") throw mistake(name, "expected auto or none");
  return value === "auto";
}

/** `LIMITS`: the option `limits` of an agent, as JSON text or as a table in `wrangler.toml`. */
function limits(env) {
  const limits = parsed(env, "LIMITS", {});
  if (limits === null || typeof limits !== "object" || Array.isArray(limits)) throw mistake("LIMITS", "expected an object");
  if ("maxTurns" in limits) throw mistake("LIMITS.maxTurns", "is the variable MAX_TURNS");
  return limits;
}

function parsed(env, name, absent) {
  const value = env[name] ?? absent;
  if (typeof value !== "string") return value;
  try {
    return value.trim() === "" ? absent : JSON.parse(value);
  } catch {
    throw mistake(name, "is no valid JSON");
  }
}

/** `MCP_SERVERS`: an array of `{ name, url, timeoutMs?, maxParallelTools?, labels?, privateResources? }`, as JSON text or as an array in `wrangler.toml`. */
function servers(env) {
  const list = parsed(env, "MCP_SERVERS", []);
  if (!Array.isArray(list)) throw mistake("MCP_SERVERS", "expected an array of { name, url }");
  const secrets = new Map();
  return list.map((server, index) => {
    const path = `MCP_SERVERS[${index}]`;
    if (server === null || typeof server !== "object") throw mistake(path, "expected an object { name, url }");
    const { name, url, timeoutMs, maxParallelTools, labels, privateResources, ...rest } = server;
    if ("token" in rest || "headers" in rest) {
      throw mistake(path, "credentials do not belong in a variable; put the token into the secret MCP_TOKEN_<NAME>");
    }
    const unknown = Object.keys(rest)[0];
    if (unknown !== undefined) throw mistake(path, "has an unknown field; known are name, url, timeoutMs, maxParallelTools, labels, privateResources");
    if (typeof name !== "string") throw mistake(`${path}.name`, "expected text");
    if (typeof url !== "string" || !/^https?:/i.test(url)) {
      throw mistake(`${path}.url`, "expected an absolute http or https URL");
    }
    const secret = `MCP_TOKEN_${name.toUpperCase().replaceAll("-", "_")}`;
    if (secrets.has(secret)) {
      // One token must not go to two servers because their names look alike.
      throw mistake(path, `shares the secret ${secret} with MCP_SERVERS[${secrets.get(secret)}]; rename one of the two`);
    }
    secrets.set(secret, index);
    return { name, url, timeoutMs, maxParallelTools, labels, privateResources, token: text(env, secret) };
  });
}

/**
 * Demands a key for a provider's own endpoint; one that the deployer names may do without.
 *
 * @throws {Refusal} 500 that says which command to run.
 */
export function demandKey({ provider, baseUrl, apiKey }, secret = "MODEL_API_KEY") {
  if (provider === "offline" || provider === "workers-ai" || baseUrl !== undefined || apiKey !== undefined) return;
  throw mistake(secret, `is not set; run \`npx wrangler secret put ${secret}\``);
}

/** An error of `new Agent` in the deployer's words: the variable instead of the option. */
export function explain(error) {
  const option = Object.keys(VARIABLES).find((option) => error?.code === "config" && error.path?.startsWith(option));
  if (option === undefined) return error;
  const path = VARIABLES[option] + error.path.slice(option.length);
  return new Refusal(500, "config", error.message.replace(error.path, path), { path });
}
