// The demo page: loads the package as any page would, and puts the parts together.

import { errorBox } from "./answer.js";
import { Chat, dressComposer } from "./chat.js";
import { icon, isDark, setText } from "./dom.js";
import { Panel } from "./panel.js";
import { PlansPanel } from "./plans.js";
import { ServersPanel } from "./servers.js";
import { Session } from "./session.js";
import { SettingsPanel } from "./settings.js";
import { StoragePanel } from "./storage.js";
import { DEFAULTS, loadServers, loadSettings, saveTheme } from "./store.js";

const panel = new Panel();
let chat = null;
dressComposer();
dressBar();
await start();

async function start() {
  const place = document.getElementById("load-fault");
  place.replaceChildren();
  let library;
  let servers;
  let page;
  try {
    [library, servers, page] = await Promise.all([load(), demoServers(), pageModule()]);
  } catch (error) {
    showLoadFault(place, error);
    return;
  }
  const remembered = loadServers();
  const all = [...servers.filter((server) => !remembered.some((other) => other.name === server.name)), ...remembered];
  const session = makeSession(library, all, page);
  setText(document.getElementById("version"), session.version);
  new ServersPanel(session);
  new SettingsPanel(session);
  new StoragePanel(session);
  chat = new Chat(session, (tab) => panel.open(tab));
  new PlansPanel(session, (plan) => {
    const runs = chat.runPlan(plan);
    if (runs) panel.close();
    return runs;
  });
  chat.resume().catch((error) => console.warn("edgewise: resume", error));
  for (const part of document.querySelectorAll('[role="tabpanel"]')) part.inert = false;
  document.documentElement.dataset.ready = "";
  if (!panel.covering) chat.home();
  await session.connect();
}

/** The package, ready to be used. */
async function load() {
  const library = await import("edgewise");
  await library.init();
  return library;
}

/** What lets the page's own tools join (WebMCP), where the browser has any. */
async function pageModule() {
  return typeof document.modelContext?.getTools === "function" ? import("edgewise/page") : null;
}

/** What was stored, or is offered, may not do; then the page starts without it instead of not at all. */
function makeSession(library, servers, page) {
  for (const [settings, list] of [[loadSettings(), servers], [DEFAULTS, servers]]) {
    try {
      return new Session(library, settings, list, setTheme, page);
    } catch (error) {
      console.warn("edgewise:", error.message);
    }
  }
  return new Session(library, DEFAULTS, [], setTheme, page);
}

/** Servers that whoever serves this page offers with it, from `demo.json`; none is fine. */
async function demoServers() {
  try {
    const response = await fetch(new URL("demo.json", document.baseURI));
    if (!response.ok) return [];
    const { servers } = await response.json();
    return Array.isArray(servers) ? servers.map(({ name, url }) => ({ name, url })) : [];
  } catch {
    return [];
  }
}

function showLoadFault(place, error) {
  const words = {
    title: "Edgewise could not be loaded",
    advice: "The page is here, but its core (a WebAssembly file) did not arrive or was refused. Check the connection and try again. Browsers from 2024 on can run it.",
    action: "retry",
  };
  const again = () => {
    // A module that failed to load stays failed in some browsers until the page is loaded anew; the wasm does not.
    if (error instanceof TypeError || error instanceof SyntaxError) location.reload();
    else start();
  };
  place.append(errorBox(error, words, again));
}

function dressBar() {
  document.getElementById("panel-close").append(icon("close"));
  document.getElementById("new-chat").prepend(icon("add"));
  document.getElementById("new-chat").addEventListener("click", () => chat?.clear());
  document.getElementById("connect-model").addEventListener("click", () => panel.open("model"));
  document.getElementById("model-chip").addEventListener("click", () => panel.open("model"));
  document.getElementById("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameThemeButton);
  nameThemeButton();
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    if (panel.covering) panel.close();
    else if (chat?.running) chat.stop();
  });
}

function setTheme(theme) {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  // The system's own theme is no choice to keep: the page then goes on following the system.
  if (theme === system) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  saveTheme(theme === system ? null : theme);
  nameThemeButton();
}

function nameThemeButton() {
  const label = isDark() ? "Switch to the light theme" : "Switch to the dark theme";
  const button = document.getElementById("theme");
  button.setAttribute("aria-label", label);
  button.title = label;
}
