// An object of the MCP TypeScript SDK's `Transport` shape, seen as the HTTP endpoint that the core speaks to: a request
// is a POST whose answer is a stream of what belongs to it, and what belongs to none comes on the stream of a GET.

/** How long a server may take to answer the first modern request before it counts as one that does not know it. */
const PROBE_MS = 5000;

/** Messages kept for a stream that nobody has opened yet. */
const BACKLOG = 100;

const META = "io.modelcontextprotocol/";
const encoder = new TextEncoder();

/** What the core speaks to: `fetch` with the transport behind it. */
export class Channel {
  #transport;
  #starting;
  #closed = false;
  // Answers that are still open, by the id of their request; a Map keeps the order in which they were opened.
  #answers = new Map();
  #listener;
  #backlog = [];

  constructor(transport) {
    this.#transport = transport;
  }

  async fetch({ method, body, signal }) {
    await this.#start();
    if (method === "DELETE") return new Response(null, { status: 405 });
    if (method === "GET") return this.#listen(signal);
    const message = JSON.parse(body);
    if (message.method === undefined || message.id === undefined) {
      await this.#transport.send(message);
      return new Response(null, { status: 202 });
    }
    return this.#request(message, signal);
  }

  async close() {
    this.#end();
    try {
      await this.#transport.close?.();
    } catch {
      // It is not used any more.
    }
  }

  #start() {
    if (this.#closed) throw new TypeError("the transport is closed");
    this.#starting ??= this.#open().catch((error) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #open() {
    const transport = this.#transport;
    // Whoever made it may listen as well.
    const { onmessage, onclose } = transport;
    transport.onmessage = (message, extra) => {
      onmessage?.call(transport, message, extra);
      this.#receive(message);
    };
    transport.onclose = () => {
      onclose?.call(transport);
      this.#end();
    };
    await transport.start();
  }

  async #request(message, signal) {
    const key = String(message.id);
    const version = message.params?._meta?.[`${META}protocolVersion`];
    const answer = new Answer(() => {
      clearTimeout(probe);
      this.#answers.delete(key);
      signal?.removeEventListener("abort", abandon);
    });
    const abandon = () => answer.abandon();
    answer.onAbandon = () => {
      // In the older eras the core says so itself.
      if (version === undefined) return;
      const params = { requestId: message.id, reason: "cancelled by the client" };
      Promise.resolve(this.#transport.send({ jsonrpc: "2.0", method: "notifications/cancelled", params })).catch(() => {});
    };
    let probe;
    const silent = new Promise((resolve) => {
      // Servers of older eras may be silent before they were greeted.
      if (message.method === "server/discover") probe = setTimeout(resolve, PROBE_MS, new Response(null, { status: 400 }));
    });
    this.#answers.set(key, answer);
    signal?.addEventListener("abort", abandon);
    answer.onResult = (result) => {
      const agreed = message.method === "initialize" ? result?.protocolVersion : version;
      if (typeof agreed === "string") this.#transport.setProtocolVersion?.(agreed);
    };
    try {
      await this.#transport.send(message);
    } catch (error) {
      answer.end();
      throw error;
    }
    const response = await Promise.race([answer.begun, silent]);
    if (response.status === 400) answer.end();
    return response;
  }

  /** The stream of what belongs to no request. A second one takes the place of the first. */
  #listen(signal) {
    this.#listener?.end();
    const listener = new Answer(() => {
      signal?.removeEventListener("abort", stop);
      if (this.#listener === listener) this.#listener = undefined;
    });
    const stop = () => listener.end();
    signal?.addEventListener("abort", stop);
    this.#listener = listener;
    for (const message of this.#backlog.splice(0)) listener.push(message);
    return listener.response;
  }

  #receive(message) {
    const isAnswer = message.method === undefined;
    const { progressToken, _meta } = message.params ?? {};
    const id = isAnswer ? message.id : _meta?.[`${META}subscriptionId`] ?? progressToken;
    let answer = this.#answers.get(String(id));
    // An error without an id answers what could not be read.
    if (isAnswer && message.id == null && this.#answers.size === 1) [answer] = this.#answers.values();
    if (isAnswer) return answer?.finish(message);
    answer ??= this.#listener ?? [...this.#answers.values()].at(-1);
    if (answer) answer.push(message);
    else if (this.#backlog.length < BACKLOG) this.#backlog.push(message);
  }

  #end() {
    this.#closed = true;
    const error = new TypeError("the transport was closed");
    for (const answer of [...this.#answers.values()]) answer.end(error);
    this.#listener?.end();
  }
}

/** The answer to one request: an event stream of messages. */
class Answer {
  #controller;
  #begin;
  #release;

  /** @param release Called once, at the end. */
  constructor(release) {
    this.#release = release;
    this.begun = new Promise((resolve) => (this.#begin = resolve));
    // Nothing is read ahead: what a transport delivers is in memory already.
    const body = new ReadableStream({ start: (controller) => (this.#controller = controller), cancel: () => this.abandon() });
    this.response = new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  push(message) {
    if (!this.#release) return;
    this.#begin(this.response);
    this.#controller.enqueue(encoder.encode(`data: ${JSON.stringify(message)}\n\n`));
  }

  /** The last message. */
  finish(message) {
    if (message.error === undefined) this.onResult?.(message.result);
    this.push(message);
    this.end();
  }

  /** Nobody wants it any more. */
  abandon() {
    if (this.#release) this.onAbandon?.();
    this.end();
  }

  end(error) {
    if (!this.#release) return;
    this.#release();
    this.#release = undefined;
    this.#begin(this.response);
    try {
      if (error) this.#controller.error(error);
      else this.#controller.close();
    } catch {
      // Its reader has cancelled it.
    }
  }
}
