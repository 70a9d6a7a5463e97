// Serves www/ and pkg/ for `cargo xtask dev`, for as long as standard input stays open.

import { siteMounts, start } from "../../tests/servers/static.mjs";

const server = await start({ port: Number(process.argv[2]), mounts: siteMounts() });
console.log(`\n  ${server.url}\n`);
process.stdin.on("end", () => process.exit(0)).resume();
