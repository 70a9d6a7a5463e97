// A scripted model server that speaks Anthropic's `/v1/messages`, OpenAI's `/v1/chat/completions` and `/v1/responses`, and
// Gemini's `:streamGenerateContent`.
//
// A test hands it turns; every request takes the next one. See `start` for what a turn may hold.

import { body, cors, listen, runAsScript, sleep } from "./lib.mjs";

const event = (data, name) => `${name ? `event: ${name}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

/** Cuts text into pieces of a few characters, as models stream it. */
const pieces = (value, length = 6) => value.match(new RegExp(`[^]{1,${length}}`, "gu")) ?? [];

const wires = {
  anthropic: {
    stream(turn, request, calls) {
      const named = (data) => event(data, data.type);
      const out = [];
      const usage = { input_tokens: 10, output_tokens: 5, ...turn.usage };
      const message = { id: turn.id ?? "msg_1", type: "message", role: "assistant", model: request.model, content: [] };
      message.stop_reason = null;
      message.stop_sequence = null;
      message.usage = { ...usage, output_tokens: 1 };
      out.push(named({ type: "message_start", message }), named({ type: "ping" }));
      let index = 0;
      const block = (content_block, deltas) => {
        out.push(named({ type: "content_block_start", index, content_block }));
        for (const delta of deltas) out.push(named({ type: "content_block_delta", index, delta }));
        out.push(named({ type: "content_block_stop", index }));
        index += 1;
      };
      if (turn.thinking) {
        const deltas = pieces(turn.thinking).map((thinking) => ({ type: "thinking_delta", thinking }));
        deltas.push({ type: "signature_delta", signature: "c2lnbmVk" });
        block({ type: "thinking", thinking: "", signature: "" }, deltas);
      }
      if (turn.text) block({ type: "text", text: "" }, pieces(turn.text).map((part) => ({ type: "text_delta", text: part })));
      for (const { id, name, arguments: json } of calls) {
        const deltas = pieces(json).map((partial_json) => ({ type: "input_json_delta", partial_json }));
        block({ type: "tool_use", id, name, input: {} }, deltas);
      }
      const stop_reason = turn.stopReason ?? (calls.length ? "tool_use" : "end_turn");
      out.push(named({ type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: usage.output_tokens } }));
      out.push(named({ type: "message_stop" }));
      return out;
    },
    whole(turn, request, calls) {
      const content = [];
      if (turn.thinking) content.push({ type: "thinking", thinking: turn.thinking, signature: "c2lnbmVk" });
      if (turn.text) content.push({ type: "text", text: turn.text });
      for (const call of calls) content.push({ type: "tool_use", id: call.id, name: call.name, input: JSON.parse(call.arguments) });
      const stop_reason = turn.stopReason ?? (calls.length ? "tool_use" : "end_turn");
      const usage = { input_tokens: 10, output_tokens: 5, ...turn.usage };
      return { id: "msg_1", type: "message", role: "assistant", model: request.model, content, stop_reason, stop_sequence: null, usage };
    },
    error: (status, message) => ({ type: "error", error: { type: status === 529 ? "overloaded_error" : "api_error", message } }),
  },
  openai: {
    stream(turn, request, calls) {
      const chunk = (choices, more) => event({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: request.model, choices, ...more });
      const delta = (value, finish_reason = null) => chunk([{ index: 0, delta: value, finish_reason }]);
      const out = [delta({ role: "assistant", content: calls.length && !turn.text ? null : "" })];
      for (const part of pieces(turn.thinking ?? "")) out.push(delta({ reasoning_content: part }));
      for (const content of pieces(turn.text ?? "")) out.push(delta({ content }));
      calls.forEach((call, index) => {
        out.push(delta({ tool_calls: [{ index, id: call.id, type: "function", function: { name: call.name, arguments: "" } }] }));
        for (const part of pieces(call.arguments)) out.push(delta({ tool_calls: [{ index, function: { arguments: part } }] }));
      });
      out.push(delta({}, turn.stopReason ?? (calls.length ? "tool_calls" : "stop")));
      if (request.stream_options?.include_usage) {
        const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, ...turn.usage };
        out.push(chunk([], { usage }));
      }
      if (turn.done !== false) out.push(event("[DONE]"));
      return out;
    },
    whole(turn, request, calls) {
      const message = { role: "assistant", content: turn.text ?? null };
      if (calls.length) message.tool_calls = calls.map(({ id, name, arguments: json }) => ({ id, type: "function", function: { name, arguments: json } }));
      const finish_reason = turn.stopReason ?? (calls.length ? "tool_calls" : "stop");
      const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, ...turn.usage };
      return { id: "chatcmpl-1", object: "chat.completion", created: 1, model: request.model, choices: [{ index: 0, message, finish_reason }], usage };
    },
    error: (status, message) => ({ error: { message, type: status === 429 ? "rate_limit_error" : "server_error", code: null } }),
  },
  responses: {
    stream(turn, request, calls) {
      const named = (data) => event(data, data.type);
      const response = wires.responses.whole(turn, request, calls);
      const out = [named({ type: "response.created", response: { ...response, status: "in_progress", output: [], usage: null } })];
      response.output.forEach((item, output_index) => {
        const of = { item_id: item.id, output_index };
        const bare = item.type === "message" ? { ...item, content: [] } : { ...item, arguments: "" };
        out.push(named({ type: "response.output_item.added", output_index, item: { ...bare, status: "in_progress" } }));
        if (item.type === "message") {
          const { text } = item.content[0];
          for (const delta of pieces(text)) out.push(named({ type: "response.output_text.delta", ...of, content_index: 0, delta }));
          out.push(named({ type: "response.output_text.done", ...of, content_index: 0, text }));
        } else {
          for (const delta of pieces(item.arguments)) out.push(named({ type: "response.function_call_arguments.delta", ...of, delta }));
          out.push(named({ type: "response.function_call_arguments.done", ...of, arguments: item.arguments }));
        }
        out.push(named({ type: "response.output_item.done", output_index, item }));
      });
      out.push(named({ type: "response.completed", response }));
      return out;
    },
    whole(turn, request, calls) {
      const output = [];
      if (turn.text) {
        const content = [{ type: "output_text", text: turn.text, annotations: [] }];
        output.push({ type: "message", id: "msg_1", role: "assistant", status: "completed", content });
      }
      for (const { id, name, arguments: json } of calls) {
        output.push({ type: "function_call", id: `fc_${id}`, call_id: id, name, arguments: json, status: "completed" });
      }
      const usage = { input_tokens: 10, output_tokens: 5, total_tokens: 15, ...turn.usage };
      return { id: turn.id ?? "resp_1", object: "response", model: request.model, status: "completed", output, usage };
    },
    error: (status, message) => ({ error: { message, type: status === 429 ? "rate_limit_error" : "server_error", code: null } }),
  },
  gemini: {
    stream(turn, request, calls) {
      const usageMetadata = { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15, ...turn.usage };
      const chunk = (parts, more) => event({ candidates: [{ content: { role: "model", parts }, index: 0, ...more }], usageMetadata, responseId: "r1" });
      const out = pieces(turn.text ?? "").map((text) => chunk([{ text }]));
      if (calls.length) out.push(chunk(calls.map(({ id, name, arguments: json }) => ({ functionCall: { id, name, args: JSON.parse(json) } }))));
      out.push(chunk([{ text: "" }], { finishReason: turn.stopReason ?? "STOP" }));
      return out;
    },
    error: (status, message) => ({ error: { code: status, message, status: status === 429 ? "RESOURCE_EXHAUSTED" : "INTERNAL" } }),
  },
};

/** The wire that a path is of. */
function wireOf(path) {
  if (path.endsWith("/messages")) return "anthropic";
  if (path.endsWith("/chat/completions")) return "openai";
  if (path.endsWith("/responses")) return "responses";
  return path.endsWith(":streamGenerateContent") ? "gemini" : undefined;
}

/** Cuts bytes as the turn asks: at given positions, or every so many bytes; else one chunk per event. */
function chunks(events, { splitAt, chunkBytes }) {
  if (!splitAt && !chunkBytes) return events.map((text) => Buffer.from(text));
  const bytes = Buffer.from(events.join(""));
  const cuts = splitAt ?? Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, at) => at * chunkBytes);
  const borders = [0, ...cuts, bytes.length].filter((at) => at <= bytes.length).sort((a, b) => a - b);
  return borders.slice(1).map((end, at) => bytes.subarray(borders[at], end)).filter((chunk) => chunk.length);
}

async function write(response, parts, { delayMs = 0, cutAt, cut = "reset", hold }) {
  response.flushHeaders();
  let left = cutAt ?? Infinity;
  for (const part of parts) {
    if (response.destroyed) return;
    const bytes = part.subarray(0, left);
    await new Promise((resolve) => response.write(bytes, resolve));
    left -= bytes.length;
    if (left <= 0) {
      if (cut === "reset") return void response.destroy();
      break;
    }
    // A timer between writes keeps the chunks apart on their way.
    await sleep(delayMs);
  }
  if (!hold) response.end();
}

/**
 * Starts the server on loopback; `url` is its origin (`url + "/v1/messages"`, `url + "/v1/chat/completions"`, `url +
 * "/v1/responses"`, `url + "/v1beta/models/m:streamGenerateContent"`).
 *
 * A turn, or a function from the request to one, may hold:
 * - `id` (Anthropic), `text`, `thinking`, `toolCalls: [{ id?, name, input }]` (`input` as text is sent as it is, also when it is no
 *   JSON), `stopReason`, `usage`, `done: false` (OpenAI: no `[DONE]`)
 * - `status`, `headers`, `body`: answer so instead of streaming (an error body of the wire where `body` is missing)
 * - `raw`: this text as the event stream
 * - `delayMs` before every further chunk; `splitAt: [positions]` or `chunkBytes: n` for chunks at any byte
 * - `cutAt: n`: break off after n bytes, `cut: "reset"` (default) or `"end"`; `hold`: never end the answer
 *
 * `requests` records `{ wire, path, headers, body, aborted }`; `push(...turns)` adds turns. A request past the last turn gets
 * a 500 that says so. With `count`, a function from a body to a number, the endpoints that count tokens are there; `counts`
 * records `{ path, body }` of them. With `embed`, a function from a text to numbers, there is one that tells what texts are about
 * (what `embed` throws is its status); `embedded` records `{ path, headers, body }` of it.
 */
export async function start({ port = 0, turns = [], count, embed } = {}) {
  const queue = [...turns];
  const requests = [];
  const counts = [];
  const embedded = [];
  let nextCall = 1;
  const server = await listen(async (request, response) => {
    if (cors(request, response, "*")) return;
    const path = new URL(request.url, "http://localhost").pathname;
    const name = wireOf(path);
    const json = (status, value, headers) => {
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(typeof value === "string" ? value : JSON.stringify(value));
    };
    if (count && /\/(count_tokens|input_tokens)$|:countTokens$/.test(path)) {
      const asked = JSON.parse(await body(request));
      counts.push({ path, body: asked });
      const tokens = count(asked);
      return json(200, path.endsWith(":countTokens") ? { totalTokens: tokens } : { input_tokens: tokens });
    }
    if (embed && path.endsWith("/embeddings")) {
      const asked = JSON.parse(await body(request));
      embedded.push({ path, headers: { ...request.headers }, body: asked });
      try {
        // In an order of its own, as it may be.
        const data = asked.input.map((text, index) => ({ object: "embedding", index, embedding: embed(text) })).reverse();
        return json(200, { object: "list", model: asked.model, data, usage: { prompt_tokens: 1, total_tokens: 1 } });
      } catch (status) {
        return json(status, { error: { message: `scripted status ${status}` } });
      }
    }
    if (!name || request.method !== "POST") return json(404, { error: { message: `nothing at ${request.method} ${path}` } });
    const wire = wires[name];
    const asked = JSON.parse(await body(request));
    const record = { wire: name, path, headers: { ...request.headers }, body: asked, aborted: false };
    requests.push(record);
    response.on("close", () => (record.aborted = !response.writableFinished));
    const next = queue.shift();
    const turn = typeof next === "function" ? await next(asked) : next;
    if (!turn) return json(500, wire.error(500, "the script has no further turn"));
    if (turn.status || turn.body !== undefined) {
      const status = turn.status ?? 200;
      return json(status, turn.body ?? wire.error(status, `scripted status ${status}`), turn.headers);
    }
    const calls = (turn.toolCalls ?? []).map((call) => ({
      id: call.id ?? `call_${nextCall++}`,
      name: call.name,
      arguments: typeof call.input === "string" ? call.input : JSON.stringify(call.input ?? {}),
    }));
    if (!asked.stream && name !== "gemini" && turn.raw === undefined) return json(200, wire.whole(turn, asked, calls), turn.headers);
    const events = turn.raw === undefined ? wire.stream(turn, asked, calls) : [turn.raw];
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache", ...turn.headers });
    await write(response, chunks(events, turn), turn);
  }, port);
  return { url: server.origin, requests, counts, embedded, push: (...more) => void queue.push(...more), pending: () => queue.length, close: server.close };
}

await runAsScript(import.meta, start);
