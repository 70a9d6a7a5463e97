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
   * @param store Where its records are kept; the runtime's own place by default.
   */
  constructor(live, functions, make, store) {
    this.#live = live;
    this.#functions = functions;
    this.#table = addTable(functions, store);
    this.#make = make;
    this.enter(() => {});
    store?.note?.(this);
  }

  /** Stores what could not be stored before; best effort, since it goes along with the next change in any case. */
  flush() {
    this.call("waitingWrites", {}).catch(() => {});
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
   * A promise that the core settles by doing `method`.
   *
   * @param given The arguments: plain data.
   * @param options Those of the app, if it may give any; only `known` ones are allowed. Data among them go to the core.
   */
  async call(method, given, options, known = []) {
    const { signal, onProgress, onTask, rest = {} } = callOptions(options);
    const all = { signal, onProgress, onTask, ...rest };
    for (const name of Object.keys(all)) {
      if (all[name] !== undefined && !known.includes(name)) throw config(name, `unknown option; known are ${known.join(", ")}`);
    }
    const data = { ...given, options: { ...rest, ...(onProgress && { progress: true }) } };
    const notice = (data) => (data.taskId === undefined ? onProgress?.(data) : onTask?.(data.taskId));
    return this.#start(method, data, signal, onProgress || onTask ? notice : undefined);
  }

  /** The text that a part gives, of which the core need not know. */
  part(name, request) {
    return this.enter((_, host) => host.askPart(name, this.#table, JSON.stringify(request), { keep: this.#functions }));
  }

  /** The same for what tells of something until it is cancelled. */
  follow(method, given, signal, onProgress) {
    return this.#start(method, given, signal, onProgress);
  }

  #start(method, given, signal, onProgress) {
    // One by one, so that each error names the argument.
    const fields = Object.entries(given).map(([name, value]) => [name, encodePlain(value, name)]);
    const data = `{${fields.filter(([, text]) => text !== undefined).map(([name, text]) => `"${name}":${text}`)}}`;
    const start = (core, host) => host.ask((ticket) => core.call(ticket, method, data), { signal, onProgress, keep: this.#functions });
    return this.enter(start);
  }
}
