// What this browser keeps between visits, in localStorage. Keys and tokens only when the person asked for it.

const SETTINGS = "edgewise.settings";
const SERVERS = "edgewise.servers";
const THEME = "edgewise.theme";
const CHAT = "edgewise.chat";
const RUN = "edgewise.run";

export const DEFAULTS = {
  preset: "offline",
  provider: "offline",
  id: "",
  baseUrl: "",
  apiKey: "",
  rememberKey: false,
  maxTurns: 10,
  contextWindow: 0,
  approval: "writes",
  context: false,
  plans: false,
  /** Further options of the model, as JSON. */
  more: "",
  /** The JSON Schema of answers, as JSON. */
  output: "",
};

// Storage may be switched off, full, or hold what an older page wrote: the page works all the same.
function read(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** The id of this tab's conversation; it outlives a reload, and not the tab. */
export function loadChatId() {
  try {
    return sessionStorage.getItem(CHAT);
  } catch {
    return null;
  }
}

/** Another one, from now on. */
export function newChatId() {
  const id = `page-${crypto.randomUUID()}`;
  try {
    sessionStorage.setItem(CHAT, id);
  } catch {
    // Then a reload begins another.
  }
  return id;
}

/** The run of this tab that has not ended: `{ runId, prompt, servers }`; it outlives a reload, and not the tab. */
export function loadOpenRun() {
  try {
    const run = JSON.parse(sessionStorage.getItem(RUN));
    return typeof run?.runId === "string" && typeof run.prompt === "string" && Array.isArray(run.servers) ? run : null;
  } catch {
    return null;
  }
}

export function saveOpenRun(run) {
  try {
    if (run) sessionStorage.setItem(RUN, JSON.stringify(run));
    else sessionStorage.removeItem(RUN);
  } catch {
    // Then a reload ends it.
  }
}

/** The settings of the last visit over the defaults; fields of a wrong type are dropped. */
export function loadSettings() {
  const stored = read(SETTINGS, {});
  const settings = { ...DEFAULTS };
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (typeof stored[name] === typeof value) settings[name] = stored[name];
  }
  return settings;
}

/** Keeps the settings; keys only with `rememberKey`. False when the browser does not let us. */
export function saveSettings(settings) {
  const more = /"(apiKey|headers)"/.test(settings.more) ? "" : settings.more;
  return write(SETTINGS, settings.rememberKey ? settings : { ...settings, apiKey: "", more });
}

/** Servers that the person asked to have remembered: `{ name, url, token? }`. */
export function loadServers() {
  const stored = read(SERVERS, []);
  const whole = (server) => typeof server?.name === "string" && typeof server?.url === "string";
  return Array.isArray(stored) ? stored.filter(whole) : [];
}

/** Keeps one server, in place of an older one of that name. */
export function rememberServer({ name, url, token, labels, privateResources }) {
  return write(SERVERS, [...loadServers().filter((server) => server.name !== name), { name, url, token, labels, privateResources }]);
}

/** Forgets a server with its token. */
export function forgetServer(name) {
  const left = loadServers().filter((server) => server.name !== name);
  return write(SERVERS, left.length ? left : null);
}

/** Keeps the choice of light or dark; null follows the system. theme.js reads it before the first paint. */
export function saveTheme(theme) {
  return write(THEME, theme);
}
