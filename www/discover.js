// Models that are at hand without a key: servers on this computer at their usual ports, and the browser's own model.

const PATIENCE_MS = 1500;

const PLACES = [
  { preset: "ollama", label: "Ollama", baseUrl: "http://localhost:11434/v1" },
  { preset: "llamacpp", label: "llama.cpp", baseUrl: "http://127.0.0.1:8080/v1" },
  { preset: "lmstudio", label: "LM Studio", baseUrl: "http://localhost:1234/v1" },
];

/**
 * Whether looking disturbs nobody: browsers ask the person before a page from elsewhere may speak to this computer, and that
 * question is not to come out of nothing.
 */
export async function mayLook() {
  if (/^(localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)) return true;
  for (const name of ["loopback-network", "local-network-access"]) {
    try {
      if ((await navigator.permissions.query({ name })).state === "granted") return true;
    } catch {
      // A browser that does not know the name.
    }
  }
  return false;
}

/**
 * What answers: `{ preset, label, provider, baseUrl, models }`, or with `refused` in place of models when somebody is there
 * who does not let this page read.
 */
export async function localModels() {
  const found = await Promise.all(PLACES.map(look));
  return found.filter((place) => place !== null);
}

async function look(place) {
  const { preset, label, baseUrl } = place;
  const request = { signal: AbortSignal.timeout(PATIENCE_MS), credentials: "omit", redirect: "error" };
  const known = { preset, label, provider: "openai", baseUrl };
  try {
    const response = await fetch(`${baseUrl}/models`, request);
    const { data } = await response.json();
    const models = data.map(({ id }) => id).filter((id) => typeof id === "string" && !/embed/i.test(id));
    return models.length ? { ...known, models } : null;
  } catch (error) {
    if (!(error instanceof TypeError)) return null;
  }
  try {
    // An answer that cannot be read is one all the same.
    await fetch(`${baseUrl}/models`, { ...request, mode: "no-cors", redirect: "follow", signal: AbortSignal.timeout(PATIENCE_MS) });
    return { ...known, refused: true };
  } catch {
    return null;
  }
}

/** The browser's own model, as above; null where there is none or this device cannot run it. */
export async function browserModel() {
  try {
    const availability = await globalThis.LanguageModel?.availability();
    if (!availability || availability === "unavailable") return null;
    return { preset: "browser", label: "This browser", provider: "browser", baseUrl: "", models: [""], loads: availability !== "available" };
  } catch {
    return null;
  }
}
