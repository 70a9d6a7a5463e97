// Starts worker.mjs under real workerd on loopback, prints its URL, and ends with its standard input.

import { join } from "node:path";

// Miniflare would ask the internet for the data centre's facts.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
process.env.WRANGLER_SEND_METRICS = "false";
const { unstable_startWorker: startWorker } = await import("wrangler");

const worker = await startWorker({
  config: join(import.meta.dirname, "wrangler.toml"),
  dev: { watch: false, inspector: false, logLevel: "error", server: { hostname: "127.0.0.1", port: 0 } },
});
console.log(String(await worker.url));
process.stdin.resume();
process.stdin.once("end", async () => {
  await worker.dispose();
  process.exit(0);
});
