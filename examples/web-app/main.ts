// An agent in a page: a tool of the app's own, streamed text, approvals.
// readme:begin
import { Agent, init } from "edgewise";

await init();

const agent = new Agent({
  // Without a key, for a first try. With one: { provider: "anthropic", id: "...", baseUrl: "/llm" }, where /llm is a proxy
  // of yours that adds the key.
  model: { provider: "offline" },
  // servers: [{ name: "notes", url: "https://notes.example/mcp" }],
  tools: [
    {
      name: "add",
      description: "Adds two numbers",
      inputSchema: {
        type: "object",
        properties: { a: { type: "number" }, b: { type: "number" } },
        required: ["a", "b"],
      },
      annotations: { readOnlyHint: true },
      execute: ({ a, b }: { a: number; b: number }) => String(a + b),
    },
  ],
});

const form = document.querySelector<HTMLFormElement>("#ask")!;
const answer = document.querySelector<HTMLOutputElement>("#answer")!;
const tools = document.querySelector<HTMLUListElement>("#tools")!;

form.addEventListener("submit", async (submit) => {
  submit.preventDefault();
  answer.value = "";
  tools.replaceChildren();
  const run = agent.run(String(new FormData(form).get("question")));
  for await (const event of run) {
    switch (event.type) {
      case "text_delta":
        answer.value += event.text;
        break;
      case "tool_call":
        note(`${event.name} ${JSON.stringify(event.input)}`);
        break;
      case "approval_request":
        if (confirm(`May the agent call ${event.name}? ${event.reason}`)) run.approve(event.id);
        else run.deny(event.id, "the user said no");
        break;
      case "tool_result":
        note(event.outcome);
        break;
      case "error":
        answer.value = `${event.error.code}: ${event.error.message}`;
        break;
    }
  }
});
// readme:end

// A form that is sent before someone listens would load the page anew, so its button waits until here.
form.querySelector("button")!.disabled = false;

function note(text: string) {
  const item = document.createElement("li");
  item.textContent = text;
  tools.append(item);
}
