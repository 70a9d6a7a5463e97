// Spans as OTLP/JSON, the body of a POST to a collector's `/v1/traces`. Apart from the rest, since few pages export.

const KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };
const STATUS = { unset: 0, ok: 1, error: 2 };

/**
 * One export request for any number of spans.
 *
 * @param resource Attributes of what made them. Default: `{ "service.name": "edgewise" }`.
 */
export function toOtlp(spans, resource = { "service.name": "edgewise" }) {
  const scope = { name: "edgewise" };
  return { resourceSpans: [{ resource: { attributes: attributes(resource) }, scopeSpans: [{ scope, spans: Array.from(spans, span) }] }] };
}

function span({ traceId, spanId, parentSpanId, traceState, traceFlags, name, kind, startTimeMs, endTimeMs, events, status, ...rest }) {
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    ...(traceState !== undefined && { traceState }),
    flags: traceFlags,
    name,
    kind: KINDS[kind] ?? 0,
    startTimeUnixNano: nanoseconds(startTimeMs),
    endTimeUnixNano: nanoseconds(endTimeMs),
    attributes: attributes(rest.attributes),
    events: events.map((event) => ({ timeUnixNano: nanoseconds(event.timeMs), name: event.name, attributes: attributes(event.attributes) })),
    status: { code: STATUS[status.code] ?? 0 },
  };
}

// As text, since such numbers are beyond what a double holds exactly.
const nanoseconds = (milliseconds) => String(BigInt(Math.round(milliseconds)) * 1_000_000n);

const attributes = (values = {}) => Object.entries(values).filter(([, value]) => value != null).map(([key, value]) => ({ key, value: any(value) }));

function any(value) {
  if (typeof value === "boolean") return { boolValue: value };
  if (Number.isSafeInteger(value)) return { intValue: String(value) };
  if (typeof value === "number") return { doubleValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map((item) => (item === null ? {} : any(item))) } };
  if (typeof value === "object") return { kvlistValue: { values: attributes(value) } };
  return { stringValue: String(value) };
}
