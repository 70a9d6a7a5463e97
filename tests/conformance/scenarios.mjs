// What the client of the conformance suite does in each scenario: nothing but what any app would do with the package.
//
// Needs only what every runtime has, so that it runs in Node and in a Worker.

const REDIRECT = "http://localhost:3000/callback";
const METADATA = "https://conformance-test.local/client-metadata.json";

/** Stands for the user and their browser: opens the page and says where it led. */
async function authorize(url, { signal }) {
  const answer = await fetch(url, { redirect: "manual", signal });
  const location = answer.headers.get("location");
  if (!location) throw new Error(`the authorization page answered ${answer.status} without a redirect`);
  return new URL(location, url).href;
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

/** Signs with a key of WebCrypto, as the options `sign` and `dpop.sign` want it. */
const signer = (key) => async ({ input }) =>
  base64url(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, new TextEncoder().encode(input)));

const P256 = { name: "ECDSA", namedCurve: "P-256" };

function importPem(pem) {
  const bytes = Uint8Array.from(atob(pem.replace(/-----[^-]+-----|\s/g, "")), (char) => char.charCodeAt(0));
  return crypto.subtle.importKey("pkcs8", bytes, P256, false, ["sign"]);
}

async function dpop() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(P256, false, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  return { algorithm: "ES256", jwk: { kty, crv, x, y }, sign: signer(privateKey) };
}

const user = { authorize, redirectUrl: REDIRECT };

/** The option `oauth` for each scenario that needs more than a user who signs in. */
const OAUTH = {
  "auth/basic-cimd": () => ({ ...user, clientMetadataUrl: METADATA }),
  "auth/pre-registration": ({ client_id, client_secret }) => ({ ...user, clientId: client_id, clientSecret: client_secret }),
  "auth/client-credentials-basic": ({ client_id, client_secret }) => ({
    grant: "client_credentials", clientId: client_id, clientSecret: client_secret,
  }),
  "auth/client-credentials-jwt": async ({ client_id, private_key_pem, signing_algorithm = "ES256" }) => ({
    grant: "client_credentials", clientId: client_id,
    sign: { algorithm: signing_algorithm, sign: signer(await importPem(private_key_pem)) },
  }),
  "auth/enterprise-managed-authorization": (context) => ({
    clientId: context.client_id, clientSecret: context.client_secret,
    idp: { tokenEndpoint: context.idp_token_endpoint, clientId: context.idp_client_id, idToken: () => context.idp_id_token },
  }),
  "auth/wif-jwt-bearer": ({ client_id, valid_jwt }) => ({ clientId: client_id, assertion: () => valid_jwt }),
  "auth/dpop": async () => ({ ...user, dpop: await dpop() }),
  "auth/dpop-nonce": async () => ({ ...user, dpop: await dpop() }),
};

async function signIn({ client }) {
  await client.listTools();
  await client.callTool("test-tool");
}

async function eachTool({ client }, input) {
  const { tools } = await client.listTools();
  for (const { name } of tools) await client.callTool(name, input).catch(() => {});
}

const SCENARIOS = {
  initialize: ({ client }) => client.listTools(),
  async tools_call({ client }) {
    await client.listTools();
    await client.callTool("add_numbers", { a: 5, b: 3 });
  },
  "elicitation-sep1034-client-defaults": ({ client }) => client.callTool("test_client_elicitation_defaults"),
  "sse-retry": async ({ client }) => {
    await client.listTools();
    await client.callTool("test_reconnection");
  },
  "request-metadata": ({ client }) => client.listTools(),
  async "http-standard-headers"({ client }) {
    const { tools } = await client.listTools();
    await client.callTool(tools[0].name);
    const { resources } = await client.listResources();
    await client.readResource(resources[0].uri);
    const { prompts } = await client.listPrompts();
    await client.getPrompt(prompts[0].name);
  },
  async "http-custom-headers"({ client, context }) {
    await client.listTools();
    for (const call of context.toolCalls) await client.callTool(call.name, call.arguments);
  },
  "http-invalid-tool-headers": (world) => eachTool(world, { region: "us-west1" }),
  async "sep-2322-client-request-state"({ client }) {
    for (const name of ["echo_state", "no_state", "unrelated", "no_result_type"]) await client.callTool(`test_mrtr_${name}`);
  },
  "json-schema-ref-no-deref": ({ client }) => client.listTools(),
  async "json-schema-2020-12-preservation"({ client }) {
    const { tools } = await client.listTools();
    const { inputSchema } = tools.find(({ name }) => name === "json_schema_2020_12_tool");
    await client.callTool("json_schema_echo", { schema: inputSchema });
  },
};

/** What the client can do for the server, where a scenario is about that. */
const ABILITIES = {
  "elicitation-sep1034-client-defaults": { onInput: async () => ({ action: "accept", content: {} }) },
  "sep-2322-client-request-state": { onInput: async () => ({ action: "accept", content: { confirmed: true } }) },
  "request-metadata": {
    onInput: async () => ({ action: "decline" }),
    onSampling: async () => ({ role: "assistant", content: { type: "text", text: "" }, model: "none" }),
    roots: [],
  },
};

/**
 * Plays one scenario to its end.
 *
 * @param McpClient The class of the package.
 * @param url Where the suite's server listens.
 * @param scenario Its name.
 * @param context What the suite tells the client beside: identifiers, keys, calls to make.
 */
export async function play(McpClient, url, scenario, context) {
  const isAuth = scenario.startsWith("auth/");
  const run = isAuth ? signIn : SCENARIOS[scenario];
  if (!run) throw new Error(`nobody has written what to do in the scenario ${scenario}`);
  const oauth = isAuth ? await (OAUTH[scenario] ?? (() => user))(context) : undefined;
  const client = new McpClient({ url, name: "conformance", oauth, ...ABILITIES[scenario] });
  try {
    await run({ client, context });
  } finally {
    await client.close();
  }
}
