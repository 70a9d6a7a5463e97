// The one door between JavaScript and a wasm instance; src/web/door.rs is its other side.
//
// Every entry into wasm passes `enter` or `#wake`, so a panic or a trap always ends there: the instance is then dead,
// whatever was waiting for it is settled with `crashed`, whatever it had opened is closed, and nothing enters it again.

import { EdgewiseError } from "./error.js";
import { later } from "./later.js";
import { defaultStore } from "./store.js";

// Functions of the apps' options, by the number of their agent. Weak: an agent whose own tools refer to it can go.
const tables = new Map();
const registry = typeof FinalizationRegistry === "function" ? new FinalizationRegistry((table) => tables.delete(table)) : undefined;
let lastTable = 0;
// Secrets that cannot be stored, by the same functions: each agent has its own, and they go with it.
const memories = new WeakMap();
// Where their records are kept; both wasm instances ask for the same.
const stores = new WeakMap();

/** Loaded when the first token is kept: few pages sign in. */
const secrets = () => later("secrets", () => import("./secrets.js"));

/**
 * Makes the functions callable from wasm, for as long as somebody holds the array; returns its number.
 *
 * @param store Where the agent's records are kept, see store.js.
 */
export function addTable(functions, store = defaultStore()) {
  lastTable += 1;
  stores.set(functions, store);
  // Workers of an old compatibility date have no WeakRef; there the functions stay.
  tables.set(lastTable, typeof WeakRef === "function" ? new WeakRef(functions) : { deref: () => functions });
  registry?.register(functions, lastTable);
  return lastTable;
}

function memoryOf(table) {
  const functions = tables.get(table)?.deref();
  if (!functions) return new Map();
  if (!memories.has(functions)) memories.set(functions, new Map());
  return memories.get(functions);
}

export class Host {
  #glue;
  #parts;
  #assets;
  #rest;
  // What wasm waits for, by number: how to stop waiting.
  #open = new Map();
  // What JavaScript waits for, by number.
  #tickets = new Map();
  #lastTicket = 0;
  #panic;

  /** Set once the instance is dead. */
  error;

  /**
   * @param glue The exports `wake` and `settle`, and `cancel` if tickets are used.
   * @param parts Loads the other wasm and gives its living instance, `{ host, glue }`.
   * @param assets Gives the bytes of a file of the package by its name, undefined where there is none.
   * @param rest Loads the other half of this wasm into the instance.
   */
  constructor(glue, { parts, assets, rest }) {
    this.#glue = glue;
    this.#parts = parts;
    this.#assets = assets;
    this.#rest = rest;
  }

  /**
   * Calls into wasm.
   *
   * @throws {EdgewiseError} what the core refuses, or `crashed`.
   */
  enter(call) {
    if (this.error) throw this.error;
    try {
      return call();
    } catch (thrown) {
      // Refused before the core was reached.
      if (thrown instanceof EdgewiseError) throw thrown;
      // The core throws text, and nothing else throws text in there.
      if (typeof thrown === "string") throw new EdgewiseError(JSON.parse(thrown));
      this.#die(thrown);
      throw this.error;
    }
  }

  /** Calls into wasm on its own behalf: nobody is there to catch. */
  #wake(call) {
    if (this.error) return;
    try {
      call();
    } catch (thrown) {
      this.#die(thrown);
    }
  }

  /**
   * A promise that wasm settles: `start` gets its number.
   *
   * @param keep Held until then, against the garbage collector.
   */
  ask(start, { signal, onProgress, keep } = {}) {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#lastTicket;
      const cancel = () => this.#wake(() => this.#glue.cancel(ticket));
      const close = (settle, value) => {
        this.#tickets.delete(ticket);
        signal?.removeEventListener("abort", cancel);
        settle(value);
      };
      const fail = (error) => {
        close(reject, error);
        cancel();
      };
      this.#tickets.set(ticket, { resolve: (value) => close(resolve, value), reject: (error) => close(reject, error), fail, onProgress, keep });
      try {
        this.enter(() => start(ticket));
      } catch (error) {
        return close(reject, error);
      }
      signal?.addEventListener("abort", cancel);
      if (signal?.aborted) cancel();
    });
  }

  /** Asks the other wasm for the text that a part of it gives. */
  async askPart(name, table, request, options) {
    const { host, glue } = await this.#parts();
    options.signal?.throwIfAborted();
    return host.ask((ticket) => glue.ask(ticket, name, table, request), options);
  }

  #die(thrown) {
    // A call that was interrupted unwinds through calls that are dead already.
    if (this.error) return;
    const message = this.#panic ?? `${thrown?.name ?? "Error"}: ${thrown?.message ?? thrown}`;
    this.error = new EdgewiseError({ code: "crashed", message: `the wasm instance crashed: ${message}`, cause: thrown });
    for (const stop of this.#open.values()) stop();
    this.#open.clear();
    for (const ticket of [...this.#tickets.values()]) ticket.reject(this.error);
  }

  #settle(id, ok, value) {
    if (this.#open.delete(id)) this.#wake(() => this.#glue.settle(id, ok, value));
  }

  // What follows is called by wasm. App code must not run inside such a call, since it might come back into wasm: it is
  // called from a clean stack instead.

  schedule() {
    queueMicrotask(() => this.#wake(this.#glue.wake));
  }

  wait(id, promise) {
    this.#open.set(id, () => {});
    Promise.resolve(promise).then((value) => this.#settle(id, true, value), (thrown) => this.#settle(id, false, thrown));
  }

  timer(id, ms) {
    const timer = setTimeout(() => this.#settle(id, true), ms);
    this.#open.set(id, () => clearTimeout(timer));
  }

  call(id, table, index, argument) {
    const signal = this.signal(id);
    const run = async () => {
      const call = tables.get(table)?.deref()?.[index];
      if (!call) throw new Error("the agent whose function this was is gone");
      return JSON.stringify(await call(JSON.parse(argument), { signal })) ?? "null";
    };
    Promise.resolve().then(run).then((json) => this.#settle(id, true, json), (thrown) => this.#settle(id, false, words(thrown)));
  }

  part(id, name, table, request) {
    this.askPart(name, table, request, { signal: this.signal(id) }).then((text) => this.#settle(id, true, text), (thrown) => this.#settle(id, false, words(thrown)));
  }

  records(id, table, what, given) {
    const work = async () => {
      const functions = tables.get(table)?.deref();
      if (!functions) throw new Error("the agent whose records these are is gone");
      return stores.get(functions)[what](what === "list" ? given[0] : given);
    };
    this.wait(id, work());
  }

  asset(id, name) {
    this.wait(id, Promise.resolve(name).then(this.#assets));
  }

  rest(id) {
    const fail = (thrown) => {
      throw words(thrown);
    };
    this.wait(id, this.#rest().catch(fail));
  }

  loadSecret(id, table, name) {
    this.wait(id, secrets().then(({ loadSecret }) => loadSecret(memoryOf(table), name)));
  }

  saveSecret(id, table, name, text) {
    this.wait(id, secrets().then(({ saveSecret }) => saveSecret(memoryOf(table), name, text)));
  }

  lock(id, name, until) {
    this.wait(id, lock(name, until));
  }

  isHeld(id, prefix, but) {
    this.wait(id, isHeld(`edgewise ${prefix}`, `edgewise ${but}`));
  }

  circle(name, until) {
    if (!tabLocks() || !globalThis.BroadcastChannel) return undefined;
    try {
      return new Place(`edgewise ${name}`, until);
    } catch {
      // Refused in a frame without an origin: nobody could be there.
      return undefined;
    }
  }

  tell(table, index, argument) {
    // Nobody waits for what it does; a listener that throws must not end the process.
    Promise.resolve().then(() => tables.get(table)?.deref()?.[index]?.(JSON.parse(argument))).catch(() => {});
  }

  /** The answer of a function that stands for `fetch`. */
  async through(table, index, init) {
    // App code runs only after this: from a clean stack.
    await undefined;
    const fetch = tables.get(table)?.deref()?.[index];
    if (!fetch) throw new TypeError("the app that made this transport is gone");
    return fetch(init);
  }

  signal(id) {
    const controller = new AbortController();
    this.#open.set(id, () => queueMicrotask(() => controller.abort()));
    return controller.signal;
  }

  forget(id) {
    const stop = this.#open.get(id);
    this.#open.delete(id);
    stop?.();
  }

  cancel(reader) {
    try {
      // Rejects when the stream has failed already, and that has been reported.
      Promise.resolve(reader.cancel()).catch(() => {});
      reader.releaseLock();
    } catch {
      // Nothing is left to be released.
    }
  }

  answer(ticket, ok, json) {
    const open = this.#tickets.get(ticket);
    if (!open) return;
    if (ok) open.resolve(JSON.parse(json));
    else open.reject(new EdgewiseError(JSON.parse(json)));
  }

  progress(ticket, json) {
    // Held here, since the answer may follow at once; it is then seen after this notice.
    const open = this.#tickets.get(ticket);
    if (!open?.onProgress) return;
    queueMicrotask(() => {
      try {
        open.onProgress(JSON.parse(json));
      } catch (thrown) {
        open.fail(thrown);
      }
    });
  }

  /** Only a dev build has words for a panic. */
  panicked(message) {
    this.#panic = message;
  }
}

/** The locks that tabs share; nothing where they share nothing. */
const tabLocks = () => globalThis.indexedDB && globalThis.navigator?.locks;

/** A place in a circle of tabs, until the signal aborts. */
class Place {
  #channel;
  #heard = [];
  #waiting;

  constructor(name, until) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting) waiting(data);
      else this.#heard.push(data);
    };
    until.addEventListener("abort", () => this.#channel.close());
  }

  say(text) {
    this.#channel.postMessage(text);
  }

  hear() {
    return new Promise((resolve) => {
      if (this.#heard.length > 0) resolve(this.#heard.shift());
      else this.#waiting = resolve;
    });
  }
}

/** Resolves once the lock is held, which it is until the signal aborts; at once where tabs share nothing. */
function lock(name, until) {
  const locks = tabLocks();
  if (!locks) return Promise.resolve();
  return new Promise((held) => {
    const hold = () =>
      new Promise((release) => {
        held();
        until.addEventListener("abort", release);
        if (until.aborted) release();
      });
    // Refused in a frame without an origin: then nothing is shared either.
    locks.request(`edgewise ${name}`, { signal: until }, hold).catch(held);
  });
}

/** Whether a lock is held whose name begins so, other than that one; undefined where tabs share nothing. */
async function isHeld(prefix, but) {
  const locks = globalThis.BroadcastChannel && tabLocks();
  // Refused in a frame without an origin.
  const now = await locks?.query().catch(() => {});
  return now?.held.some(({ name }) => name.startsWith(prefix) && name !== but);
}

/** What a function of the app threw, for the model and for people. */
function words(thrown) {
  const message = thrown?.message;
  if (typeof message === "string" && message !== "") return message;
  try {
    return String(thrown);
  } catch {
    return "something that has no text";
  }
}
