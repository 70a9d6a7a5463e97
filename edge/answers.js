// What the worker says in JSON, and which HTTP status an error gets before a stream has begun. Errors inside a
// stream are its `error` event.

/** An error as an answer: thrown anywhere before the stream, turned into JSON once, at the top. */
export class Refusal extends Error {
  /**
   * @param {number} status HTTP status.
   * @param {string} code One of the codes of `EdgewiseError`.
   * @param {string} message For people; never a secret, never content.
   * @param {{ path?: string, headers?: Record<string, string> }} [more] The field or variable at fault; extra headers.
   */
  constructor(status, code, message, more = {}) {
    super(message);
    this.name = "Refusal";
    this.status = status;
    this.code = code;
    this.path = more.path;
    this.headers = more.headers;
  }
}

// A model or server that refuses the worker's own credentials is a failure behind the worker: 502, not 401, since the
// caller's token is fine.
const STATUS = {
  config: 400,
  misuse: 400,
  limit: 413,
  auth_required: 502,
  network: 502,
  http: 502,
  provider: 502,
  protocol: 502,
  truncated: 502,
  rate_limited: 503,
  overloaded: 503,
  timeout: 504,
  cancelled: 499,
  crashed: 500,
};

/** The HTTP status of an `EdgewiseError` code; 500 for one that this version does not know. */
export function statusOf(code) {
  return Object.hasOwn(STATUS, code) ? STATUS[code] : 500;
}

export function json(value, status = 200, headers = {}) {
  return Response.json(value, { status, headers: { "cache-control": "no-store", ...headers } });
}

/** Whatever was thrown, as `{ error: { code, message, path? } }`. */
export function failure(error) {
  if (error instanceof Refusal) {
    const { code, message, path, status, headers } = error;
    return json({ error: { code, message, ...(path && { path }) } }, status, headers);
  }
  if (error?.name === "EdgewiseError") {
    const { code, message, path, retryAfterMs } = error;
    const headers = retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1000)) };
    return json({ error: { code, message, ...(path && { path }) } }, statusOf(code), headers);
  }
  // A mistake of ours. Its message may hold what the caller sent, so only its kind and its place are logged.
  const place = String(error?.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  console.error([`edgewise worker: ${error?.name ?? typeof error}`, ...place].join("\n"));
  return json({ error: { code: "crashed", message: "the worker failed; its log says where" } }, 500);
}
