// Where tokens, client secrets and verifiers are kept unless the app has a store of its own: encrypted in IndexedDB, else
// in memory.
//
// Each record is encrypted with AES-GCM under a key that WebCrypto never gives out, with an IV of its own, and bound to
// the name it is kept under, so that one record cannot stand for another. Scripts of this origin can use the key, as they
// can use the page; a copy of the browser's files without it is of no use.

import { complete, done } from "./store.js";

const DATABASE = "edgewise-secrets";
const KEYS = "keys";
const RECORDS = "records";
/** How long an opening may take before callers go on without it. */
const PATIENCE_MS = 2000;

let vault;

/**
 * What was kept last under that name, or undefined. A record that cannot be read any more is dropped.
 *
 * @param {Map<string, string | undefined>} memory What could not be stored for good; it wins.
 */
export async function loadSecret(memory, name) {
  if (memory.has(name)) return memory.get(name);
  try {
    return await (await open())?.load(name);
  } catch {
    return undefined;
  }
}

/** Keeps a text under that name; undefined removes it. */
export async function saveSecret(memory, name, text) {
  try {
    const place = await open();
    if (place) {
      await place.save(name, text);
      memory.delete(name);
      return;
    }
  } catch {
    // Full, closing, or refused: memory has to do.
  }
  memory.set(name, text);
}

/** The vault; undefined where there is no IndexedDB, no WebCrypto, or the two do not go together. */
function open() {
  vault ??= unlock().catch(() => undefined);
  return vault;
}

async function unlock() {
  const subtle = globalThis.crypto?.subtle;
  if (!globalThis.indexedDB || !subtle) return undefined;
  const database = await connect();
  if (!database) {
    // Such as a deletion that another tab holds up: the next one may try again.
    vault = undefined;
    return undefined;
  }
  const forget = () => {
    vault = undefined;
    database.close();
  };
  // Another tab wants to upgrade, or the user cleared the site's data: make way.
  database.onversionchange = database.onclose = forget;
  let key;
  try {
    key = await theKey(database, subtle);
  } catch (error) {
    // Some private windows keep no keys. Then nothing of this is tried again in this page.
    database.onversionchange = database.onclose = null;
    database.close();
    throw error;
  }
  return new Vault(database, subtle, key);
}

function connect() {
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      resolve();
    }, PATIENCE_MS);
    const request = globalThis.indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(KEYS);
      request.result.createObjectStore(RECORDS);
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      if (late) request.result.close();
      else resolve(request.result);
    };
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error);
    };
  });
}

/** The one key of this origin; made by whoever comes first. */
async function theKey(database, subtle) {
  const known = await done(database.transaction(KEYS).objectStore(KEYS).get("aes"));
  if (isKey(known)) return known;
  const made = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const transaction = database.transaction(KEYS, "readwrite");
  const keys = transaction.objectStore(KEYS);
  // Another tab may have been faster.
  const first = await done(keys.get("aes"));
  if (isKey(first)) return first;
  keys.put(made, "aes");
  await complete(transaction);
  return made;
}

const isKey = (value) => value?.algorithm?.name === "AES-GCM" && value.extractable === false;

class Vault {
  #database;
  #subtle;
  #key;

  constructor(database, subtle, key) {
    this.#database = database;
    this.#subtle = subtle;
    this.#key = key;
  }

  async load(name) {
    const record = await done(this.#database.transaction(RECORDS).objectStore(RECORDS).get(name));
    if (record === undefined) return undefined;
    try {
      const plain = await this.#subtle.decrypt(cipher(name, record.iv), this.#key, record.data);
      return new TextDecoder("utf-8", { fatal: true }).decode(plain);
    } catch {
      await this.save(name, undefined);
      return undefined;
    }
  }

  async save(name, text) {
    let record;
    if (text !== undefined) {
      const iv = crypto.getRandomValues(new Uint8Array(12));
      record = { iv, data: await this.#subtle.encrypt(cipher(name, iv), this.#key, new TextEncoder().encode(text)) };
    }
    const transaction = this.#database.transaction(RECORDS, "readwrite");
    const records = transaction.objectStore(RECORDS);
    if (record) records.put(record, name);
    else records.delete(name);
    await complete(transaction);
  }
}

const cipher = (name, iv) => ({ name: "AES-GCM", iv, additionalData: new TextEncoder().encode(name) });
