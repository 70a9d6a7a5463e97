// What is kept in this browser: how much of which kind, what the cache has saved, a file to take along, and removal.

import { announce, h, icon, setText } from "./dom.js";

const KINDS = {
  conversations: "Conversations",
  journal: "Runs under way",
  cache: "Answers of servers",
  handles: "Big results",
  embeddings: "Meanings of texts",
  index: "Search index",
  servers: "What is known of servers",
};

const PLACES = { indexeddb: "in this browser (IndexedDB)", memory: "in the memory of this page", "durable-object": "in a Durable Object", app: "where the app keeps it" };

export class StoragePanel {
  #session;
  #section = document.getElementById("storage");
  #place = document.getElementById("storage-place");
  #kinds = document.getElementById("storage-kinds");
  #servers = document.getElementById("cache-servers");
  #chats = document.getElementById("storage-chats");
  #said = document.getElementById("storage-said");
  #file = document.getElementById("storage-file");
  #timer = null;

  constructor(session) {
    this.#session = session;
    for (const type of ["click", "focus"]) document.getElementById("tab-storage").addEventListener(type, () => this.show());
    session.addEventListener("change", () => this.#later());
    const on = (id, work) => document.getElementById(id).addEventListener("click", () => this.#do(work));
    on("storage-export", () => this.#export());
    on("cache-clear", async () => {
      await session.cache.clear();
      return "The cache is empty.";
    });
    on("approvals-forget", async () => {
      await session.forgetApprovals();
      return "What was always allowed is asked for again.";
    });
    document.getElementById("storage-import").addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => this.#do(() => this.#import()));
    this.#confirmed(document.getElementById("storage-remove"), "Really remove everything", async () => {
      await session.storage.remove();
      session.dispatchEvent(new Event("kept"));
      return "Everything was removed.";
    });
  }

  /** Reads what is kept; never rejects. */
  async show() {
    try {
      const [sizes, stats] = await Promise.all([this.#session.storage.sizes(), this.#session.cache.stats()]);
      this.#draw(sizes, stats);
    } catch (error) {
      setText(this.#place, `What is kept cannot be read: ${error.message}`);
    }
  }

  /** Soon, if anybody sees it. */
  #later() {
    if (this.#section.hidden) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.show(), 300);
  }

  #draw(sizes, stats) {
    const why = sizes.fallback ? ` (${sizes.fallback})` : "";
    setText(this.#place, `${size(sizes.bytes)} are kept ${PLACES[sizes.store] ?? "somewhere"}${why}. Keys and tokens are never among it.`);
    const rows = Object.entries(KINDS).filter(([kind]) => sizes.spaces[kind]?.entries);
    this.#kinds.replaceChildren(
      ...rows.map(([kind, words]) => {
        const { entries, bytes } = sizes.spaces[kind];
        return h("tr", null, h("th", { scope: "row" }, words), h("td", null, String(entries)), h("td", null, size(bytes)));
      }),
    );
    setText(document.getElementById("cache-told"), told(stats));
    this.#servers.replaceChildren(
      ...stats.servers.filter(({ entries, hits, misses, stale }) => entries + hits + misses + stale > 0).map((server) => {
        const clear = () => this.#do(async () => {
          await this.#session.cache.clear(server.server);
          return `What ${server.server} answered is forgotten.`;
        });
        return h("li", null, h("span", null, h("strong", null, server.server), ` ${told(server)}`), bin(`Forget what ${server.server} answered`, clear));
      }),
    );
    this.#chats.replaceChildren(
      ...sizes.conversations.map(({ id, entries, bytes }) => {
        const remove = () => this.#do(async () => {
          await this.#session.storage.remove({ conversation: id });
          this.#session.dispatchEvent(new Event("kept"));
          return `The conversation ${id} was removed.`;
        });
        return h("li", null, h("span", null, h("strong", null, id), ` ${entries} records, ${size(bytes)}`), bin(`Remove the conversation ${id}`, remove));
      }),
    );
    document.getElementById("storage-chats-title").hidden = sizes.conversations.length === 0;
  }

  async #export() {
    const file = await this.#session.storage.export();
    const url = URL.createObjectURL(file);
    h("a", { href: url, download: "edgewise.ndjson" }).click();
    // The browser has it by then.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return `${size(file.size)} saved as edgewise.ndjson.`;
  }

  async #import() {
    const [file] = this.#file.files;
    this.#file.value = "";
    if (!file) return "";
    const { records } = await this.#session.storage.import(file);
    this.#session.dispatchEvent(new Event("kept"));
    return `${records} records were brought back.`;
  }

  async #do(work) {
    let words;
    try {
      words = await work();
    } catch (error) {
      words = error.message;
    }
    setText(this.#said, words);
    if (words) announce(words);
    await this.show();
  }

  /** A second click within some seconds is needed. */
  #confirmed(button, words, work) {
    const before = button.textContent;
    let sure = null;
    const back = () => {
      clearTimeout(sure);
      sure = null;
      setText(button, before);
    };
    button.addEventListener("click", () => {
      if (sure) {
        back();
        this.#do(work);
        return;
      }
      setText(button, words);
      sure = setTimeout(back, 5000);
    });
  }
}

const bin = (label, onclick) => h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick }, icon("trash"));

const told = ({ hits, misses, stale, entries, bytes, evictions }) => {
  const parts = [`${hits} of ${hits + misses + stale} answered from ${entries} kept (${size(bytes)})`];
  if (stale) parts.push(`${stale} though over`);
  if (evictions) parts.push(`${evictions} gone for lack of room`);
  return `${parts.join(", ")}.`;
};

const size = (bytes) => (bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
