// Pictures and recordings that go with a prompt: chosen, pasted or dropped, shown above the field until it is sent.

import { announce, h, icon } from "./dom.js";

/** Most of them at once, and most bytes of them all: providers take no more. */
const MOST = 8;
const MOST_BYTES = 8 * 1024 * 1024;

export class Attachments {
  #list = document.getElementById("attached");
  #fault = document.getElementById("attach-fault");
  #items = [];

  /** `form` takes what is dropped on it, `field` what is pasted into it. */
  constructor(form, field) {
    const input = document.getElementById("attach-file");
    document.getElementById("attach").addEventListener("click", () => input.click());
    input.addEventListener("change", async () => {
      await this.#add(input.files);
      input.value = "";
      field.focus();
    });
    field.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length === 0) return;
      event.preventDefault();
      void this.#add(event.clipboardData.files);
    });
    form.addEventListener("dragover", (event) => event.preventDefault());
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      void this.#add(event.dataTransfer.files);
    });
  }

  /** Gives what is there, as the package takes it, and forgets it. */
  take() {
    const taken = this.#items.map(({ block }) => block);
    this.#items = [];
    this.#show("");
    return taken;
  }

  async #add(files) {
    let fault = "";
    for (const file of files) {
      const type = /^(image|audio)\//.exec(file.type)?.[1];
      const bytes = this.#items.reduce((sum, { size }) => sum + size, file.size);
      if (!type) fault = `${file.name} is neither a picture nor a recording.`;
      else if (this.#items.length === MOST) fault = `No more than ${MOST} at once.`;
      else if (bytes > MOST_BYTES) fault = `${file.name} is too large: all together may have 8 MB.`;
      else this.#items.push({ name: file.name, size: file.size, block: { type, data: await base64(file), mimeType: file.type } });
    }
    this.#show(fault);
  }

  #show(fault) {
    this.#fault.textContent = fault;
    this.#list.replaceChildren(...this.#items.map((item) => h("li", null, shown(item.block, item.name), this.#remover(item))));
    this.#list.hidden = this.#items.length === 0;
    if (fault) announce(fault);
  }

  #remover(item) {
    const remove = () => {
      this.#items = this.#items.filter((other) => other !== item);
      this.#show("");
    };
    return h("button", { type: "button", class: "icon-button", "aria-label": `Remove ${item.name}`, title: "Remove", onclick: remove }, icon("close"));
  }
}

/** A picture, or a word for a recording. */
export function shown({ type, data, mimeType }, name = type === "image" ? "Picture" : "Recording") {
  if (type === "image") return h("img", { class: "attachment", src: `data:${mimeType};base64,${data}`, alt: name });
  return h("span", { class: "attachment" }, name);
}

/** What a person gave with words, as the history has it. */
export const given = (content) => content.filter(({ type }) => type === "image" || type === "audio");

async function base64(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}
