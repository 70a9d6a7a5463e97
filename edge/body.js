// Reads the body of `POST /v1/run`, strictly: a field that is misspelt is a mistake, not a default.

import { Refusal } from "./answers.js";

const MAX_BYTES = 1024 * 1024;
const FIELDS = ["prompt", "messages", "maxTurns", "mode", "followUps"];

/**
 * The checked body. The core checks the inside of `messages`.
 *
 * @param {number} mostTurns What the deployment allows.
 * @throws {Refusal} 400, 413 over 1 MiB, 415 for anything but JSON.
 */
export async function readBody(request, mostTurns) {
  const type = request.headers.get("content-type")?.split(";")[0].trim().toLowerCase();
  // Also what makes a browser ask first (a preflight) before a page of another origin may send this.
  if (type !== "application/json") throw new Refusal(415, "protocol", "the body must be application/json");
  let body;
  try {
    body = JSON.parse(await readText(request));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, "protocol", "the body is no valid JSON in UTF-8");
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) throw wrong("body", "expected an object");
  for (const field of Object.keys(body)) {
    if (!FIELDS.includes(field)) throw wrong(field, `unknown field; known are ${FIELDS.join(", ")}`);
  }
  const { prompt, messages, maxTurns = mostTurns, mode, followUps = [] } = body;
  if (typeof prompt !== "string" || prompt.trim() === "") throw wrong("prompt", "expected text that is not empty");
  if (messages !== undefined && !Array.isArray(messages)) throw wrong("messages", "expected an array");
  if (mode !== undefined && mode !== "chat" && mode !== "goal") throw wrong("mode", 'expected "chat" or "goal"');
  const isText = (text) => typeof text === "string" && text.trim() !== "";
  if (!Array.isArray(followUps) || !followUps.every(isText)) throw wrong("followUps", "expected an array of texts that are not empty");
  if (!Number.isInteger(maxTurns) || maxTurns < 1 || maxTurns > mostTurns) {
    throw wrong("maxTurns", `expected a whole number from 1 to ${mostTurns}`);
  }
  return { prompt, messages, maxTurns, mode, followUps };
}

function wrong(path, message) {
  return new Refusal(400, "config", `${path}: ${message}`, { path });
}

/** Counts what arrives: `content-length` may be absent or wrong. */
async function readText(request) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BYTES) throw new Refusal(413, "limit", `the body is larger than ${MAX_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
