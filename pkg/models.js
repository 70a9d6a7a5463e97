// Models that are no endpoint: the app's own `generate`, the browser's `LanguageModel`, a binding of Workers AI. Each becomes a
// function that stands for `fetch`, whose answer is an event stream.

const encoder = new TextEncoder();
const line = (data) => encoder.encode(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`);

/** A stream of what the iterable gives, no faster than it is read. Letting go of it ends the iterable. */
function streamed(iterable) {
  const iterator = (iterable[Symbol.asyncIterator] ?? iterable[Symbol.iterator]).call(iterable);
  const body = new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next();
        if (done) return controller.close();
        controller.enqueue(line(typeof value === "string" ? { type: "text", text: value } : value));
      } catch (error) {
        // Told as models tell it, so that the run can go on with what came.
        controller.enqueue(line({ error: { message: String(error?.message ?? error), code: error?.status } }));
        controller.close();
      }
    },
    cancel: () => void Promise.resolve(iterator.return?.()).catch(() => {}),
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

/** The app's own model. */
export function app(generate) {
  return async ({ body, signal }) => {
    const given = await generate(JSON.parse(body), { signal });
    const ok = given !== null && (typeof given === "string" || typeof given === "object");
    if (!ok) throw new TypeError("generate() gave something that is no iterable");
    if (typeof given === "string") return streamed([given]);
    if (!given[Symbol.asyncIterator] && !given[Symbol.iterator]) throw new TypeError("generate() gave something that is no iterable");
    return streamed(given);
  };
}

/** The app's own count of what its model would be asked. */
export function counted(count) {
  return async ({ body, signal }) => {
    try {
      const tokens = await count(JSON.parse(body), { signal });
      if (!(tokens >= 0 && tokens < Infinity)) throw new TypeError("it gave something that is no number of tokens");
      return Response.json({ inputTokens: Math.round(tokens) });
    } catch (error) {
      return Response.json({ error: { message: String(error?.message ?? error), code: error?.status } });
    }
  };
}

/** A message's content as the browser takes it; with what it cannot see or hear left out. */
function perceived(content, able) {
  if (typeof content === "string") return content;
  return content.map(({ type, value, mimeType, data }) => {
    if (data === undefined) return { type, value };
    if (!able) return { type: "text", value: `(left out: ${type === "image" ? "an image" : "a recording"}, which this model cannot take)` };
    return { type, value: new Blob([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], { type: mimeType }) };
  });
}

/** The browser's own model. */
export function browser() {
  return app(async function* (request, { signal }) {
    const { responseConstraint, pieces, count, expects } = request;
    const model = globalThis.LanguageModel;
    // Counting must not be what has the browser fetch its model; nothing is no number.
    if (count && (await model?.availability?.()) !== "available") return yield {};
    if (!model) throw Object.assign(new Error("this browser has no model of its own (LanguageModel)"), { status: 400 });
    const expectedInputs = expects && ["text", ...expects].map((type) => ({ type }));
    const able = !expects || (await model.availability?.({ expectedInputs })) !== "unavailable";
    const prompts = [...request.initialPrompts, { role: "user", content: request.prompt }];
    const initialPrompts = prompts.map(({ role, content }) => ({ role, content: perceived(content, able) }));
    const last = initialPrompts.pop();
    const prompt = typeof last.content === "string" ? last.content : [last];
    const session = await model.create({ initialPrompts, signal, ...(expects && able && { expectedInputs }) });
    try {
      const options = { signal };
      if (responseConstraint) Object.assign(options, { responseConstraint, omitResponseConstraintInput: true });
      if (count) {
        const measure = session.measureContextUsage ?? session.measureInputUsage;
        if (!measure) return yield {};
        const before = session.contextUsage ?? session.inputUsage ?? 0;
        return yield { type: "usage", inputTokens: Math.round(before + (await measure.call(session, prompt, options))) };
      }
      for await (const text of session.promptStreaming(prompt, options)) yield { type: pieces, text };
      const used = session.contextUsage ?? session.inputUsage;
      if (used > 0) yield { type: "usage", inputTokens: Math.round(used), outputTokens: 0 };
    } finally {
      session.destroy();
    }
  });
}

/** A binding of Workers AI. */
export function workersAi(binding) {
  return async ({ body, signal }) => {
    const { model, ...input } = JSON.parse(body);
    const given = await binding.run(model, input, { signal });
    if (given instanceof Response) return given;
    if (given instanceof ReadableStream) return new Response(given, { headers: { "content-type": "text/event-stream" } });
    return Response.json(given);
  };
}
