// What the wasm tests need of JavaScript. Absolute paths: the test runner serves the repository's root.

import { addTable, Host } from "/pkg/host.js";
import { IndexedDbStore, MemoryStore } from "/pkg/store.js";

/** The shell's own host over the test's two entries. */
export function connect(wake, settle) {
  return new Host({ wake, settle }, {});
}

const functions = [
  (argument) => new Promise((resolve) => setTimeout(() => resolve(argument), 5)),
  () => {
    throw new Error("no luck");
  },
  () => new Promise(() => {}),
  // Waits until it is told that nobody waits for it any more.
  (name, { signal }) =>
    new Promise(() => {
      signal.addEventListener("abort", () => {
        globalThis.aborted = name;
      });
    }),
  () => undefined,
  () => 10n,
];

// The store goes by the array, so that each has one of its own; they are held for good.
const held = [];
const withStore = (store) => addTable(held[held.push([...functions]) - 1], store);

/** Records in a database of that name, by a connection of its own. */
export const tableOn = (name) => withStore(new IndexedDbStore(name));
/** Records in memory. */
export const tableInMemory = () => withStore(new MemoryStore());
/** Records where an agent without options has them. */
export const tableByDefault = () => withStore(undefined);

/** Replaces a global until the returned function is called. */
export function replace(name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  return () => {
    if (before) Object.defineProperty(globalThis, name, before);
    else delete globalThis[name];
  };
}

/** A `fetch` whose answers are of no known class and give these chunks. */
export const answering = (...chunks) => () => {
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  return Promise.resolve({ status: 200, headers: new Headers({ "x-own": "1" }), body });
};

const outcome = (request) =>
  new Promise((resolve) => {
    for (const type of ["success", "error", "blocked"]) request.addEventListener(type, () => resolve(type));
  });

/** Opens a database as a newer version of the package would; gives `success`, `error` or `blocked`. */
export async function upgrade(name) {
  const request = indexedDB.open(name, 99);
  const type = await outcome(request);
  if (type === "success") request.result.close();
  return type;
}

/** Another tab that holds the database and ignores every wish to make way, while the user clears it. */
export async function occupy(name) {
  const request = indexedDB.open(name, 2);
  await outcome(request);
  globalThis.occupied = request.result;
  indexedDB.deleteDatabase(name);
}

/** The other tab goes away. */
export const vacate = () => globalThis.occupied.close();
