// What the types of signing in allow.

import { Agent, authorizeByRedirect, authorizeInPopup, completeAuthorization, EdgewiseError, McpClient, type SecretStore } from "edgewise";

class Kept implements SecretStore {
  #texts = new Map<string, string>();
  load(key: string) {
    return this.#texts.get(key);
  }
  async save(key: string, text: string | null) {
    if (text === null) this.#texts.delete(key);
    else this.#texts.set(key, text);
  }
}

const redirectUrl = "https://app.example/callback.html";
const signIn = authorizeInPopup({ width: 480, onBlocked: "fail" });
const agent = new Agent({
  model: { provider: "offline" },
  servers: [
    { name: "a", url: "https://a.example/mcp", oauth: { redirectUrl } },
    { name: "b", url: "https://b.example/mcp", oauth: { redirectUrl, authorize: signIn, store: new Kept() } },
    { name: "c", url: "https://c.example/mcp", oauth: { redirectUrl, authorize: authorizeByRedirect() } },
  ],
});

export async function button(): Promise<string> {
  const server = agent.servers().find(({ state }) => state === "auth_required");
  const url = server?.error?.authorizationUrl;
  if (url === undefined) return "nothing to do";
  const info = await agent.finishAuthorization(await signIn(url, { signal: AbortSignal.timeout(60_000) }));
  return info.state;
}

export async function start(client: McpClient): Promise<void> {
  const callback = await completeAuthorization();
  if (callback !== undefined) await client.finishAuthorization(new URL(callback), {});
  await client.connect().catch((error: unknown) => error instanceof EdgewiseError && error.authorizationUrl);
}

// @ts-expect-error no such way
authorizeInPopup({ onBlocked: "wait" });
// @ts-expect-error a store needs both
export const half: SecretStore = { load: () => null };
