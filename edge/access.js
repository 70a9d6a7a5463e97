// Who may call the worker, and from which web pages.

import { Refusal } from "./answers.js";
import { text } from "./config.js";

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

const NO_TOKEN =
  "AUTH_TOKEN is not set, so every request is refused. Deployed: run `npx wrangler secret put AUTH_TOKEN`. " +
  "On your own machine: run `cargo xtask demo`, or `npx wrangler dev --var DEV:1`.";

/**
 * The headers that let a web page read the answer.
 *
 * A page of another origin must be named in `ALLOWED_ORIGINS`; otherwise its requests are refused and not only made
 * unreadable, because a run has effects. A request without `Origin` comes from no page.
 *
 * @throws {Refusal} 403 for a page of an origin that is not listed, 500 for a mistake in `ALLOWED_ORIGINS`.
 */
export function cors(request, env, url) {
  const allowed = origins(text(env, "ALLOWED_ORIGINS"));
  const origin = request.headers.get("origin");
  if (origin === null || origin === url.origin) return { vary: "Origin" };
  if (!allowed.includes(origin)) {
    const message = "pages of this origin may not call the worker: add the origin to the variable ALLOWED_ORIGINS";
    throw new Refusal(403, "auth_required", message, { headers: { vary: "Origin" } });
  }
  return {
    vary: "Origin",
    "access-control-allow-origin": origin,
    "access-control-expose-headers": "retry-after, www-authenticate",
  };
}

/** The answer to a browser that asks before it sends the request itself. */
export function preflight(headers) {
  return new Response(null, {
    status: 204,
    headers: {
      ...headers,
      "access-control-allow-methods": "GET, POST, DELETE",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "7200",
    },
  });
}

function origins(list) {
  const origins = (list ?? "").split(",").map((item) => item.trim()).filter(Boolean);
  for (const origin of origins) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      const message = "ALLOWED_ORIGINS: expected origins such as https://app.example, separated by commas; `*` is not one";
      throw new Refusal(500, "config", message, { path: "ALLOWED_ORIGINS" });
    }
  }
  return origins;
}

/**
 * Demands the bearer token `AUTH_TOKEN`, except in local development.
 *
 * Local development needs two things at once: the variable `DEV`, which nothing in `wrangler.toml` sets, and a request
 * for a loopback host name. A deployed worker is never reached under such a name, and a page that points a name of its
 * own at 127.0.0.1 does not use one either.
 *
 * @throws {Refusal} 401 without the right token, 503 while no token is set.
 */
export async function authorise(request, env, url) {
  if (String(env.DEV) === "1" && LOOPBACK.has(url.hostname)) return;
  const wanted = text(env, "AUTH_TOKEN");
  if (wanted === undefined) throw new Refusal(503, "config", NO_TOKEN, { path: "AUTH_TOKEN" });
  const given = /^Bearer +(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (given === undefined || !(await same(given, wanted))) {
    const message = given === undefined ? "a bearer token is needed: `Authorization: Bearer <AUTH_TOKEN>`" : "wrong token";
    throw new Refusal(401, "auth_required", message, { headers: { "www-authenticate": "Bearer" } });
  }
}

// Digests have one length, so that the time taken says nothing about the token, not even how long it is.
async function same(given, wanted) {
  const digest = (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return crypto.subtle.timingSafeEqual(await digest(given), await digest(wanted));
}
