// The laws of a place for records (`pkg/store.js`), which the core takes to be all alike. The same for each of them: in Node, in
// pages and workers, in a Durable Object; so nothing of Node is in here.

const bytes = (length, seed = 1) => Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 255);

/** A record as text that can be compared; its length tells most of a long one. */
const shown = (record) => (record instanceof Uint8Array ? `${record.length}:${record.length > 64 ? record.reduce((sum, byte) => (sum * 31 + byte) % 1e9, 7) : [...record]}` : String(record));

function same(found, expected, what) {
  const [one, other] = [found, expected].map((list) => list.map((item) => (typeof item === "string" ? item : shown(item))).join(" "));
  if (one !== other) throw new Error(`${what}: ${one} instead of ${other}`);
}

/** Keys of a listing with their records, in the order of the keys. */
async function listed(store, prefix) {
  const list = await store.list(prefix);
  const pairs = Array.from({ length: list.length / 2 }, (_, at) => [list[2 * at], list[2 * at + 1]]);
  return pairs.sort(([one], [other]) => (one < other ? -1 : 1)).flat();
}

const LAWS = {
  async "records are what was written last, in the order of the batch"(store) {
    await store.write(["law/a/1", bytes(3), "law/a/2", bytes(0), "law/b/1", bytes(4)]);
    same(await store.read(["law/a/2", "law/none", "law/a/1"]), [bytes(0), undefined, bytes(3)], "read");
    await store.write(["law/a/1", bytes(5), "law/a/", null, "law/a/3", bytes(6), "law/b/1", undefined, "law/none", undefined]);
    same(await store.read(["law/a/1", "law/a/2", "law/a/3", "law/b/1"]), [undefined, undefined, bytes(6), undefined], "read");
    same(await listed(store, "law/a/"), ["law/a/3", bytes(6)], "list");
  },
  async "keys that begin alike are apart, in any script"(store) {
    const keys = ["law/k", "law/k/", "law/k/\u2713", "law/k/\u{1f600}", "law/k/\uffff", "law/k0", "law/l"];
    await store.write(keys.flatMap((key, at) => [key, bytes(at + 1)]));
    same(await store.read(keys), keys.map((_, at) => bytes(at + 1)), "read");
    same((await listed(store, "law/k/")).filter((item) => typeof item === "string"), [...keys.slice(1, 5)].sort(), "list");
    await store.write(["law/k/", null]);
    same(await store.read(keys), keys.map((_, at) => (at > 0 && at < 5 ? undefined : bytes(at + 1))), "what is left");
  },
  async "long records come back whole and leave nothing behind"(store) {
    for (const length of [100 * 1024, 100 * 1024 + 1, 1024 * 1024 + 7, 200 * 1024]) {
      await store.write(["law/long", bytes(length, length)]);
      same(await store.read(["law/long"]), [bytes(length, length)], `${length}`);
    }
    await store.write(["law/long", bytes(1)]);
    same(await listed(store, "law/lo"), ["law/long", bytes(1)], "list");
    await store.write(["law/long", bytes(300 * 1024)]);
    await store.write(["law/", null]);
    same(await store.read(["law/long"]), [undefined], "removed");
  },
  async "batches at once do not mix, whoever looks"(store) {
    const pair = ["law/pair/a", "law/pair/b"];
    const look = async () => {
      const [one, other] = await store.read(pair);
      same([one], [other], "halves of two batches");
    };
    const writes = Array.from({ length: 12 }, (_, at) => store.write([pair[0], bytes(at + 1), pair[1], bytes(at + 1)]));
    const looks = Array.from({ length: 12 }, look);
    await Promise.all([...writes, ...looks]);
    await look();
  },
};

/** What is wrong with a place, law by law; it is left as empty of these records as it was. */
export async function brokenLaws(store) {
  const broken = [];
  for (const [law, holds] of Object.entries(LAWS)) {
    try {
      await holds(store);
    } catch (error) {
      broken.push(`${law}: ${error?.message ?? error}`);
    }
    await store.write(["law/", null]);
    const left = await store.list("law/");
    if (left.length > 0) broken.push(`${law}: ${left.length} are left`);
  }
  return broken;
}
