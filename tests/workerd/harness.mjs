// Starts the worker under real workerd, on loopback, and talks to it over HTTP as any client would.

import { join } from "node:path";
import { fileURLToPath } from "node:url";

// Miniflare would ask the internet for the data centre's facts.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
process.env.WRANGLER_SEND_METRICS = "false";

const wrangler = await import("wrangler");
const { createTestHarness } = wrangler;

/** What a `wrangler.toml` says; `readConfig({ config: path })`. */
export const readConfig = wrangler.unstable_readConfig;

export const root = fileURLToPath(new URL("../../", import.meta.url));

export const TOKEN = "a token for tests";

// Blank counts as absent: a developer's own `.dev.vars` must not reach into the tests.
const ABSENT = Object.fromEntries(
  ["AUTH_TOKEN", "DEV", "MODEL_API_KEY", "MODEL_ID", "MODEL_BASE_URL", "MCP_SERVERS", "SYSTEM_PROMPT", "MAX_TURNS"]
    .concat(["APPROVAL", "ALLOWED_ORIGINS", "CONTEXT", "SNAPSHOT_SECRET", "PLANS", "LIMITS", "THREADS"])
    .concat(["ENDPOINT", "HEADERS"].map((name) => `OTEL_EXPORTER_OTLP_${name}`), "OTEL_SERVICE_NAME")
    .map((name) => [name, ""]),
);

/**
 * Starts one worker.
 *
 * @param {Record<string, unknown>} vars Its variables and secrets.
 * @param {{ configPath?: string, config?: object }} [worker] Another worker than the repository's.
 */
export async function startWorker(vars = {}, worker = { configPath: "wrangler.toml" }) {
  const secrets = { ...ABSENT, ...vars };
  const input = worker.config ? { config: { ...worker.config, vars } } : { ...worker, secrets };
  const harness = createTestHarness({ root, workers: [input] });
  const { url } = await harness.listen();
  return {
    url,
    /** What the worker has logged so far, one text. */
    log: () => harness.getLogs().map((entry) => entry.message ?? JSON.stringify(entry)).join("\n"),
    close: () => harness.close(),
    fetch: (path, init) => fetch(new URL(path, url), init),
    run: (body, init) => fetch(new URL("/v1/run", url), runInit(body, init)),
  };
}

/**
 * Starts the repository's worker as `wrangler dev` does.
 *
 * Its requests to others leave workerd directly. Those of the harness above pass through Node, which would hold them
 * open after the worker has aborted them.
 */
export async function startDev(vars) {
  const bindings = Object.entries({ ...ABSENT, ...vars }).map(([name, value]) => {
    return [name, { type: typeof value === "string" ? "plain_text" : "json", value }];
  });
  const worker = await wrangler.unstable_startWorker({
    config: join(root, "wrangler.toml"),
    bindings: Object.fromEntries(bindings),
    dev: { watch: false, inspector: false, logLevel: "warn", server: { hostname: "127.0.0.1", port: 0 } },
  });
  const url = await worker.url;
  return { close: () => worker.dispose(), run: (body, init) => fetch(new URL("/v1/run", url), runInit(body, init)) };
}

/**
 * Starts one worker per set of variables in one workerd, without static files: much cheaper than as many `startWorker`.
 *
 * Each `fetch` goes to that worker as a request for `http://localhost`.
 */
export async function startVariants(list) {
  const { alias, compatibility_date, compatibility_flags, main } = readConfig({ config: join(root, "wrangler.toml") });
  const shared = { alias, compatibility_date, compatibility_flags, main };
  const workers = list.map((vars, index) => ({ config: { ...shared, name: `variant-${index}`, vars } }));
  const harness = createTestHarness({ root, workers });
  await harness.listen();
  const variants = list.map((vars, index) => ({
    vars,
    fetch: (path, init) => harness.getWorker(`variant-${index}`).fetch(`http://localhost${path}`, init),
  }));
  return { variants, close: () => harness.close() };
}

export function runInit(body, { headers, ...init } = {}) {
  return {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
    headers: { "content-type": "application/json", authorization: `Bearer ${TOKEN}`, ...headers },
  };
}

/** The events of a stream as they come; every event is one `data:` line. */
export async function* events(response) {
  let rest = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    rest += chunk;
    for (let end = rest.indexOf("\n\n"); end !== -1; end = rest.indexOf("\n\n")) {
      const lines = rest.slice(0, end).split("\n");
      rest = rest.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length > 0) yield JSON.parse(data.join("\n"));
    }
  }
  if (rest !== "") throw new Error(`the stream ended inside an event: ${rest}`);
}

export async function allEvents(response) {
  const all = [];
  for await (const event of events(response)) all.push(event);
  return all;
}

/** Status and error of an answer that must be one. */
export async function errorOf(response) {
  const { error } = await response.json();
  return { status: response.status, ...error };
}

/** Waits until `probe` gives something true. */
export async function until(probe, what, patienceMs = 10_000) {
  const end = performance.now() + patienceMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > end) throw new Error(`still waiting for ${what} after ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
