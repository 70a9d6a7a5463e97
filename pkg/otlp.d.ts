import type { Json, Span } from "./index.js";

/**
 * One OTLP/JSON export request for any number of spans: what a collector takes as the body of a POST to `/v1/traces`.
 *
 * @param resource Attributes of what made the spans. Default: `{ "service.name": "edgewise" }`.
 */
export function toOtlp(spans: Iterable<Span>, resource?: { [name: string]: Json }): { resourceSpans: unknown[] };
