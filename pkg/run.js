// One run as the app sees it: events for an iterator or an event stream, the end as a promise.

import { EdgewiseError, config, misuse } from "./error.js";
import { encodePlain, text } from "./options.js";

/** Longest silence of an event stream before it says that it is still there. */
const HEARTBEAT_MS = 5000;

export class Run {
  #host;
  #core;
  #attended;
  #history;
  #result;
  #taken = false;
  // Events that were fetched but not handed out, and what is known of the run should its instance die.
  #events = [];
  #ended = false;
  // What is left of a run that has ended, see #settle.
  #last;
  #rest;
  #log;
  #waiting = 0;
  #runId = "";
  #calls = new Set();

  /**
   * @param core The core's half, living in the instance of `host`.
   * @param attended Whether a reader of the events can answer approval requests.
   * @param history The messages that the run began with.
   */
  constructor(host, core, attended, history) {
    this.#host = host;
    this.#core = core;
    this.#attended = attended;
    this.#history = history;
  }

  get result() {
    // Made on first use: whoever does not ask for it never sees an unhandled rejection.
    this.#result ??= this.#end().then((event) => {
      if (event.type === "error") throw new EdgewiseError(event.error);
      const { text = "", output, messages, usage, plan, goal, snapshot, waitingFor } = event;
      if (snapshot !== undefined) return { text, messages, usage, snapshot, waitingFor };
      return {
        text,
        ...(output === undefined ? undefined : { output }),
        messages,
        usage,
        ...(goal && { goal }),
        ...plan,
      };
    });
    return this.#result;
  }

  approve(id, { remember } = {}) {
    if (remember !== undefined && remember !== "run" && remember !== "always") throw config("remember", 'expected "run" or "always"');
    this.#host.enter(() => this.#core.approve(text(id, "id"), remember));
  }

  deny(id, why) {
    this.#host.enter(() => this.#core.deny(text(id, "id"), why === undefined ? undefined : text(why, "why")));
  }

  answer(id, value) {
    const json = encodePlain(value ?? null, "value");
    this.#host.enter(() => this.#core.answer(text(id, "id"), json));
  }

  steer(text) {
    this.#say(text, false);
  }

  followUp(text) {
    this.#say(text, true);
  }

  onSuspend(callback) {
    if (typeof callback !== "function") throw config("callback", "expected a function");
    this.#host.enter(() => this.#core.suspend());
    const told = ({ type, runId, snapshot, waitingFor }) => {
      if (type === "suspended") callback({ runId, snapshot, waitingFor });
    };
    // A run whose instance is dead is not put away. What the callback throws is reported as its own.
    this.#end().then((event) => queueMicrotask(() => told(event)), () => {});
  }

  get log() {
    return this.#log ?? (this.#host.error ? undefined : this.#host.enter(() => this.#core.log()));
  }

  cancel() {
    // A run whose instance is dead has ended already.
    if (!this.#host.error) this.#host.enter(() => this.#core.cancel());
  }

  [Symbol.asyncIterator]() {
    this.#take();
    let turn = Promise.resolve();
    const next = async () => {
      while (this.#events.length === 0 && !this.#ended) await this.#fetch();
      const value = this.#events.shift();
      return value === undefined ? { done: true, value } : { done: false, value };
    };
    return {
      // Calls that overlap are served in order.
      next: () => (turn = turn.then(next)),
      return: async (value) => {
        this.#leave();
        return { done: true, value };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  toResponse(init = {}) {
    this.#take();
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "text/event-stream");
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    const encoder = new TextEncoder();
    let fetching;
    const pull = async (controller) => {
      if (this.#events.length === 0 && !this.#ended) {
        fetching ??= this.#fetch().finally(() => (fetching = undefined));
        // A comment, which readers skip. Some runtimes, workerd among them, find out that a reader has gone only when
        // they write to it; and proxies cut what is silent for long.
        if (!(await settles(fetching, HEARTBEAT_MS))) return controller.enqueue(encoder.encode(":\n\n"));
      }
      const events = this.#events.splice(0);
      if (events.length > 0) {
        controller.enqueue(encoder.encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")));
      }
      if (this.#ended) controller.close();
    };
    // Without a buffer of its own the stream asks only when its reader does.
    const body = new ReadableStream({ pull, cancel: () => this.#leave() }, { highWaterMark: 0 });
    return new Response(body, { ...init, headers });
  }

  #say(words, followUp) {
    this.#host.enter(() => this.#core.steer(text(words, "text"), followUp));
  }

  #take() {
    if (this.#taken) throw misuse("the events of a run can be read once: by one loop or one toResponse()");
    this.#taken = true;
    if (this.#attended && !this.#host.error) this.#host.enter(() => this.#core.attend());
  }

  /** The terminal event; rejects when the instance dies before. */
  async #end() {
    if (this.#last) return this.#last;
    this.#waiting += 1;
    try {
      const event = await this.#host.ask((ticket) => this.#core.next(ticket, true));
      this.#last ??= event;
    } finally {
      this.#waiting -= 1;
    }
    this.#settle();
    return this.#last;
  }

  /** What is left of the run moves here: the collector sees what it takes, and the memory of wasm never shrinks. */
  #settle() {
    if (this.#waiting > 0 || this.#host.error) return;
    this.#log ??= this.#host.enter(() => this.#core.log());
    this.#rest ??= this.#host.enter(() => this.#core.rest());
  }

  /** The reader went away before the end. */
  #leave() {
    if (this.#ended) return;
    this.#ended = true;
    this.#events.length = 0;
    this.cancel();
  }

  /** Fetches the next batch, or invents the end that a dead instance cannot give. Never throws. */
  async #fetch() {
    let batch;
    try {
      if (this.#rest === undefined) batch = await this.#host.ask((ticket) => this.#core.next(ticket, false));
      if (!batch && this.#rest !== undefined) [batch, this.#rest] = [JSON.parse(this.#rest), undefined];
    } catch (error) {
      batch = this.#crashed(error);
    }
    if (this.#ended) return;
    for (const event of batch ?? []) {
      this.#note(event);
      this.#events.push(event);
    }
    if (!batch) this.#ended = true;
    if (this.#ended && !this.#last && !this.#host.error) {
      this.#last = this.#events.at(-1);
      this.#settle();
    }
  }

  #note(event) {
    if (event.type === "run_start") this.#runId = event.runId;
    else if (event.type === "tool_call") this.#calls.add(event.id);
    else if (event.type === "tool_result") this.#calls.delete(event.id);
    else if (["done", "error", "suspended"].includes(event.type)) this.#ended = true;
  }

  /** The laws hold here too: every call has its result, and one terminal event is last. */
  #crashed(error) {
    const content = [{ type: "text", text: error.message }];
    const results = [...this.#calls].map((id) => ({
      type: "tool_result", id, content, isError: true, outcome: "failed", durationMs: 0,
    }));
    const usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 };
    return [...results, { type: "error", runId: this.#runId, error: error.toJSON(), messages: this.#history, usage }];
  }
}

/** Whether the promise, which never rejects, is settled within that time. */
function settles(promise, ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, false);
    promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
