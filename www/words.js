// Error codes in words: what happened, and what the person can do.

// Request headers that a peer has to allow, by what it speaks.
const MODEL_HEADERS = {
  anthropic: "content-type, x-api-key, anthropic-version, anthropic-dangerous-direct-browser-access",
  gemini: "content-type, x-goog-api-key",
};
const OPENAI_HEADERS = "authorization, content-type";

/**
 * Puts an error into words.
 *
 * `peer` says whom the request went to: `{ kind: "model" | "server", name, url, provider? }`. Gives `{ title, advice, fix?,
 * action? }`: `fix` is text to paste, `action` one of `model`, `servers`, `retry`, `reload`.
 */
export function explain(error, peer) {
  const model = peer.kind === "model";
  const who = model ? `The model (${peer.name})` : `The server ${peer.name}`;
  const settings = model ? "model" : "servers";
  switch (error?.code) {
    case "config":
      return {
        title: "A setting is not right",
        advice: error.path ? `Look at “${error.path}” and correct it.` : "Correct the setting named below.",
        action: settings,
      };
    case "auth_required":
      return model
        ? { title: "The model wants a valid key", advice: "Check the API key in the model settings: it is missing, mistyped, expired, or not allowed to use this model.", action: "model" }
        : { title: `${peer.name} wants a valid token`, advice: "Remove the server and add it again with a token: the one it got is missing, mistyped or expired.", action: "servers" };
    case "network":
      return network(error, peer, who, settings);
    case "timeout":
      return { title: `${who} did not answer in time`, advice: "It may be busy or stuck. Try again; if it happens often, check that it is running.", action: "retry" };
    case "rate_limited":
      return { title: `${who} asks to slow down`, advice: `${wait(error)} If it happens often, your plan's limit is too low for this.`, action: "retry" };
    case "overloaded":
      return { title: `${who} is overloaded`, advice: `Nothing is wrong on your side. ${wait(error)}`, action: "retry" };
    case "http":
      return {
        title: `${who} answered with an error${error.status ? ` (HTTP ${error.status})` : ""}`,
        advice: error.status === 404
          ? "Nothing is found at this address. Check the URL, and for a model its id."
          : "Check the address; the details below say what it answered.",
        action: error.status >= 500 ? "retry" : settings,
      };
    case "provider":
      return { title: "The model provider refused the request", advice: "Often the model id is unknown to it, the conversation is too long, or tools are not supported by this model. The details say which.", action: "model" };
    case "protocol":
      return {
        title: `${who} answered something else than expected`,
        advice: model
          ? "Check that the base URL belongs to the chosen provider; many need “/v1” at the end."
          : "Check that the URL is an MCP endpoint (Streamable HTTP); it often ends in “/mcp”.",
        action: settings,
      };
    case "truncated":
      return { title: "The answer was cut off", advice: "The connection ended before the answer did. What arrived is kept; try again.", action: "retry" };
    case "limit":
      return { title: "A limit was reached", advice: "Allow more turns in the model settings, or ask to go on: the conversation is kept.", action: "model" };
    case "cancelled":
      return { title: "Stopped", advice: "What was said so far is kept. You can go on from here." };
    case "crashed":
      return { title: "The core crashed", advice: "This is a bug in Edgewise. Reload the page to go on; please report what led to it.", action: "reload" };
    case "misuse":
      return { title: "The page asked for something that makes no sense right now", advice: "This is a bug in this page. Reload it to go on.", action: "reload" };
    default:
      return { title: "Something went wrong", advice: "The details say what. Trying again may help.", action: "retry" };
  }
}

function network(error, peer, who, settings) {
  const model = peer.kind === "model";
  const title = `${who} cannot be reached`;
  const url = parse(peer.url);
  if (url && location.protocol === "https:" && url.protocol === "http:" && !isLocal(url.hostname)) {
    return { title, advice: "This page came over https, so the browser refuses plain http addresses other than localhost. Use the https address.", action: settings };
  }
  if (navigator.onLine === false) {
    return { title, advice: "This device seems to be offline. Connect it and try again.", action: "retry" };
  }
  const running = url && isLocal(url.hostname) ? `Is it running at ${url.host}?` : "Is the address right?";
  if (!error.maybeCors) return { title, advice: `${running} Nothing answered there.`, action: "retry" };
  const advice = `${running} If it is, it may not allow this page to read its answers (CORS): browsers do not say which of the two it was.`;
  // What a server of tools has to send is found out, see diagnosis.js.
  if (!model) return { title, advice };
  const allow = allowing(peer);
  return { title, advice: `${advice} ${allow.advice}`, fix: allow.fix, action: "retry" };
}

/** What to do so that a model server lets this page read its answers: `{ advice, fix? }`. */
export function allowing({ provider, url }) {
  const port = parse(url)?.port;
  if (port === "11434") return { advice: "Ollama allows this page when started like this:", fix: `OLLAMA_ORIGINS=${location.origin} ollama serve` };
  if (port === "1234") return { advice: "In LM Studio, switch on “Enable CORS” in the server settings." };
  const headers = MODEL_HEADERS[provider] ?? OPENAI_HEADERS;
  const fix = [`Access-Control-Allow-Origin: ${location.origin}`, `Access-Control-Allow-Headers: ${headers}`];
  return { advice: "It has to send these headers, also to OPTIONS requests:", fix: fix.join("\n") };
}

function wait(error) {
  const milliseconds = retryAfter(error);
  return milliseconds ? `Try again in ${Math.ceil(milliseconds / 1000)} seconds.` : "Wait a moment and try again.";
}

/** Milliseconds the peer asked for, from an EdgewiseError or from the `error` event's plain object. */
function retryAfter(error) {
  return error.retryAfterMs ?? error.retry?.after;
}

function parse(url) {
  try {
    return new URL(url, location.href);
  } catch {
    return null;
  }
}

function isLocal(host) {
  return host === "localhost" || host.endsWith(".localhost") || /^127\./.test(host) || host === "[::1]";
}

/** The technical line for the disclosure: code, status and the core's own message, with what led to it. */
export function technical(error) {
  const lines = [];
  for (let at = error; at; at = at.cause) {
    lines.push([at.code ?? at.name, at.rpcCode === undefined ? null : `JSON-RPC ${at.rpcCode}`, at.message].filter(Boolean).join(": "));
  }
  return lines.join("\ncaused by ");
}

/** States of a tool call, for people. */
export const CALL_STATES = {
  running: "Running",
  waiting: "Waiting for you",
  ok: "Done",
  failed: "Failed",
  unknown: "Outcome unknown",
  denied: "Denied",
  cancelled: "Stopped",
};

/** States of a server, for people. */
export const SERVER_STATES = {
  idle: "Not connected yet",
  connecting: "Connecting",
  ready: "Ready",
  failed: "Failed",
  unknown: "Outcome unknown",
  auth_required: "Sign-in needed",
  closed: "Closed",
};
