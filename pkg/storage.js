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

export async function sizes(core, store) {
  return { store: store.kind, ...(store.why && { fallback: store.why }), ...(await ask(core, { do: "sizes" })) };
}

export async function take(core, _store, choice) {
  const { text } = await ask(core, { do: "export", ...chosen(choice) });
  return new Blob([text], { type: "application/x-ndjson" });
}

export async function bring(core, _store, file) {
  const archive = typeof file?.text === "function" ? await file.text() : text(file, "file");
  return ask(core, { do: "import", text: archive });
}

export async function remove(core, _store, choice) {
  const what = chosen(choice);
  await ask(core, { do: "remove", ...what });
  // An answer that is on its way is not kept either.
  if (!what.conversation && (what.spaces?.includes("cache") ?? true)) await core.call("clearCache", {});
}
