// One run with a tool, the same in every place where the package must work; needs nothing of the place itself.

/** Throws with the words of what is wrong. */
export function check(right, what) {
  if (!right) throw new Error(`broken law: ${what}`);
}

/** Checks the laws of a run's events; gives the last one. */
export function laws(events) {
  const terminal = (event) => event.type === "done" || event.type === "error";
  check(events.filter(terminal).length === 1, "exactly one terminal event");
  check(terminal(events.at(-1)), "the terminal event is last");
  check(events[0].type === "run_start", "a run begins with run_start");
  const open = new Set();
  let text = "";
  for (const event of events) {
    if (event.type === "turn_start") text = "";
    if (event.type === "text_delta") text += event.text;
    if (event.type === "tool_call") {
      check(!open.has(event.id), "one tool_call per id");
      open.add(event.id);
    }
    if (event.type === "tool_result") check(open.delete(event.id), "one tool_result per tool_call");
    if (event.type === "turn_end") {
      check(open.size === 0, "every tool_call has its result by the end of its turn");
      const said = event.message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
      check(said === text, "the deltas join to the message");
    }
  }
  check(open.size === 0, "every tool_call has its result");
  return events.at(-1);
}

/** An agent on the embedded model with one tool; `calls` collects what the tool was given. */
export function adder({ Agent }, more) {
  const calls = [];
  const add = {
    name: "add",
    description: "Adds two numbers",
    inputSchema: {
      type: "object",
      properties: { a: { type: "number", description: "first number" }, b: { type: "number", description: "second number" } },
      required: ["a", "b"],
    },
    annotations: { readOnlyHint: true },
    execute({ a, b }, { signal }) {
      calls.push({ a, b, aborted: signal.aborted, own: this === add });
      return String(a + b);
    },
  };
  return { agent: new Agent({ model: { provider: "offline" }, tools: [add], ...more }), calls };
}

/** The run that each place must be able to do. */
export async function scenario(edgewise) {
  await Promise.all([edgewise.init(), edgewise.init()]);
  const { agent, calls } = adder(edgewise);
  const run = agent.run("What is 17 + 25?");
  const events = [];
  for await (const event of run) events.push(event);
  const last = laws(events);
  check(last.type === "done", `the run is done, not ${JSON.stringify(last.error)}`);
  check(calls.length === 1 && calls[0].a === 17 && calls[0].b === 25 && calls[0].own, `the tool is called: ${JSON.stringify(calls)}`);
  check(last.text.includes("42"), `the answer has the result: ${last.text}`);
  const result = await run.result;
  check(result.text === last.text && result.messages.length === last.messages.length, "the result is that of the last event");
  return { version: edgewise.version, text: last.text, types: [...new Set(events.map((event) => event.type))] };
}
