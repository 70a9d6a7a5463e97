// The places for records (`pkg/store.js`) by the laws of records.mjs, and what only some of them can show. IndexedDB is in
// storage.test.mjs, real Durable Objects in tests/workerd.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { root, Shelf } from "./lib.mjs";
import { brokenLaws } from "./records.mjs";

const { MemoryStore, storeOf } = await import(join(root, "pkg/store.js"));

/** A Durable Object's storage as far as it goes: values are cloned, of bounded size, and a transaction that throws is none. */
function durable() {
  let values = new Map([["own", "the object's"]]);
  const access = (map) => ({
    get: async (key) => structuredClone(map.get(key)),
    put: async (key, value) => {
      if (value.length > 128 * 1024) throw new Error("Values cannot be larger than 131072 bytes.");
      if (value.length === 13) throw new Error("database or disk is full: SQLITE_FULL");
      map.set(key, structuredClone(value));
    },
    delete: async (key) => map.delete(key),
    list: async ({ prefix = "" } = {}) => new Map([...map].filter(([key]) => key.startsWith(prefix)).sort()),
  });
  const storage = {
    values: () => values,
    transaction: async (closure) => {
      const copy = new Map(values);
      const result = await closure(access(copy));
      values = copy;
      return result;
    },
  };
  for (const name of ["get", "put", "delete", "list"]) storage[name] = (...given) => access(values)[name](...given);
  return storage;
}

/** A store that has no room for records of 13 bytes. */
class Own extends Shelf {
  async write(changes) {
    if (changes.some(({ value }) => value?.length === 13)) throw Object.assign(new Error("full"), { name: "QuotaExceededError" });
    await super.write(changes);
  }
}

const bytes = (length, seed = 1) => Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 255);

for (const [kind, make] of [
  ["memory", () => new MemoryStore()],
  ["durable-object", undefined],
  ["app", () => storeOf(new Own())],
]) {
  test(`${kind}: keeps the laws of a place for records`, async () => {
    const storage = kind === "durable-object" ? durable() : undefined;
    const store = storage ? storeOf(storage) : make();
    assert.equal(store.kind, kind);
    assert.deepEqual(await brokenLaws(store), []);
    if (storage) assert.deepEqual([...storage.values().keys()], ["own"], "what the object itself keeps stays");
  });
}

for (const [kind, place] of [["durable-object", durable()], ["app", new Own()]]) {
  test(`${kind}: a batch that does not fit changes nothing and says so`, async () => {
    const store = storeOf(place);
    await store.write(["k", bytes(1)]);
    await assert.rejects(store.write(["k", bytes(2), "big", bytes(13)]), (thrown) => thrown === "full");
    assert.deepEqual(await store.read(["k", "big"]), [bytes(1), undefined]);
  });
}

test("what is no store is refused by its path", () => {
  for (const wrong of ["disk", 7, {}, { read() {}, list() {} }]) {
    assert.throws(() => storeOf(wrong), { code: "config", message: /^cache\.store: / });
  }
  assert.throws(() => storeOf("indexeddb"), { message: "cache.store: there is no IndexedDB here" });
  assert.equal(storeOf("auto").kind, "memory");
});
