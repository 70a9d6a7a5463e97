// As client.mjs, but the client is the one in the Worker whose URL is in EDGEWISE_WORKER; this only passes the words on.

const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_CONTEXT: context = "{}", EDGEWISE_WORKER: worker } = process.env;
const body = JSON.stringify({ url: process.argv[2], scenario, context: JSON.parse(context) });
const answer = await fetch(worker, { method: "POST", body });
if (!answer.ok) {
  console.error(await answer.text());
  process.exitCode = 1;
}
