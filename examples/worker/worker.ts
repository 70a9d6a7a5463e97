// A whole Worker: an agent behind `POST /`, its events as a stream.
// readme:begin
import { Agent } from "edgewise";

interface Env {
  AUTH_TOKEN: string;
  MODEL_ID: string;
  MODEL_API_KEY: string;
  MODEL_BASE_URL: string;
  MCP_URL: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    // Your key pays: let in whom you know.
    if (!env.AUTH_TOKEN || request.headers.get("authorization") !== `Bearer ${env.AUTH_TOKEN}`) {
      return new Response("unauthorized", { status: 401 });
    }
    const { prompt } = await request.json();
    const agent = new Agent({
      model: { provider: "anthropic", id: env.MODEL_ID, apiKey: env.MODEL_API_KEY, baseUrl: env.MODEL_BASE_URL },
      servers: [{ name: "tools", url: env.MCP_URL }],
    });
    // Whoever reads the stream cannot approve a call; one that would need it is denied.
    return agent.run(prompt, { signal: request.signal, unattended: true }).toResponse();
  },
};
// readme:end
