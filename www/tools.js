// Tools of the page itself, handed to the agent as app tools: one that reads, and one that changes something, so
// that there is something to call, and something to approve, without any server.

export function pageTools(setTheme) {
  return [
    {
      name: "local_time",
      description: "Tells the current date, the time of day and the time zone of this browser.",
      inputSchema: { type: "object", properties: {} },
      annotations: { title: "Local time", readOnlyHint: true, openWorldHint: false },
      execute() {
        const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        return `${new Date().toLocaleString("en", { dateStyle: "full", timeStyle: "medium" })} (${zone})`;
      },
    },
    {
      name: "set_theme",
      description: "Switches the colour theme of this page to light or dark.",
      inputSchema: {
        type: "object",
        properties: { theme: { type: "string", enum: ["light", "dark"], description: "The colour theme." } },
        required: ["theme"],
      },
      annotations: { title: "Set theme", readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
      execute({ theme }) {
        setTheme(theme);
        return `The page is ${theme} now.`;
      },
    },
  ];
}
