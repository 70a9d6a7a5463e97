// Ways for a page to send a user to an authorization server and to hear where the user came back to. No wasm is needed, so
// that a callback page stays small.

import { config, EdgewiseError, misuse } from "./error.js";

const CHANNEL = "edgewise-sign-in";
const RETURN = "edgewise-sign-in-return ";
const CALLBACK = "edgewise-sign-in-callback";
/** What an authorization server adds to the redirect URL. */
const ANSWER = ["code", "state", "iss", "error", "error_description", "error_uri", "session_state"];
/** How long a callback page waits for the page that opened it to say that it has understood. */
const HEARD_MS = 3000;
/** How often a popup is looked at. */
const LOOK_MS = 300;
/** From the moment the user is back from a popup that is gone: its last message may still be on its way. */
const GRACE_MS = 1000;
/** The same for a popup that looked gone while the user was still elsewhere, most likely in it. */
const CUT_GRACE_MS = 10_000;

const failed = (message) => new EdgewiseError({ code: "auth_required", message: `sign-in: ${message}` });
const cancelled = () => new EdgewiseError({ code: "cancelled", message: "sign-in: cancelled" });

/** See index.d.ts. */
export function authorizeInPopup({ width = 500, height = 700, onBlocked = "redirect" } = {}) {
  if (onBlocked !== "redirect" && onBlocked !== "fail") throw config("onBlocked", 'expected "redirect" or "fail"');
  return (url, { signal } = {}) => {
    // Nothing may come before this: a blocker lets a window open only while the user's click is fresh.
    let popup;
    try {
      popup = openPopup(address(url), width, height);
    } catch (error) {
      return Promise.reject(error);
    }
    if (popup) return awaitPopup(popup, new URL(url).searchParams.get("state"), signal);
    if (onBlocked === "fail") return Promise.reject(failed("the browser has blocked the window"));
    return redirect(url, signal);
  };
}

/** See index.d.ts. */
export function authorizeByRedirect() {
  return async (url, { signal } = {}) => redirect(address(url), signal);
}

/** See index.d.ts. */
export async function completeAuthorization() {
  const page = pageOf();
  const here = new URL(page.location.href);
  const state = here.searchParams.get("state");
  if (state === null || !(here.searchParams.has("code") || here.searchParams.has("error"))) return handedOver(page);
  const callback = here.href;
  ANSWER.forEach((name) => here.searchParams.delete(name));
  // Out of the history, and of what the page sends as its address.
  page.history.replaceState(page.history.state, "", here.href);

  const back = take(page, RETURN + state);
  if (back === null) {
    if (!(await tell(page, state, callback))) return callback;
    page.close();
    return undefined;
  }
  const [from, to] = [new URL(here.href), new URL(back, here.href)];
  [from.hash, to.hash] = ["", ""];
  if (to.origin !== from.origin || to.href === from.href) return callback;
  page.sessionStorage.setItem(CALLBACK, callback);
  page.location.replace(back);
  return new Promise(() => {});
}

function pageOf() {
  if (typeof document === "object" && typeof window === "object") return window;
  throw misuse("there is no page here that could show a sign-in: use `authorizationUrl` and `finishAuthorization`");
}

/** The URL as text, if a user may be sent there. */
function address(url) {
  pageOf();
  let protocol;
  try {
    ({ protocol } = new URL(url));
  } catch {
    // Falls through: it is none.
  }
  // A server's word must not become a script of this page.
  if (protocol !== "https:" && protocol !== "http:") throw config("url", "expected an https URL");
  return String(url);
}

function openPopup(url, width, height) {
  const left = Math.max(0, Math.round(window.screenX + (window.outerWidth - width) / 2));
  const top = Math.max(0, Math.round(window.screenY + (window.outerHeight - height) / 2));
  return window.open(url, "_blank", `popup,width=${width},height=${height},left=${left},top=${top}`);
}

/** Where the user of that window came back to. */
function awaitPopup(popup, state, signal) {
  return new Promise((resolve, reject) => {
    const channel = typeof BroadcastChannel === "function" ? new BroadcastChannel(CHANNEL) : undefined;
    let backAt;
    let cut = false;
    const end = (settle, value) => {
      clearInterval(timer);
      channel?.close();
      window.removeEventListener("message", onMessage);
      signal?.removeEventListener("abort", onAbort);
      settle(value);
    };
    const onAbort = () => {
      popup.close();
      end(reject, cancelled());
    };
    const hear = (data, answer) => {
      if (data?.edgewise !== "callback" || data.state !== state || typeof data.url !== "string") return;
      answer({ edgewise: "heard", state });
      end(resolve, data.url);
    };
    const onMessage = (event) => {
      if (event.origin === location.origin) hear(event.data, (heard) => event.source?.postMessage(heard, event.origin));
    };
    // A server's page may cut the tie between the windows (COOP): then the window looks closed to us while the user is
    // still in it, and only a channel of this origin is left. A user who closes it comes back to this page.
    const look = () => {
      if (!popup.closed || !document.hasFocus()) {
        cut ||= popup.closed;
        backAt = undefined;
        return;
      }
      backAt ??= Date.now();
      if (Date.now() - backAt >= (cut ? CUT_GRACE_MS : GRACE_MS)) end(reject, failed("the window was closed"));
    };
    const timer = setInterval(look, LOOK_MS);
    channel?.addEventListener("message", (event) => hear(event.data, (heard) => channel.postMessage(heard)));
    window.addEventListener("message", onMessage);
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
  });
}

/** Leaves the page; settles only if that is called off. */
function redirect(url, signal) {
  if (signal?.aborted) return Promise.reject(cancelled());
  const state = new URL(url).searchParams.get("state");
  try {
    if (state !== null) sessionStorage.setItem(RETURN + state, location.href);
  } catch {
    // Then the callback page is where the user stays.
  }
  location.assign(url);
  return new Promise((_resolve, reject) => {
    signal?.addEventListener("abort", () => reject(cancelled()));
    // Taken out of the browser's cache as it was: the user went back.
    window.addEventListener("pageshow", ({ persisted }) => persisted && reject(failed("the user came back without an answer")));
  });
}

/** Tells whoever opened this window; whether anybody has understood. */
function tell(page, state, url) {
  return new Promise((resolve) => {
    const message = { edgewise: "callback", state, url };
    const channel = typeof BroadcastChannel === "function" ? new BroadcastChannel(CHANNEL) : undefined;
    const end = (heard) => {
      clearTimeout(timer);
      page.removeEventListener("message", onMessage);
      channel?.close();
      resolve(heard);
    };
    const hear = (data) => {
      if (data?.edgewise === "heard" && data.state === state) end(true);
    };
    const onMessage = (event) => {
      if (event.origin === page.location.origin) hear(event.data);
    };
    const timer = setTimeout(end, HEARD_MS, false);
    channel?.addEventListener("message", (event) => hear(event.data));
    page.addEventListener("message", onMessage);
    channel?.postMessage(message);
    // To this origin only: whoever else has opened the window learns nothing.
    if (page.opener) page.opener.postMessage(message, page.location.origin);
  });
}

/** A callback that another page of this tab has left for this one. */
function handedOver(page) {
  return take(page, CALLBACK) ?? undefined;
}

function take(page, name) {
  try {
    const text = page.sessionStorage.getItem(name);
    page.sessionStorage.removeItem(name);
    return text;
  } catch {
    return null;
  }
}
