// All that is kept, for people: how much it is, a file to take along, and its removal. Apart from the rest, since it is asked
// for by hand; the work is that of a part.

import { config, EdgewiseError } from "./error.js";
import { text } from "./options.js";

async function ask(core, request) {
  const answer = JSON.parse(await core.part("archive", request));
  if (answer.error) throw new EdgewiseError(answer.error);
  return answer;
}

/** What of it is meant: some spaces, one conversation, or everything. */
function chosen(choice) {
  if (choice === undefined || choice === null) return {};
  if (typeof choice !== "object") throw config("choice", `expected an object, got a ${typeof choice}`);
  const { spaces, conversation, ...rest } = choice;
  for (const name of Object.keys(rest)) throw config(name, "unknown option; known are spaces, conversation");
  if (spaces !== undefined && conversation !== undefined) throw config("conversation", "cannot be given together with `spaces`");
  if (conversation !== undefined) return { conversation: text(conversation, "conversation") };
  if (spaces === undefined) return {};
  if (!Array.isArray(spaces)) throw config("spaces", "expected an array of names");
  return { spaces };
}

/** What the agent holds in memory because it could not be stored. */
const waiting = (core) => core.call("waitingWrites", {});

export async function sizes(core, store) {
  return { store: store.kind, ...(store.why && { fallback: store.why }), ...(await ask(core, { do: "sizes", waiting: await waiting(core) })) };
}

export async function take(core, _store, choice) {
  const { text } = await ask(core, { do: "export", ...chosen(choice), waiting: await waiting(core) });
  return new Blob([text], { type: "application/x-ndjson" });
}

export async function bring(core, _store, file) {
  const archive = typeof file?.text === "function" ? await file.text() : text(file, "file");
  const told = await ask(core, { do: "import", text: archive });
  // What is in memory may be older.
  await core.call("forgetKept", { spaces: [] });
  return told;
}

export async function remove(core, _store, choice) {
  const what = chosen(choice);
  // The part finds what belongs to a conversation by its messages, so it comes first; then what is in memory goes.
  await ask(core, { do: "remove", ...what });
  await core.call("forgetKept", what);
}
