// What the modern fixture server has beside its tools: resources, templates, prompts and completions.

import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";

const DOCS = ["alpha", "beta", "gamma"];
const CITIES = ["Oslo", "Osaka", "Bergen"];

const resource = (name) => ({
  uri: `docs://library/${name}.md`,
  name,
  title: `Document ${name}`,
  mimeType: "text/markdown",
  annotations: { audience: ["user"], priority: 0.5 },
  _meta: { "test.example/shelf": name[0] },
});
const template = {
  uriTemplate: "docs://library/{name}.md",
  name: "document",
  description: "Any document of the library",
  mimeType: "text/markdown",
};
const prompt = {
  name: "greet",
  title: "Greeting",
  description: "Greets somebody in a city.",
  arguments: [{ name: "who", description: "Whom", required: true }, { name: "city" }],
};

/** The capabilities that go with it. */
export const capabilities = { resources: {}, prompts: {}, completions: {} };

/** Teaches the server its library; lists have pages of two. `texts` has other contents of documents, by name. */
export function register(server, texts = {}) {
  server.setRequestHandler("resources/list", ({ params }) => {
    // The cursor of the second page is empty text, which is a cursor like any other.
    if (params?.cursor === "") return { resources: DOCS.slice(2).map(resource), ttlMs: 1000, cacheScope: "private" };
    return { resources: DOCS.slice(0, 2).map(resource), nextCursor: "", ttlMs: 60_000, cacheScope: "public" };
  });
  server.setRequestHandler("resources/templates/list", () => ({ resourceTemplates: [template], ttlMs: 5000, cacheScope: "public" }));
  server.setRequestHandler("resources/read", ({ params: { uri } }) => {
    const name = DOCS.find((known) => resource(known).uri === uri);
    if (!name) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `no resource ${uri}`, { uri });
    return { contents: [{ uri, mimeType: "text/markdown", text: texts[name] ?? `# ${name}\n\nGrüße aus ${name}.` }], ttlMs: 700, cacheScope: "private" };
  });
  server.setRequestHandler("prompts/list", () => ({ prompts: [prompt] }));
  server.setRequestHandler("prompts/get", ({ params }) => {
    if (params.name !== prompt.name) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `no prompt ${params.name}`);
    const { who, city = "Oslo" } = params.arguments ?? {};
    const messages = [{ role: "user", content: { type: "text", text: `Greet ${who} in ${city}.` } }];
    return { description: prompt.description, messages };
  });
  server.setRequestHandler("completion/complete", ({ params: { ref, argument, context } }) => {
    const from = ref.type === "ref/prompt" && argument.name === "city" ? CITIES : DOCS;
    const values = from.filter((value) => value.startsWith(argument.value) && value !== context?.arguments?.not);
    return { completion: { values, total: values.length, hasMore: false } };
  });
}
