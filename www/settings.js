// The model settings: which model answers, how it is reached, and where its key is kept.

import { browserModel, localModels, mayLook } from "./discover.js";
import { announce, h, icon, setText } from "./dom.js";
import { clearFieldErrors, showFieldError } from "./servers.js";
import { DEFAULTS, saveSettings } from "./store.js";
import { allowing } from "./words.js";

const PRESETS = {
  offline: { label: "Offline", provider: "offline", baseUrl: "", hint: "" },
  anthropic: { label: "Anthropic", provider: "anthropic", baseUrl: "", hint: "An id from Anthropic's list of models" },
  openai: { label: "OpenAI", provider: "openai", baseUrl: "", hint: "An id from OpenAI's list of models" },
  "openai-responses": { label: "OpenAI Responses", provider: "openai-responses", baseUrl: "", hint: "An id from OpenAI's list of models" },
  gemini: { label: "Gemini", provider: "gemini", baseUrl: "", hint: "An id from Google's list of models" },
  ollama: { label: "Ollama", provider: "openai", baseUrl: "http://localhost:11434/v1", hint: "A name that “ollama list” shows" },
  llamacpp: { label: "llama.cpp", provider: "openai", baseUrl: "http://127.0.0.1:8080/v1", hint: "Any; the server has one model" },
  browser: { label: "This browser", provider: "browser", baseUrl: "", hint: "" },
  lmstudio: { label: "LM Studio", provider: "openai", baseUrl: "http://localhost:1234/v1", hint: "The id that LM Studio shows" },
};

/** Models of one place that are offered at once. */
const MOST_OFFERED = 8;

/** Where each wire goes when no base URL is given; the core's own defaults, shown as placeholders and in advice. */
export const ADDRESSES = {
  anthropic: "https://api.anthropic.com",
  openai: "https://api.openai.com/v1",
  "openai-responses": "https://api.openai.com/v1",
  gemini: "https://generativelanguage.googleapis.com",
};

export class SettingsPanel {
  #session;
  #form = document.getElementById("model-form");
  #chip = document.getElementById("model-chip");
  #approval = document.getElementById("approval");
  #saved = document.getElementById("model-saved");
  #preset = "offline";

  constructor(session) {
    this.#session = session;
    const presets = document.getElementById("presets");
    for (const [name, { label }] of Object.entries(PRESETS)) {
      // Offered when it is found.
      if (name === "browser") continue;
      presets.append(h("button", { type: "button", class: "chip small", dataset: { preset: name }, "aria-pressed": "false", onclick: () => this.#choose(name) }, label));
    }
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#form.addEventListener("input", () => setText(this.#saved, ""));
    this.#form.elements.provider.addEventListener("change", () => this.#choose(this.#form.elements.provider.value));
    this.#approval.addEventListener("change", () => this.#take({ ...session.settings, approval: this.#approval.value }));
    this.#fill(session.settings);
    document.getElementById("look").addEventListener("click", () => this.#look());
    mayLook().then((may) => may && this.#look());
  }

  /** Looks for models on this computer and offers what is found before anything else. */
  async #look() {
    const button = document.getElementById("look");
    const group = document.getElementById("found");
    const hint = document.getElementById("hint-found");
    button.disabled = true;
    setText(button, "Looking …");
    const [local, browser] = await Promise.all([localModels(), browserModel()]);
    const found = [...local, browser].filter(Boolean);
    const usable = [...local.filter(({ refused }) => !refused).slice(0, 2), browser].filter(Boolean);
    group.replaceChildren(...found.map((place) => this.#place(place)));
    group.hidden = found.length === 0;
    hint.replaceChildren(...usable.map((place) => this.#offer(place, place.models[0], `${place.models[0] || "the model"} · ${place.label}`)));
    hint.parentElement.hidden = usable.length === 0;
    button.disabled = false;
    setText(button, found.length ? "Look again" : "None found. Look again");
  }

  #place(place) {
    const title = h("h3", null, place.label);
    if (place.refused) {
      const { advice, fix } = allowing({ provider: place.provider, url: place.baseUrl });
      const words = `It is running, but does not allow this page to read its answers (CORS). ${advice}`;
      return h("div", { class: "found-place" }, title, h("p", { class: "note" }, words), fix ? h("pre", { tabindex: "0" }, h("code", null, fix)) : null);
    }
    const offers = place.models.slice(0, MOST_OFFERED).map((model) => h("li", null, this.#offer(place, model, model || "Use it")));
    return h("div", { class: "found-place" }, title, place.loads ? h("p", { class: "note" }, "The browser loads it once when it is first used; that can take minutes.") : null, h("ul", null, ...offers));
  }

  #offer(place, model, label) {
    return h("button", { type: "button", class: "chip small", onclick: () => this.#use(place, model) }, icon("check"), label);
  }

  /** Takes a model that was found; it needs no key. */
  #use({ preset, provider, baseUrl }, model) {
    this.#take({ ...this.#session.settings, preset, provider, id: model, baseUrl, apiKey: "", rememberKey: false, contextWindow: 0, more: "" });
    this.#fill(this.#session.settings);
  }

  #fill(settings) {
    const { provider, id, baseUrl, apiKey, rememberKey, contextWindow, maxTurns, context, plans, more, output } = this.#form.elements;
    this.#preset = PRESETS[settings.preset]?.provider === settings.provider ? settings.preset : settings.provider;
    provider.value = settings.provider;
    id.value = settings.id;
    baseUrl.value = settings.baseUrl;
    apiKey.value = settings.apiKey;
    rememberKey.checked = settings.rememberKey;
    contextWindow.value = settings.contextWindow || "";
    maxTurns.value = settings.maxTurns;
    context.checked = settings.context;
    plans.checked = settings.plans;
    more.value = settings.more;
    output.value = settings.output;
    this.#approval.value = settings.approval;
    this.#dress();
  }

  /** Fills the form from a preset; nothing holds before it is saved. */
  #choose(name) {
    const preset = PRESETS[name];
    const { provider, id, baseUrl, apiKey } = this.#form.elements;
    const before = this.#preset;
    this.#preset = name;
    provider.value = preset.provider;
    baseUrl.value = preset.baseUrl;
    if (before !== name) {
      // A key of one provider must not be sent to another, and its window is that of one model.
      apiKey.value = "";
      id.value = "";
      this.#form.elements.contextWindow.value = "";
      this.#form.elements.more.value = "";
    }
    clearFieldErrors(this.#form);
    setText(this.#saved, "");
    this.#dress();
    if (preset.provider === "offline") this.#save();
    else id.focus();
  }

  #dress() {
    const { provider, id, baseUrl } = this.#form.elements;
    const offline = provider.value === "offline";
    document.getElementById("remote-model").hidden = offline || provider.value === "browser";
    document.getElementById("offline-model").hidden = !offline;
    id.placeholder = PRESETS[this.#preset].hint;
    baseUrl.placeholder = ADDRESSES[provider.value] ?? "";
    for (const button of document.querySelectorAll("#presets button")) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === this.#preset));
    }
    const { settings } = this.#session;
    setText(this.#chip.querySelector("span"), settings.provider === "offline" ? "Offline model" : settings.id || PRESETS[this.#preset].label);
  }

  #save() {
    const { provider, id, baseUrl, apiKey, rememberKey, contextWindow, maxTurns, context, plans, more, output } = this.#form.elements;
    const offline = provider.value === "offline";
    const settings = {
      ...DEFAULTS,
      preset: this.#preset,
      provider: provider.value,
      id: offline ? "" : id.value.trim(),
      baseUrl: offline ? "" : baseUrl.value.trim(),
      apiKey: offline ? "" : apiKey.value.trim(),
      rememberKey: !offline && rememberKey.checked,
      contextWindow: offline || contextWindow.value === "" ? 0 : Number(contextWindow.value),
      maxTurns: maxTurns.value === "" ? DEFAULTS.maxTurns : Number(maxTurns.value),
      approval: this.#session.settings.approval,
      context: context.checked,
      plans: plans.checked,
      more: offline ? "" : more.value.trim(),
      output: output.value.trim(),
    };
    clearFieldErrors(this.#form);
    try {
      this.#take(settings);
    } catch (error) {
      // What is wrong within the further options has no field of its own.
      const own = /^model\.(?!(?:provider|id|baseUrl|apiKey|contextWindow)$)/.test(error.path ?? "");
      showFieldError(this.#form, own ? { path: "more", message: error.message } : error, "id");
    }
  }

  #take(settings) {
    this.#session.configure(settings);
    const kept = saveSettings(settings);
    this.#dress();
    const when = this.#session.running ? "Saved; holds from the next message." : "Saved.";
    setText(this.#saved, kept ? when : `${when} This browser keeps nothing, so it is gone with the page.`);
    announce(when);
  }
}
