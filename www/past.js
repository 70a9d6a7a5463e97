// A conversation of an earlier visit, told again: its messages as the events that they came from.

import { given } from "./attach.js";

/**
 * Questions with the events of their answers: `{ prompt, attachments, events, open }`. `open` where the last answer stopped between two turns.
 * `known` gives `{ name, server }` of a tool by the name that the model used for it.
 */
export function exchanges(messages, known) {
  const all = [];
  let turn = 0;
  for (const { role, content } of messages) {
    const texts = content.filter(({ type, text }) => type === "text" && !text.startsWith("<context>\n")).map(({ text }) => text);
    const results = content.filter(({ type }) => type === "tool_result");
    if (role === "assistant") {
      const events = all.at(-1)?.events;
      events?.push({ type: "turn_start", turn: (turn += 1) }, ...content.flatMap((block) => said(block, known)), { type: "turn_end" });
      if (all.length) all.at(-1).open = content.some(({ type }) => type === "tool_use");
      continue;
    }
    if (results.length && all.length) {
      all.at(-1).events.push(...results.map(({ toolUseId, content, isError }) => ({ type: "tool_result", id: toolUseId, outcome: isError ? "failed" : "ok", content, isError })));
      all.at(-1).events.push(...texts.map((text) => ({ type: "said", text })));
    } else if (texts.length) {
      turn = 0;
      all.push({ prompt: texts.join("\n\n"), attachments: given(content), events: [], open: false });
    }
  }
  for (const { events, open } of all) if (!open) events.push({ type: "done" });
  return all;
}

function said(block, known) {
  switch (block.type) {
    case "text":
      return [{ type: "text_delta", text: block.text }];
    case "thinking":
      return block.text ? [{ type: "thinking_delta", text: block.text }] : [];
    case "tool_use":
      return [{ type: "tool_call", id: block.id, input: block.input, ...known(block.name) }];
    default:
      return [];
  }
}
