// The app's own transports among its options. What speaks to them is loaded when the first one is used: few apps have any.

import { later } from "./later.js";

const channels = new WeakMap();

/** Whether the value can be one; what it does shows when it is used. */
export const isTransport = (value) => typeof value?.send === "function" && typeof value.start === "function";

/** A function for the table of the app's functions that stands for `fetch` on that transport. */
export function connect(transport) {
  let channel;
  const open = () => (channel ??= later("transport", () => import("./transport.js")).then(({ Channel }) => new Channel(transport)));
  const through = async (init) => (await open()).fetch(init);
  channels.set(through, open);
  return through;
}

/** Closes those transports that the functions stand for. Never rejects: a transport that fails to close is gone too. */
export async function closeAll(functions) {
  const opened = functions.map((through) => channels.get(through)?.().catch(() => undefined));
  await Promise.all(opened.map(async (channel) => (await channel)?.close()));
}
