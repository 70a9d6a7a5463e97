// From the app's values to the plain data that the core reads. What the fields mean is the core's business.

import { config } from "./error.js";
import { later } from "./later.js";
import { connect, isTransport } from "./transports.js";

/** Key of the object that stands for a function: `{ "$function": 3 }`. */
const MARKER = "$function";

/** Where options hold a model. */
const MODEL = /^model(\.fallbacks\[\d+\])?$/;

/** A marker for what stands for `fetch` on a model that is no endpoint; loaded when first used. */
function model(kind, functions, ...given) {
  let made;
  const through = async (init) => (await (made ??= later("models", () => import("./models.js")).then((models) => models[kind](...given))))(init);
  return { [MARKER]: functions.push(through) - 1 };
}

/**
 * A copy of `value` as JSON knows it. Functions go into `functions`, bound to the object that holds them, and leave a
 * marker with their place; so does a `transport`, as a function that stands for `fetch` on it.
 *
 * @throws {EdgewiseError} `config` with the path of whatever JSON cannot carry, and of a marker that is there already.
 */
export function encode(value, functions, path = "") {
  const place = path || "options";
  switch (typeof value) {
    case "function":
      return { [MARKER]: functions.push(value) - 1 };
    case "number":
      if (Number.isFinite(value)) return value;
      throw config(place, `expected a number that JSON can carry, got ${value}`);
    case "bigint":
    case "symbol":
      throw config(place, `expected JSON data, got a ${typeof value}`);
    case "object":
      return value === null ? null : encodeObject(value, functions, path, new Set());
  }
  return value;
}

/** What stands for an object with methods, where an option takes one. */
function stand(key, at, value, functions, owner) {
  if (MODEL.test(at.slice(0, -key.length - 1))) {
    if (key === "generate" && typeof value === "function") return model("app", functions, value.bind(owner));
    if (key === "countTokens" && typeof value === "function") return model("counted", functions, value.bind(owner));
    if (key === "binding" && typeof value?.run === "function") return model("workersAi", functions, value);
  }
  if (at.endsWith("oauth.store")) return storeMarkers(value, functions);
  return key === "transport" && isTransport(value) ? encode(connect(value), functions) : undefined;
}

function encodeObject(value, functions, path, above) {
  if (typeof value.toJSON === "function") return encode(value.toJSON(), functions, path);
  if (above.has(value)) throw config(path || "options", "refers to itself");
  above.add(value);
  const item = (child, at) => {
    if (typeof child === "function") return { [MARKER]: functions.push(child.bind(value)) - 1 };
    if (child === null || typeof child !== "object") return encode(child, functions, at);
    return encodeObject(child, functions, at, above);
  };
  let copy;
  if (Array.isArray(value)) {
    copy = Array.from(value, (child, index) => item(child, `${path}[${index}]`) ?? null);
  } else {
    copy = {};
    for (const [key, child] of Object.entries(value)) {
      const at = path ? `${path}.${key}` : key;
      if (key === MARKER) throw config(at, "this key is reserved: give the function itself");
      const data = stand(key, at, child, functions, value) ?? item(child, at);
      // Not `copy[key] =`, which would make a prototype of the key `__proto__`.
      if (data !== undefined) Object.defineProperty(copy, key, { value: data, enumerable: true, writable: true });
    }
  }
  if (copy.provider === "browser" && MODEL.test(path)) copy.generate ??= model("browser", functions);
  above.delete(value);
  return copy;
}

/** The app's store of tokens, which may be of a class, so that its functions are no fields of its own. */
function storeMarkers(store, functions) {
  if (typeof store?.load !== "function" || typeof store.save !== "function") return undefined;
  const marker = (call) => ({ [MARKER]: functions.push(call) - 1 });
  return { load: marker((key) => store.load(key)), save: marker(({ key, text }) => store.save(key, text)) };
}

/** JSON text of a value without functions. */
export function encodePlain(value, path) {
  const functions = [];
  const data = encode(value, functions, path);
  if (functions.length > 0) throw config(path, "holds a function; expected JSON data");
  return JSON.stringify(data);
}

/** The value, if it is a string. */
export function text(value, path) {
  if (typeof value === "string") return value;
  throw config(path, `expected a string, got ${value === null ? "null" : typeof value}`);
}

/** The options of a call, taken apart: `signal`, `onProgress` and `onTask` stay here, the rest is data. */
export function callOptions(options, path = "options") {
  if (options === undefined || options === null) return {};
  if (typeof options !== "object") throw config(path, `expected an object, got a ${typeof options}`);
  const { signal, onProgress, onTask, ...rest } = options;
  if (signal !== undefined && signal !== null && typeof signal.addEventListener !== "function") {
    throw config("signal", "expected an AbortSignal");
  }
  for (const [name, value] of Object.entries({ onProgress, onTask })) {
    if (value !== undefined && value !== null && typeof value !== "function") throw config(name, "expected a function");
  }
  return { signal: signal ?? undefined, onProgress: onProgress ?? undefined, onTask: onTask ?? undefined, rest };
}
