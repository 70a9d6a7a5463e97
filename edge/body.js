// Reads the bodies of requests, strictly: a field that is misspelt is a mistake, not a default.

import { Refusal } from "./answers.js";

const MAX_BYTES = 1024 * 1024;
/** A prompt may come with pictures and recordings, and a run may be put away with results of tools in it. */
const MOST_BYTES = 16 * 1024 * 1024;
const MOST_FOLLOW_UPS = 20;
const FIELDS = ["prompt", "messages", "maxTurns", "mode", "followUps", "suspend", "output", "attachments"];

/**
 * The checked body of a run. The core checks the inside of `messages`, `output` and `attachments`.
 *
 * @param {number} mostTurns What the deployment allows.
 * @param {string[]} [fields] Those that it may have.
 * @throws {Refusal} 400, 413 over 16 MiB, 415 for anything but JSON.
 */
export async function readBody(request, mostTurns, fields = FIELDS) {
  const body = await readObject(request, fields, MOST_BYTES);
  const { prompt, messages, maxTurns = mostTurns, mode, followUps = [], suspend = false, output, attachments } = body;
  if (!isText(prompt)) throw wrong("prompt", "expected text that is not empty");
  if (messages !== undefined && !Array.isArray(messages)) throw wrong("messages", "expected an array");
  if (!Number.isInteger(maxTurns) || maxTurns < 1 || maxTurns > mostTurns) {
    throw wrong("maxTurns", `expected a whole number from 1 to ${mostTurns}`);
  }
  if (mode !== undefined && mode !== "chat" && mode !== "goal") throw wrong("mode", 'expected "chat" or "goal"');
  // Each of them has as many turns as the prompt.
  const few = Array.isArray(followUps) && followUps.length <= MOST_FOLLOW_UPS;
  if (!few || !followUps.every(isText)) throw wrong("followUps", `expected an array of at most ${MOST_FOLLOW_UPS} texts that are not empty`);
  if (typeof suspend !== "boolean") throw wrong("suspend", "expected true or false");
  if (output !== undefined && !isObject(output)) throw wrong("output", "expected a JSON Schema");
  if (attachments !== undefined && !Array.isArray(attachments)) throw wrong("attachments", "expected an array");
  return { prompt, messages, maxTurns, mode, followUps, suspend, output, attachments };
}

/** The same for a plan; the core checks the plan. */
export async function readPlan(request) {
  const { plan, preview = false } = await readObject(request, ["plan", "preview"], MAX_BYTES);
  if (!isObject(plan)) throw wrong("plan", "expected a plan: { steps: [...] }");
  if (typeof preview !== "boolean") throw wrong("preview", "expected true or false");
  return { plan, preview };
}

/** The same for what is said to a run that is under way. */
export async function readSteer(request) {
  const { text, followUp = false } = await readObject(request, ["text", "followUp"], MAX_BYTES);
  if (!isText(text)) throw wrong("text", "expected text that is not empty");
  if (typeof followUp !== "boolean") throw wrong("followUp", "expected true or false");
  return { text, followUp };
}

/**
 * The same for one that is resumed; the core checks the inside of both.
 *
 * @param scopes How long a yes can be remembered: outside a conversation nobody's memory is there for longer than the run.
 */
export async function readResume(request, scopes) {
  const { snapshot, decisions } = await readObject(request, ["snapshot", "decisions"], MOST_BYTES);
  if (typeof snapshot !== "string" || snapshot === "") throw wrong("snapshot", "expected that of a `suspended` event");
  for (const [id, decision] of Object.entries(isObject(decisions) ? decisions : {})) {
    if (isObject(decision) && !scopes.includes(decision.remember)) {
      throw wrong(`decisions.${id}.remember`, `expected ${scopes.map((scope) => `"${scope}"`).join(" or ")} here`);
    }
  }
  return { snapshot, decisions };
}

async function readObject(request, fields, mostBytes) {
  const type = request.headers.get("content-type")?.split(";")[0].trim().toLowerCase();
  // Also what makes a browser ask first (a preflight) before a page of another origin may send this.
  if (type !== "application/json") throw new Refusal(415, "protocol", "the body must be application/json");
  let body;
  try {
    body = JSON.parse(await readText(request, mostBytes));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, "protocol", "the body is no valid JSON in UTF-8");
  }
  if (!isObject(body)) throw wrong("body", "expected an object");
  for (const field of Object.keys(body)) {
    if (!fields.includes(field)) throw wrong(field, `unknown field; known are ${fields.join(", ")}`);
  }
  return body;
}

const isText = (text) => typeof text === "string" && text.trim() !== "";
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function wrong(path, message) {
  return new Refusal(400, "config", `${path}: ${message}`, { path });
}

/** Counts what arrives: `content-length` may be absent or wrong. */
async function readText(request, mostBytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > mostBytes) throw new Refusal(413, "limit", `the body is larger than ${mostBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
