// The model settings: which model answers, how it is reached, and where its key is kept.

import { announce, h, setText } from "./dom.js";
import { clearFieldErrors, showFieldError } from "./servers.js";
import { DEFAULTS, saveSettings } from "./store.js";

const PRESETS = {
  offline: { label: "Offline", provider: "offline", baseUrl: "", hint: "" },
  anthropic: { label: "Anthropic", provider: "anthropic", baseUrl: "", hint: "An id from Anthropic's list of models" },
  openai: { label: "OpenAI", provider: "openai", baseUrl: "", hint: "An id from OpenAI's list of models" },
  "openai-responses": { label: "OpenAI Responses", provider: "openai-responses", baseUrl: "", hint: "An id from OpenAI's list of models" },
  gemini: { label: "Gemini", provider: "gemini", baseUrl: "", hint: "An id from Google's list of models" },
  ollama: { label: "Ollama", provider: "openai", baseUrl: "http://localhost:11434/v1", hint: "A name that “ollama list” shows" },
  llamacpp: { label: "llama.cpp", provider: "openai", baseUrl: "http://127.0.0.1:8080/v1", hint: "Any; the server has one model" },
  lmstudio: { label: "LM Studio", provider: "openai", baseUrl: "http://localhost:1234/v1", hint: "The id that LM Studio shows" },
};

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
  }

  #fill(settings) {
    const { provider, id, baseUrl, apiKey, rememberKey, maxTurns } = this.#form.elements;
    this.#preset = PRESETS[settings.preset]?.provider === settings.provider ? settings.preset : settings.provider;
    provider.value = settings.provider;
    id.value = settings.id;
    baseUrl.value = settings.baseUrl;
    apiKey.value = settings.apiKey;
    rememberKey.checked = settings.rememberKey;
    maxTurns.value = settings.maxTurns;
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
      // A key of one provider must not be sent to another.
      apiKey.value = "";
      id.value = "";
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
    document.getElementById("remote-model").hidden = offline;
    document.getElementById("offline-model").hidden = !offline;
    id.placeholder = PRESETS[this.#preset].hint;
    baseUrl.placeholder = ADDRESSES[provider.value] ?? "";
    for (const button of document.querySelectorAll("#presets button")) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === this.#preset));
    }
    const { settings } = this.#session;
    setText(this.#chip.querySelector("span"), settings.provider === "offline" ? "Offline model" : settings.id);
  }

  #save() {
    const { provider, id, baseUrl, apiKey, rememberKey, maxTurns } = this.#form.elements;
    const offline = provider.value === "offline";
    const settings = {
      ...DEFAULTS,
      preset: this.#preset,
      provider: provider.value,
      id: offline ? "" : id.value.trim(),
      baseUrl: offline ? "" : baseUrl.value.trim(),
      apiKey: offline ? "" : apiKey.value.trim(),
      rememberKey: !offline && rememberKey.checked,
      maxTurns: maxTurns.value === "" ? DEFAULTS.maxTurns : Number(maxTurns.value),
      approval: this.#session.settings.approval,
    };
    clearFieldErrors(this.#form);
    try {
      this.#take(settings);
    } catch (error) {
      showFieldError(this.#form, error, "id");
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
