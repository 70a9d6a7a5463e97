// Records by key for the core, which keeps everything else about them: IndexedDB, memory, a Durable Object's storage, or an
// object of the app with the same three methods.
//
//   read(keys)      -> the records (Uint8Array or undefined) in the order of the keys
//   list(prefix)    -> [key, record, key, record, ...] of all whose key begins so
//   write(changes)  of [key, record, key, record, ...], in order, all or nothing: undefined removes a record, null all
//                   whose key begins so. Rejects with "full" where there is no room.
//
// Whatever else is thrown means that the store cannot be used now.

import { config } from "./error.js";

const DATABASE = "edgewise";
/** Version of the database. Version 1 held plain values in `kv`; the core brings them over. */
const VERSION = 2;
const RECORDS = "records";
/** How long an opening may take before callers go on without it. */
const PATIENCE_MS = 2000;

/** How records of a Durable Object begin, beside what the object itself keeps. */
const DURABLE = "edgewise/";
/** Largest value of a Durable Object that is not backed by SQLite, with some room: longer records lie in pieces. */
const PIECE = 100 * 1024;

/** Keeps records as long as it lives. */
export class MemoryStore {
  kind = "memory";
  /** Why it is memory, where that was not asked for. */
  why;

  #records = new Map();

  constructor(why) {
    this.why = why;
  }

  async read(keys) {
    return keys.map((key) => this.#records.get(key));
  }

  async list(prefix) {
    return [...this.#records].filter(([key]) => key.startsWith(prefix)).flat();
  }

  async write(changes) {
    for (let at = 0; at < changes.length; at += 2) {
      const [key, record] = [changes[at], changes[at + 1]];
      if (record) this.#records.set(key, record);
      else if (record === undefined) this.#records.delete(key);
      else for (const known of [...this.#records.keys()]) if (known.startsWith(key)) this.#records.delete(known);
    }
  }
}

/** Keeps records in an IndexedDB, one connection to which all agents share. */
export class IndexedDbStore {
  kind = "indexeddb";
  #name;
  #opening;
  #database;
  /** Who may hold in memory what could not be stored; weak, since this outlives them. */
  #users = [];

  constructor(name = DATABASE) {
    this.#name = name;
  }

  /** Has `user.flush` called whenever the database opens after all that others went on without it. */
  note(user) {
    this.#users = [...this.#users.filter((known) => known.deref()), new WeakRef(user)];
  }

  async read(keys) {
    const records = (await this.#transaction("readonly")).objectStore(RECORDS);
    return Promise.all(keys.map((key) => done(records.get(key))));
  }

  async list(prefix) {
    const records = (await this.#transaction("readonly")).objectStore(RECORDS);
    const range = beginning(prefix);
    const [keys, values] = await Promise.all([done(records.getAllKeys(range)), done(records.getAll(range))]);
    return keys.flatMap((key, at) => [key, values[at]]);
  }

  async write(changes) {
    // A transaction that was aborted for no fault of ours, such as a closing connection, is worth a second try.
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#write(changes);
      } catch (error) {
        if (error?.name === "QuotaExceededError") throw "full";
        if (tries === 2) throw error;
      }
    }
  }

  async #write(changes) {
    const transaction = await this.#transaction("readwrite");
    const ended = complete(transaction);
    const records = transaction.objectStore(RECORDS);
    try {
      for (let at = 0; at < changes.length; at += 2) {
        const [key, record] = [changes[at], changes[at + 1]];
        if (record) records.put(record, key);
        else records.delete(record === undefined ? key : beginning(key));
      }
    } catch (error) {
      ended.catch(() => {});
      transaction.abort();
      throw error;
    }
    await ended;
  }

  async #transaction(mode) {
    for (let tries = 1; ; tries += 1) {
      const database = await this.#open();
      try {
        return database.transaction(RECORDS, mode);
      } catch (error) {
        // The connection is closing; the next one opens anew.
        this.#forget(database);
        if (tries === 2) throw error;
      }
    }
  }

  /** The connection; rejects at once while an opening takes longer than anybody would wait. */
  #open() {
    this.#opening ??= new Promise((resolve, reject) => {
      const request = globalThis.indexedDB.open(this.#name, VERSION);
      let late = false;
      const giveUp = (words) => {
        late = true;
        reject(new Error(words));
      };
      const timer = setTimeout(giveUp, PATIENCE_MS, "the database does not open");
      request.onupgradeneeded = ({ oldVersion }) => {
        if (oldVersion < 1) request.result.createObjectStore(RECORDS);
        else request.transaction.objectStore("kv").name = RECORDS;
      };
      // Another tab holds an older version open and does not make way: memory has to do meanwhile.
      request.onblocked = () => giveUp("another tab holds an older version open");
      request.onsuccess = () => {
        clearTimeout(timer);
        const database = request.result;
        database.onclose = () => this.#forget(database);
        // Another tab wants to upgrade, or the user cleared the site's data: make way.
        database.onversionchange = () => {
          this.#forget(database);
          database.close();
        };
        // An opening that came late takes the place of its rejection.
        this.#database = database;
        this.#opening = Promise.resolve(database);
        resolve(database);
        if (late) for (const user of this.#users) user.deref()?.flush();
      };
      request.onerror = () => {
        clearTimeout(timer);
        this.#opening = undefined;
        reject(new Refused(request.error?.name));
      };
    }).catch((error) => {
      throw error instanceof DOMException ? new Refused(error.name) : error;
    });
    return this.#opening;
  }

  #forget(database) {
    if (this.#database === database) this.#database = this.#opening = undefined;
  }
}

/** The browser does not open databases here. */
class Refused extends Error {}

/** What a request gives. */
export const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** The end of a transaction. */
export const complete = (transaction) =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });

/** All keys that begin so, in the order of IndexedDB: that of UTF-16 code units. */
function beginning(prefix) {
  for (let length = prefix.length; length > 0; length -= 1) {
    const last = prefix.charCodeAt(length - 1);
    if (last < 0xffff) return IDBKeyRange.bound(prefix, prefix.slice(0, length - 1) + String.fromCharCode(last + 1), false, true);
  }
  return IDBKeyRange.lowerBound(prefix);
}

/** Keeps records in the storage of a Durable Object. A long one is the number of its pieces, which lie behind it. */
class DurableStore {
  kind = "durable-object";
  #storage;

  constructor(storage) {
    this.#storage = storage;
  }

  read(keys) {
    return this.#storage.transaction((storage) => Promise.all(keys.map((key) => readWhole(storage, DURABLE + key))));
  }

  async list(prefix) {
    const found = await this.#storage.list({ prefix: DURABLE + prefix });
    const whole = [...found].filter(([key, record]) => record instanceof Uint8Array && !key.includes("\0"));
    return whole.flatMap(([key, record]) => [key.slice(DURABLE.length), record]);
  }

  async write(changes) {
    try {
      await this.#storage.transaction((storage) => this.#write(storage, changes));
    } catch (error) {
      if (/full|exceed|limit/i.test(error?.message)) throw "full";
      throw error;
    }
  }

  async #write(storage, changes) {
    for (let at = 0; at < changes.length; at += 2) {
      const [key, record] = [DURABLE + changes[at], changes[at + 1]];
      if (record === null) {
        for (const known of (await storage.list({ prefix: key })).keys()) await storage.delete(known);
        continue;
      }
      const pieces = await storage.get(key);
      for (let piece = 0; piece < (typeof pieces === "number" ? pieces : 0); piece += 1) await storage.delete(`${key}\0${piece}`);
      if (record === undefined) await storage.delete(key);
      else if (record.length <= PIECE) await storage.put(key, record);
      else {
        const count = Math.ceil(record.length / PIECE);
        for (let piece = 0; piece < count; piece += 1) await storage.put(`${key}\0${piece}`, record.slice(piece * PIECE, (piece + 1) * PIECE));
        await storage.put(key, count);
      }
    }
  }
}

async function readWhole(storage, key) {
  const record = await storage.get(key);
  if (typeof record !== "number") return record;
  const pieces = [];
  for (let piece = 0; piece < record; piece += 1) pieces.push(await storage.get(`${key}\0${piece}`));
  // One that is missing is found by the sum.
  return new Uint8Array(await new Blob(pieces.filter((piece) => piece)).arrayBuffer());
}

/** Keeps records as the app does it. */
class AppStore {
  kind = "app";
  #store;

  constructor(store) {
    this.#store = store;
  }

  async read(keys) {
    const records = await this.#store.read(keys);
    return keys.map((_, at) => records[at] ?? undefined);
  }

  async list(prefix) {
    return [...(await this.#store.list(prefix))].flat();
  }

  async write(changes) {
    const told = [];
    for (let at = 0; at < changes.length; at += 2) {
      const [key, value] = [changes[at], changes[at + 1]];
      told.push(value ? { key, value } : value === undefined ? { key } : { prefix: key });
    }
    try {
      await this.#store.write(told);
    } catch (error) {
      if (error?.name === "QuotaExceededError") throw "full";
      throw error;
    }
  }
}

let shared;

/** What an agent keeps its records in: IndexedDB, which its origin's tabs share, or memory of its own. */
export function defaultStore() {
  if (!globalThis.indexedDB) return new MemoryStore("there is no IndexedDB here");
  return new Cautious((shared ??= new IndexedDbStore()), new MemoryStore());
}

/**
 * The store that the option `cache.store` asks for.
 *
 * @throws {EdgewiseError} `config` for what is none.
 */
export function storeOf(option) {
  const has = (...names) => names.every((name) => typeof option[name] === "function");
  if (option === undefined || option === null || option === "auto") return defaultStore();
  if (option === "memory") return new MemoryStore();
  if (option === "indexeddb" && globalThis.indexedDB) return (shared ??= new IndexedDbStore());
  if (option === "indexeddb") throw config("cache.store", "there is no IndexedDB here");
  if (typeof option === "object" && has("read", "list", "write")) return new AppStore(option);
  if (typeof option === "object" && has("get", "put", "delete", "list", "transaction")) return new DurableStore(option);
  throw config("cache.store", "expected \"auto\", \"indexeddb\", \"memory\", a Durable Object's storage, or an object with `read`, `list` and `write`");
}

/** The database; for good in memory where it is refused, as in some private windows and in frames without an origin. */
class Cautious {
  /** Why it is in memory, once it is. */
  why;
  #place;
  #memory;

  get kind() {
    return this.#place.kind;
  }

  constructor(place, memory) {
    this.#place = place;
    this.#memory = memory;
  }

  async #try(what, given) {
    const place = this.#place;
    try {
      return await place[what](given);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#place = this.#memory;
      this.why = `IndexedDB was refused: ${error.message}`;
      return this.#memory[what](given);
    }
  }

  note(user) {
    this.#place.note?.(user);
  }

  read(keys) {
    return this.#try("read", keys);
  }

  list(prefix) {
    return this.#try("list", prefix);
  }

  write(changes) {
    return this.#try("write", changes);
  }
}
