// What an agent and a client share: the core of each lives in an instance that may crash; the next call makes a new one.

import { config } from "./error.js";
import { addTable } from "./host.js";
import { callOptions, encodePlain } from "./options.js";

/** Options of a request to a server. */
export const CALL_OPTIONS = ["signal", "onProgress", "timeoutMs", "meta"];

export class Core {
  #live;
  #functions;
  #table;
  #make;
  #host;
  #core;

  /**
   * @param live Gives the living instance: `{ host, glue }`.
   * @param functions Those of the app's options; held as long as this, and as long as something is asked for.
   * @param make Makes the core in an instance: gets its glue, the number of the functions, and the host.
   */
  constructor(live, functions, make) {
    this.#live = live;
    this.#functions = functions;
    this.#table = addTable(functions);
    this.#make = make;
    this.enter(() => {});
  }

  /** Calls the core, in a new instance when the old one has crashed; gives what `call` gives. */
  enter(call) {
    const { host, glue } = this.#live();
    if (host !== this.#host) {
      this.#core = host.enter(() => this.#make(glue, this.#table, host));
      this.#host = host;
    }
    return host.enter(() => call(this.#core, host));
  }

  /**
   * A promise that the core settles.
   *
   * @param options Those of the app; only `known` ones are allowed. Data among them go to `start`.
   * @param start Gets the core, the number of the promise, and the options that are data as JSON text.
   */
  async ask(options, known, start) {
    const { signal, onProgress, onTask, rest = {} } = callOptions(options);
    const data = { ...rest, ...(onProgress && { progress: true }) };
    const all = { signal, onProgress, onTask, ...rest };
    for (const name of Object.keys(all)) {
      if (all[name] !== undefined && !known.includes(name)) throw config(name, `unknown option; known are ${known.join(", ")}`);
    }
    const json = encodePlain(data, "options");
    const notice = (data) => (data.taskId === undefined ? onProgress?.(data) : onTask?.(data.taskId));
    return this.hold((core, ticket) => start(core, ticket, json), { signal, onProgress: onProgress || onTask ? notice : undefined });
  }

  /** The same without options of the app. */
  hold(start, { signal, onProgress } = {}) {
    return this.enter((core, host) => host.ask((ticket) => start(core, ticket), { signal, onProgress, keep: this.#functions }));
  }
}
