// The one error that this package throws.

/** See `EdgewiseError` in index.d.ts. Made from the core's JSON, so that both sides share one table of codes. */
export class EdgewiseError extends Error {
  /** @param {import("./index.d.ts").ErrorInfo} info */
  constructor(info) {
    const cause = info.cause?.code && !(info.cause instanceof Error) ? new EdgewiseError(info.cause) : info.cause;
    super(info.message, cause === undefined ? undefined : { cause });
    this.code = info.code;
    const retryAfterMs = info.retryAfterMs ?? info.retry?.after;
    const { status, path, maybeCors, rpcCode, authorizationUrl } = info;
    for (const [name, value] of Object.entries({ status, path, retryAfterMs, maybeCors, rpcCode, authorizationUrl })) {
      if (value !== undefined) this[name] = value;
    }
  }

  toJSON() {
    const { name, message, cause, ...fields } = this;
    return { ...fields, message, ...(cause instanceof EdgewiseError && { cause: cause.toJSON() }) };
  }
}
EdgewiseError.prototype.name = "EdgewiseError";

/** A mistake of the app in the value at `path`. */
export const config = (path, what) => new EdgewiseError({ code: "config", message: `${path}: ${what}`, path });

/** A call that makes no sense at this moment. */
export const misuse = (message) => new EdgewiseError({ code: "misuse", message });
