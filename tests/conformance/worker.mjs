// The client of the suite inside a Worker: plays the scenario that a request names.

import { McpClient } from "../../pkg/workerd.js";
import { play } from "./scenarios.mjs";

export default {
  async fetch(request) {
    const { url, scenario, context } = await request.json();
    try {
      await play(McpClient, url, scenario, context);
      return new Response("done");
    } catch (error) {
      return new Response(String(error?.stack ?? error), { status: 500 });
    }
  },
};
