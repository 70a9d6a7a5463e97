// Spans of runs on their way to a collector, named by the variables that OpenTelemetry has for it.

import { toOtlp } from "edgewise/otlp";

import { Refusal } from "./answers.js";
import { text } from "./config.js";

const ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS = "OTEL_EXPORTER_OTLP_HEADERS";
/** A collector that does not answer holds no isolate longer. */
const PATIENCE_MS = 10_000;

/**
 * Collects spans and sends them as OTLP/JSON, one request for each run; undefined where no collector is named.
 *
 * @throws {Refusal} 500 for a variable that is not what it should be.
 */
export function exporter(env) {
  const endpoint = text(env, ENDPOINT);
  if (endpoint === undefined) return undefined;
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) throw mistake(ENDPOINT, "expected an absolute http or https URL");
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const headers = { "content-type": "application/json", ...pairs(text(env, HEADERS)) };
  const resource = { "service.name": text(env, "OTEL_SERVICE_NAME") ?? "edgewise" };
  let spans = [];
  return {
    onSpan: (span) => void spans.push(span),
    /** Sends what there is. What the collector does not take is lost, and said in the log. */
    async flush() {
      const batch = spans;
      spans = [];
      if (batch.length === 0) return;
      try {
        const body = JSON.stringify(toOtlp(batch, resource));
        const response = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(PATIENCE_MS) });
        await response.body?.cancel();
        if (!response.ok) console.warn(`edgewise worker: the collector answered ${response.status}; ${batch.length} spans are lost`);
      } catch (error) {
        console.warn(`edgewise worker: the collector could not be reached (${error.name}); ${batch.length} spans are lost`);
      }
    },
  };
}

/** The caller's place in a trace, which the run's spans hang under and its servers are told. */
export function traceOf(request) {
  const meta = {};
  for (const name of ["traceparent", "tracestate", "baggage"]) {
    const value = request.headers.get(name);
    if (value !== null) meta[name] = value;
  }
  return Object.keys(meta).length > 0 ? meta : undefined;
}

// `name=value,name=value`, percent-encoded.
function pairs(list = "") {
  const headers = {};
  for (const item of list.split(",").map((item) => item.trim()).filter(Boolean)) {
    const [name, ...value] = item.split("=");
    try {
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name.trim()) || value.length === 0) throw new Error();
      headers[name.trim().toLowerCase()] = decodeURIComponent(value.join("=").trim());
    } catch {
      throw mistake(HEADERS, "expected name=value pairs, separated by commas");
    }
  }
  return headers;
}

const mistake = (path, message) => new Refusal(500, "config", `${path}: ${message}`, { path });
