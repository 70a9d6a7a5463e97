import type { Agent, Json, ToolInfo, TransportServerOptions } from "./index.js";

/** What of `document.modelContext` (WebMCP) is used here; an object of that shape may be given in its place. */
export interface ModelContextLike {
  registerTool?(tool: any, options?: { signal?: AbortSignal }): Promise<unknown>;
  getTools?(): Promise<Iterable<any>>;
  executeTool?(tool: any, input: any, options?: { signal?: AbortSignal }): Promise<unknown>;
  addEventListener?(type: "toolchange", listener: () => void): void;
  removeEventListener?(type: "toolchange", listener: () => void): void;
}

/** Options of a server made of the page's tools: those of any server, and these. */
export interface PageServerOptions extends Omit<TransportServerOptions, "name" | "transport"> {
  /** What the server is called. Default: `"page"`. */
  name?: string;
  /** Default: `document.modelContext`, else `navigator.modelContext`. Where there is none, the server has no tools. */
  modelContext?: ModelContextLike;
  /** Origins of frames whose tools join as well. Default: none but the page's own. */
  origins?: string[];
}

/**
 * A server for the option `servers` (or `addServer`) that offers the tools that the page registers with WebMCP: under the
 * same policy as any server's, so that a tool that does not say that it only reads is asked for by default, and a changed
 * description waits for an approval. Follows the page's `toolchange` events while a run goes on, and between runs where
 * `agent.toolChanges()` is read. What `lendTools` lends is left out.
 */
export function pageServer(options?: PageServerOptions): TransportServerOptions;

/** A call that the page, or the browser's agent, wants to make of a lent tool. */
export interface LentCall {
  /** `server.tool`. */
  name: string;
  server: string;
  input: { [name: string]: Json };
  /** Why a run of the agent would ask for it, where it would (`ToolInfo.asks`). */
  reason?: string;
  /** What it gives may be private (`ToolInfo.private`). */
  private?: true;
}

/** What is lent, and under which condition. */
export interface LendOptions {
  /** Default: `document.modelContext`, else `navigator.modelContext`. Where there is none, nothing is lent. */
  modelContext?: ModelContextLike;
  /**
   * Which tools of the agent's servers are lent. Default: those that say that they only read, give nothing private, and that a
   * run would call without asking.
   */
  tools?(tool: ToolInfo): boolean;
  /**
   * Asked before each call; only `true` lets it be made. Without it those calls are refused that a run would ask for, and those
   * of tools that may give something private; all others are made.
   */
  approve?(call: LentCall): boolean | Promise<boolean>;
}

/**
 * Lends tools of the agent's servers to the page, as WebMCP tools named `server.tool`: whatever may call the page's tools,
 * such as the browser's own agent, may then call them with the agent's authorization. A name that the page itself uses is
 * not taken from it.
 *
 * Nothing is lent before `update()`, which gives the names of what is lent. From then on what is lent follows the lists of the
 * servers that tell of changes; call it again after servers were added, removed or connected. `stop()` takes everything back.
 */
export function lendTools(agent: Agent, options?: LendOptions): { update(): Promise<string[]>; stop(): void };
