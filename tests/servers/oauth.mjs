// An authorization server of our own script, and the guard that puts it before an MCP server. Strict: whatever a correct
// client would not send ends up in `violations`.

import { createHash, randomUUID } from "node:crypto";
import { body, listen, runAsScript } from "./lib.mjs";
import { start as startModern } from "./modern.mjs";

/**
 * Starts the authorization server on loopback.
 *
 * Users sign in at `/authorize` with a button (`#allow`, `#deny`), or at once with `auto`. `coop`: that page cuts the tie
 * to whoever opened it. Metadata answers to simple requests only: there is no preflight for it. Refresh tokens count
 * once; using one again ends the whole grant. `latency`: milliseconds that the token endpoint takes.
 *
 * `grants` lists the grant types of token requests, `authorizations` the queries of `/authorize`, `registered` the
 * client documents, `violations` what should not have been.
 */
export async function start({ port = 0, auto = false, coop = false, lifetime = 3600, latency = 0 } = {}) {
  const state = { grants: [], authorizations: [], registered: [], violations: [], codes: new Map(), access: new Map(), refresh: new Map() };
  const wrong = (text) => state.violations.push(text);
  let issuer;

  function token(response, right) {
    const [access, refresh] = [`access-${randomUUID()}`, `refresh-${randomUUID()}`];
    state.access.set(access, { ...right, until: Date.now() + lifetime * 1000 });
    state.refresh.set(refresh, right);
    json(response, 200, { access_token: access, token_type: "Bearer", expires_in: lifetime, refresh_token: refresh });
  }

  const routes = {
    "GET /.well-known/oauth-authorization-server": (_request, response) =>
      json(response, 200, {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        registration_endpoint: `${issuer}/register`,
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: ["none"],
        authorization_response_iss_parameter_supported: true,
      }),

    async "POST /register"(request, response) {
      const client = JSON.parse(await body(request));
      state.registered.push(client);
      json(response, 201, { ...client, client_id: `client-${state.registered.length}` });
    },

    async "GET /authorize"(_request, response, url) {
      const query = Object.fromEntries(url.searchParams);
      state.authorizations.push(query);
      const code = `code-${randomUUID()}`;
      state.codes.set(code, query);
      const back = (parameters) => {
        const to = new URL(query.redirect_uri);
        for (const [name, value] of Object.entries({ ...parameters, state: query.state, iss: issuer })) to.searchParams.set(name, value);
        return to.href;
      };
      const headers = { "Content-Type": "text/html; charset=utf-8", ...(coop && { "Cross-Origin-Opener-Policy": "same-origin" }) };
      if (auto) return response.writeHead(302, { ...headers, Location: back({ code }) }).end();
      response.writeHead(200, headers).end(
        `<!doctype html><title>Sign in</title><link rel="icon" href="data:,"><h1>Sign in</h1>
         <p><a id="allow" href="${back({ code }).replaceAll("&", "&amp;")}">Allow</a>
         <a id="deny" href="${back({ error: "access_denied" }).replaceAll("&", "&amp;")}">Deny</a></p>`,
      );
    },

    async "POST /token"(request, response) {
      const form = Object.fromEntries(new URLSearchParams(await body(request)));
      state.grants.push(form.grant_type);
      if (latency) await new Promise((resolve) => setTimeout(resolve, latency));
      const refuse = (error) => json(response, 400, { error });
      if (form.grant_type === "authorization_code") {
        const asked = state.codes.get(form.code);
        state.codes.delete(form.code);
        if (!asked) return refuse("invalid_grant");
        const challenge = createHash("sha256").update(form.code_verifier ?? "").digest("base64url");
        if (challenge !== asked.code_challenge) wrong("a code without its verifier");
        for (const name of ["client_id", "redirect_uri", "resource"]) {
          if (form[name] !== asked[name]) wrong(`${name} differs between authorization and token request`);
        }
        return token(response, { client: form.client_id, resource: form.resource, family: randomUUID() });
      }
      if (form.grant_type !== "refresh_token") return refuse("unsupported_grant_type");
      const right = state.refresh.get(form.refresh_token);
      if (!right) return refuse("invalid_grant");
      if (right.spent) {
        wrong("a refresh token was used twice");
        for (const kept of [state.access, state.refresh]) {
          for (const [name, { family }] of kept) if (family === right.family) kept.delete(name);
        }
        return refuse("invalid_grant");
      }
      if (form.resource !== right.resource || form.client_id !== right.client) wrong("a refresh for another resource or client");
      state.refresh.set(form.refresh_token, { ...right, spent: true });
      token(response, right);
    },
  };

  const server = await listen(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    response.setHeader("Access-Control-Allow-Origin", "*");
    if (request.headers.authorization) wrong(`credentials for somebody else at ${url.pathname}`);
    if (request.method === "OPTIONS") {
      // What is sent as JSON needs a preflight; a GET of metadata must not.
      const wanted = request.headers["access-control-request-method"];
      if (wanted !== "POST") wrong(`a preflight for ${wanted} ${url.pathname}`);
      response.writeHead(204, { "Access-Control-Allow-Headers": "content-type", "Access-Control-Allow-Methods": "POST" });
      return response.end();
    }
    const route = routes[`${request.method} ${url.pathname}`];
    if (route) return route(request, response, url);
    response.writeHead(404).end();
  }, port);
  issuer = server.origin;

  return {
    ...state,
    url: issuer,
    issuer,
    /** Takes the access tokens back, and with `all` the refresh tokens too. */
    revoke({ all = false } = {}) {
      state.access.clear();
      if (all) state.refresh.clear();
    },
    /** Whether the server at `resource` should take that `Authorization`. */
    admits(authorization, resource) {
      const right = state.access.get(/^Bearer (.+)$/.exec(authorization ?? "")?.[1]);
      if (!right) return false;
      if (right.resource !== resource) wrong(`a token for ${right.resource} at ${resource}`);
      return right.until > Date.now();
    },
    close: server.close,
  };
}

/**
 * A modern MCP server that wants tokens of that authorization server.
 *
 * `explains`: its refusals say where the metadata is, in a header that pages may read; most servers do not expose it.
 */
export async function startProtected(authority, { explains = false, ...options } = {}) {
  const guard = (request, response) => {
    const { origin, pathname } = new URL(request.url, `http://${request.headers.host}`);
    const resource = `${origin}/mcp`;
    const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
    response.setHeader("Access-Control-Allow-Origin", "*");
    if (`${origin}${pathname}` === metadata) {
      if (request.method !== "GET") authority.violations.push(`${request.method} ${pathname}`);
      json(response, 200, { resource, authorization_servers: [authority.issuer] });
      return true;
    }
    if (pathname !== "/mcp" || request.method === "OPTIONS") return false;
    if (authority.admits(request.headers.authorization, resource)) return false;
    if (explains) response.setHeader("Access-Control-Expose-Headers", "WWW-Authenticate");
    response.writeHead(401, { "WWW-Authenticate": `Bearer resource_metadata="${metadata}"` }).end();
    return true;
  };
  return startModern({ ...options, guard });
}

function json(response, status, value) {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" }).end(JSON.stringify(value));
}

await runAsScript(import.meta, start);
