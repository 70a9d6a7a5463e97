// The public API of edgewise, written by hand and checked against compiled examples.

/**
 * Loads the wasm. Needed in pages and bundled apps before anything else; Node and Cloudflare Workers load it at first
 * use by themselves, and there `init` still works.
 *
 * Calls that come while one is at work share it, later ones do nothing, and a failed one may be tried again.
 *
 * @param wasm Where the wasm is, or the wasm itself. Default: the file `wasm/edgewise_bg.wasm` of this package. Bundlers
 * that copy no assets (esbuild) need it; or import `edgewise/inline`, which holds the wasm.
 * @param options.rest The same for `wasm/edgewise_rest.wasm`, the half of the core that is loaded when it is first used, such as
 * to resume a run or to ask for statistics.
 * @param options.parts The same for `wasm/edgewise_parts_bg.wasm`, with what few apps need: it is loaded when first used,
 * such as by the offline model.
 * @param options.embeddings The same for `embeddings.bin`, which context is found with, or a function that gives it when it is
 * first used; false for none.
 * @throws {EdgewiseError} `network` when it cannot be fetched or is no wasm.
 */
export function init(
  wasm?: WasmSource,
  options?: {
    rest?: WasmSource;
    parts?: WasmSource;
    embeddings?: TableSource | false | (() => TableSource | Promise<TableSource | undefined> | undefined);
  },
): Promise<void>;

/** Where the table of meanings is, or its bytes. */
export type TableSource = URL | string | BufferSource | Response | Promise<Response>;

/** Where a wasm is, or the wasm itself. */
export type WasmSource = URL | string | BufferSource | WebAssembly.Module | Response | Promise<Response>;

/** The version of this package. */
export const version: string;

/**
 * Stable name of what went wrong. New ones come with minor versions only; treat one that you do not know like
 * `provider`.
 *
 * | code | meaning |
 * |---|---|
 * | `config` | an option is missing, unknown, or of the wrong type; `path` names it |
 * | `auth_required` | the peer wants credentials, or refused those it got |
 * | `network` | no answer: refused, reset, DNS, or blocked by CORS (see `maybeCors`) |
 * | `timeout` | an answer did not come, or did not go on, in time |
 * | `http` | an HTTP status that none of the others stands for |
 * | `rate_limited` | the peer asks to slow down |
 * | `overloaded` | the peer cannot serve for the moment |
 * | `provider` | the model provider refused the request or failed in mid-stream |
 * | `protocol` | the peer's bytes are not what the protocol demands |
 * | `truncated` | the stream ended before its own end mark |
 * | `limit` | a limit of ours was reached: turns, bytes, events |
 * | `cancelled` | the app or the user cancelled |
 * | `misuse` | the API was used in an order that makes no sense |
 * | `crashed` | the wasm instance crashed; a new one serves the next call |
 */
export type Code =
  | "config"
  | "auth_required"
  | "network"
  | "timeout"
  | "http"
  | "rate_limited"
  | "overloaded"
  | "provider"
  | "protocol"
  | "truncated"
  | "limit"
  | "cancelled"
  | "misuse"
  | "crashed";

/** An error as plain data, as events carry it. Never holds a key, a token, or content. */
export interface ErrorInfo {
  code: Code;
  /** One sentence for people: what was being done, to whom, and what arrived. */
  message: string;
  /** Whether the same request may be sent again: not at all, at any time, or after that many milliseconds. */
  retry?: "never" | "backoff" | { after: number };
  /** HTTP status, when an answer with a status was the evidence. */
  status?: number;
  /** The option at fault, such as `servers[1].url`; only with `config`. */
  path?: string;
  /** The failure may be a CORS refusal, which browsers report without any detail. */
  maybeCors?: boolean;
  /** JSON-RPC error code, when the peer answered with a JSON-RPC error. */
  rpcCode?: number;
  /** Where a user has to sign in; only with `auth_required`, from a server whose `oauth` has no `authorize`. */
  authorizationUrl?: string;
  /** What led to this one. */
  cause?: ErrorInfo;
}

/** The one error that this package throws and rejects with. */
export class EdgewiseError extends Error {
  constructor(info: { code: Code; message: string; retryAfterMs?: number; cause?: unknown } & Partial<Omit<ErrorInfo, "cause">>);
  readonly name: "EdgewiseError";
  readonly code: Code;
  /** HTTP status, when an answer with a status was the evidence. */
  readonly status?: number;
  /** The option at fault, such as `servers[1].url`; only with `config`. */
  readonly path?: string;
  /** The earliest moment to try again that the peer named, in milliseconds from its answer. */
  readonly retryAfterMs?: number;
  /** The failure may be a CORS refusal, which browsers report without any detail. */
  readonly maybeCors?: boolean;
  /** JSON-RPC error code, when the peer answered with a JSON-RPC error. */
  readonly rpcCode?: number;
  /** Where a user has to sign in; then see `finishAuthorization`. */
  readonly authorizationUrl?: string;
  /** As plain data. */
  toJSON(): ErrorInfo;
}

/**
 * Tells why an MCP server cannot be used from here, in plain words, with the lines to paste into its configuration. In a
 * page it finds out what the browser does not say: whether nobody is there, the page's origin is not let in, or which header
 * the preflight refuses. It sends a handful of requests that change nothing; the app's token goes to the server alone.
 *
 * @param url The server's endpoint; in pages it may be a path.
 * @throws {EdgewiseError} `config`, `cancelled`, and `network` when the part that decides cannot be loaded. Whatever is wrong
 * with the server is in the report.
 */
export function diagnose(
  url: string | URL,
  options?: {
    /** Bearer token that the server is to be tried with. */
    token?: string;
    /** Further headers on each request, as in `ServerOptions`. */
    headers?: { [name: string]: string };
    /** Longest wait for one answer, in milliseconds. Default: 10,000. */
    timeoutMs?: number;
    signal?: AbortSignal;
  },
): Promise<Diagnosis>;

/** What `diagnose` found. */
export interface Diagnosis {
  url: string;
  /** The server can be used from here, without a sign-in or with the one that was given. */
  usable: boolean;
  /** Which family of protocol revisions it speaks, where that was found out. */
  era?: "modern" | "legacy";
  /** The worst first. */
  findings: Finding[];
}

/** One thing that was found. */
export interface Finding {
  /**
   * | code | meaning |
   * |---|---|
   * | `works` `old_transport` | it can be used |
   * | `invalid_url` `mixed_content` | the address is none, or the browser blocks http on a page of https |
   * | `unreachable` `server_error` | nobody answers; the server fails or asks to slow down |
   * | `cors_origin` `cors_header` `cors_preflight` | the page's origin, some headers, or the whole preflight are refused |
   * | `session_hidden` `challenge_hidden` | pages may not read `Mcp-Session-Id`, or `WWW-Authenticate` |
   * | `redirect` `not_found` `html` `empty` `not_mcp` | no MCP server at this address |
   * | `refused` `revision` `forbidden` | an MCP server that does not take the request |
   * | `sign_in` `token_refused` | it wants a sign-in and says how; it refuses the token |
   * | `no_resource_metadata` `resource_mismatch` `no_issuer` `bad_issuer` | its metadata about the sign-in is missing or inconsistent |
   * | `no_server_metadata` `issuer_mismatch` `no_pkce` | that of its authorization server is |
   *
   * New ones come with minor versions.
   */
  code: string;
  /** Whether it stands in the way, costs something, or is good to know. */
  level: "error" | "warning" | "info";
  /** For people. */
  message: string;
  /** What to put into the server's configuration (header lines, metadata), or the address to use. */
  fix?: string;
}

/** Any JSON value. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** A JSON Schema (2020-12 by MCP's default). */
export type JsonSchema = { [keyword: string]: unknown };

/** Everything an agent is told when it is made. An unknown field is a `config` error. */
export interface AgentOptions {
  /** The model to ask. */
  model: ModelOptions;
  /** MCP servers, reached over Streamable HTTP or a transport of yours. Default: none. */
  servers?: (ServerOptions | TransportServerOptions)[];
  /** Tools that the app itself provides. Default: none. */
  tools?: AppTool[];
  /** System prompt. Default: none. */
  system?: string;
  /**
   * When the user is asked before a tool is called: `"never"`; `"writes"` (the default), for every tool whose
   * annotations do not say that it only reads; `"always"`; or a function that says `true` to ask. A function that
   * throws asks.
   */
  approval?: "never" | "writes" | "always" | ((call: ApprovalQuestion, context: { signal: AbortSignal }) => boolean | Promise<boolean>);
  /** What is kept of what servers answer, and where. Default: true; false caches nothing, but still keeps what else is stored. */
  cache?: boolean | CacheOptions;
  /** Bounds of a run. */
  limits?: Limits;
  /**
   * Asked when a server wants something of the user, in place of the event `input_request`; for every server that has no
   * `onInput` of its own. Throwing, or an answer that does not fit, fails the call that needs it.
   */
  onInput?(request: InputRequest, context: { signal: AbortSignal }): InputAnswer | Promise<InputAnswer>;
  /**
   * Puts what the servers have on a prompt before the model, behind everything that stays the same. Without it a run reads
   * no resources. Default: none; `{}` for all defaults.
   */
  context?: ContextOptions;
  /**
   * Whether the arguments that a model writes are checked against the schema of the tool before the call, and structured
   * results after it. Wrong arguments go nowhere, and the model is told what is wrong; a wrong result gets a note. A schema
   * that cannot be checked stops nothing. Default: true.
   */
  validate?: boolean;
  /**
   * Whether the model is offered a tool `run_plan`, with which it makes many calls in one turn; see {@link Plan}. Its
   * definition costs some 700 tokens of each request. Default: false.
   */
  plans?: boolean;
  /**
   * The log of each run is kept in the agent's store until the run has ended, so that `resume` can take it up when its page or
   * process is gone at whatever instant. A call that may change something is made only when its beginning is stored. Default:
   * false.
   */
  journal?: boolean;
  /**
   * Seals the snapshots of runs that are put away (HMAC-SHA-256), and has `resume` refuse those that are not sealed with it: for
   * snapshots that pass through a client. It is in no snapshot. Default: none.
   */
  snapshotSecret?: string;
  /**
   * Given every span of the agent's runs when it has ended, that of the run last and before the run's terminal event.
   * Nobody waits for what it returns. `edgewise/otlp` makes an export of them.
   */
  onSpan?(span: Span): void;
  /** Whether spans hold prompts, answers, arguments and results of tools. Default: false. */
  spanContent?: boolean;
}

/**
 * A part of a run, named as the OpenTelemetry conventions for generative AI name it:
 *
 * | `name` | what it covers |
 * | --- | --- |
 * | `invoke_agent` | the run |
 * | `chat {model}` | one turn's answer of the model, with all its tries; an event `edgewise.retry` for each further one |
 * | `execute_tool {tool}` | one tool call with all its tries, from when it is made; no time for one that was never made |
 * | `wait servers`, `wait retry`, `wait approval`, `wait input` | what kept it waiting: servers that connect, a pause before the next try of the model, the user |
 *
 * Attributes have the names of the conventions (`gen_ai.*`, `mcp.*`, `server.*`, `error.type`); what they do not name begins
 * with `edgewise.`, such as `edgewise.run.id`, which every span has. `error.type` is the code of the error that ended the
 * run, or `tool_error`, `unknown`, `denied`, `cancelled` for a tool call.
 *
 * A `traceparent` in the run's `meta` is the parent of the run, and the requests of a tool call carry one that names the
 * span of the call.
 */
export interface Span {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** 16 hexadecimal digits. */
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  /** 1 when the trace is recorded, as `traceparent` says. */
  traceFlags: number;
  name: string;
  kind: "internal" | "client";
  /** Milliseconds since 1970, as `Date.now()` gives them. */
  startTimeMs: number;
  endTimeMs: number;
  attributes: { [name: string]: Json };
  events: { name: string; timeMs: number; attributes: { [name: string]: Json } }[];
  status: { code: "unset" | "error" };
}

/** Resources of the servers that go before the model by themselves. */
export interface ContextOptions {
  /**
   * The URIs of the resources to use, or `"auto"` (the default) for those that fit the prompt: the best `maxResources` and what up to
   * three templates are filled to.
   */
  resources?: "auto" | string[];
  /** Most resources that are read for one prompt, 1 to 200: each is a request, unless it is in the cache. Default: 12. */
  maxResources?: number;
  /**
   * Most tokens of it. Default: 100,000; never more than four fifths of the model's `contextWindow`, as far as it is known, leave
   * beside the answer, the system prompt, the tools and the history.
   */
  maxTokens?: number;
  /**
   * Tells what texts are about, as one vector for each (at most 64 at a time, of 8,000 bytes each); or `{ baseUrl, id }` of a provider that does (`POST
   * {baseUrl}/embeddings`); or false, so that words alone count. Default: a table of the package (2 MB, loaded when first
   * used; English). Cloudflare Workers and `edgewise/inline` have none unless `init` is told where it is (`edgewise/embeddings`; in a
   * Worker with static files `init(undefined, { embeddings: () => env.ASSETS.fetch(url) })`).
   */
  embed?:
    | false
    | ((texts: string[], context: { signal: AbortSignal }) => (Float32Array | number[])[] | Promise<(Float32Array | number[])[]>)
    | { baseUrl: string; id: string; apiKey?: string; headers?: { [name: string]: string } };
  /**
   * Whether the sources are followed while the run goes on, and in a conversation from run to run: of each change the app is told
   * (`context_changed`) and the model shown the difference. Default: true, where the server tells of changes.
   */
  live?: boolean;
}

/** A block of context. */
export interface BuiltContext {
  /** What goes before the model; empty when nothing fits. */
  text: string;
  /** What it is made of, the best first. */
  sources: ContextSource[];
  /** About how many tokens it has. */
  tokens: number;
  /** What was found and is not in it. */
  dropped: DroppedContext[];
  /** How many resources and templates there are besides: they fit the query less than those that are named, or not at all. */
  omitted: number;
  /** Whether what texts are about counted, or their words alone. */
  meaning: boolean;
  /** Why the function or endpoint of `embed` did not tell what texts are about, or not of all. Holds no content and no key. */
  meaningError?: string;
}

/** A resource of which passages are in a context. */
export interface ContextSource {
  server: string;
  uri: string;
  /** What the server calls it. */
  name: string;
  /** About how many tokens its passages have. */
  tokens: number;
  /** Of its best passage: from above 0 to 1, comparable within one context. */
  score: number;
  /** How many passages of it are in the context, and how many it has. */
  passages: number;
  ofPassages: number;
  /** The passages that are in the context, the best first. */
  shown: ContextPassage[];
  /** When it was read, in milliseconds since 1970. */
  readAt: number;
  /** What was read is over by what its server said, and was taken from the cache because the server could not be asked. */
  stale?: true;
  /** When it last changed, as the server says. */
  lastModified?: string;
  mimeType?: string;
}

/** A passage of a resource. */
export interface ContextPassage {
  /** From above 0 to 1, comparable within one context. */
  score: number;
  /** About how many tokens it has. */
  tokens: number;
  /** Where in the resource's text it is, as `text.slice(from, to)` takes it. */
  from: number;
  to: number;
  /** The headings above it or the path to it in JSON, with ` > ` between. */
  heading?: string;
}

/** What was found and is not in a context. */
export interface DroppedContext {
  server?: string;
  /** Of a resource or a template; not there where a whole list could not be had. */
  uri?: string;
  /** The list that could not be had. */
  list?: "resources" | "resourceTemplates";
  /**
   * `budget`: did not fit; `irrelevant`: has nothing to do with the query; `not_read`: others fit better; `failed`: could not
   * be read; `unreadable`: is no text; `arguments`: the query does not say what the template needs; `size`: is too long, as a
   * whole or at its end; `unknown`: no server has it; `in_history`: an earlier prompt brought it, unchanged. New ones come with minor versions.
   */
  reason: string;
  /** How many passages, where not all of them. */
  passages?: number;
  /** Why it failed. */
  message?: string;
}

/** What an approval function is asked. */
export interface ApprovalQuestion {
  /** Id of the tool call. */
  id: string;
  /** `server.tool`, or the name of the app's tool. */
  name: string;
  /** Name of the server, for MCP tools. */
  server?: string;
  /** Parsed arguments. */
  input: { [name: string]: Json };
}

/**
 * The model to ask. Of `fallbacks`, the next one takes over when the one before is down or declines, and keeps the run; what
 * was shown is not repeated.
 */
export type ModelOptions = SingleModel & { fallbacks?: SingleModel[] };

/** One model. */
export type SingleModel = OfflineModel | RemoteModel | AppModel | BrowserModel | WorkersAiModel;

/** What a model costs, for a million tokens, in a currency of your choice. */
export interface Prices {
  input?: number;
  output?: number;
  /** Input that is read from the provider's prompt cache. Default: `input`. */
  cacheRead?: number;
  /** Input that is written to the provider's prompt cache. Default: `input`. */
  cacheWrite?: number;
}

/** How much a model takes. */
export interface Windowed {
  /**
   * Tokens that the model takes at once, its answer included. Context never fills more than this leaves, and a history that
   * outgrows it is compacted: see the event `compacted`. Default: not known until the provider refuses a request for its
   * length; what it says then is remembered by the agent.
   */
  contextWindow?: number;
}

/** A model of yours: a function that is asked in place of a provider. */
export interface AppModel extends Windowed {
  /**
   * Answers a request with what the model says, as it comes: an iterable of deltas, or of texts. It is read no faster than the
   * run goes on. Throwing is a failure of the model, which the run retries; `signal` says that nobody wants the answer.
   */
  generate(
    request: ModelRequest,
    context: { signal: AbortSignal },
  ): AsyncIterable<ModelDelta | string> | Iterable<ModelDelta | string> | string | Promise<AsyncIterable<ModelDelta | string> | Iterable<ModelDelta | string> | string>;
  /**
   * How many tokens such a request is: for `agent.countTokens`, which estimates it without, and for the rate that estimates go
   * by from then on.
   */
  countTokens?(request: ModelRequest, context: { signal: AbortSignal }): number | Promise<number>;
  /** Name of the model, for messages. Default: `app`. */
  id?: string;
  provider?: "app";
  maxTokens?: number;
  temperature?: number;
  prices?: Prices;
}

/** What a model of yours is asked. */
export interface ModelRequest {
  model: string;
  system?: string;
  tools: { name: string; description: string; inputSchema: JsonSchema }[];
  messages: Message[];
  /** JSON Schema that the final answer has to satisfy, where the run demands one. `system` tells of it, too. */
  output?: JsonSchema;
  maxTokens?: number;
  temperature?: number;
}

/** A piece of a model's answer. */
export type ModelDelta =
  | { type: "text"; text: string }
  | { type: "thinking"; text: string }
  /** A whole call; `input` may be JSON text. */
  | { type: "tool_call"; id?: string; name: string; input?: { [name: string]: Json } | string }
  | ({ type: "usage" } & Partial<Usage>)
  | { type: "stop"; reason: "end_turn" | "tool_use" | "max_tokens" | "stop_sequence" | "refusal" };

/**
 * The browser's own model (`LanguageModel`, the Prompt API). It knows no tools; it is told of them in words, and what it writes
 * is constrained to text or calls.
 */
export interface BrowserModel extends Windowed {
  provider: "browser";
  id?: string;
}

/** A model of Workers AI behind the binding of a Worker. */
export interface WorkersAiModel extends Windowed {
  provider: "workers-ai";
  /** Such as `@cf/meta/llama-3.3-70b-instruct-fp8-fast`. */
  id: string;
  /** `env.AI`. */
  binding: { run(model: string, input: any, options?: any): Promise<unknown> };
  /** Further fields of what the binding is given; they win over ours. */
  body?: { [field: string]: Json };
  maxTokens?: number;
  temperature?: number;
  prices?: Prices;
}

/** The embedded keyword matcher: deterministic, no network, good for trying everything out and for tests. */
export interface OfflineModel {
  provider: "offline";
  id?: "offline";
}

/** A model behind a provider's wire. */
export interface RemoteModel extends Windowed {
  /** `"anthropic"`: Messages, `POST {baseUrl}/v1/messages`. `"openai"`: Chat Completions, `POST {baseUrl}/chat/completions`. `"openai-responses"`: Responses, `POST {baseUrl}/responses`. `"gemini"`: `POST {baseUrl}/v1beta/models/{id}:streamGenerateContent`. */
  provider: "anthropic" | "openai" | "openai-responses" | "gemini";
  /** The provider's name of the model. */
  id: string;
  /** Key. A key in a web page is public: let pages talk to a proxy of yours through `baseUrl`. */
  apiKey?: string;
  /** Endpoint, as the provider's own SDK takes it; in pages it may be a path. Default: the provider's own. */
  baseUrl?: string;
  /** Further headers; they win over ours. */
  headers?: { [name: string]: string };
  /**
   * Further fields of each request, as the provider names them, such as `{ thinking: { type: "adaptive" } }` (Anthropic),
   * `{ reasoning: { effort: "high", summary: "auto" } }` (Responses), or `{ generationConfig: { thinkingConfig: { includeThoughts: true } } }`
   * (Gemini). They win over ours, and objects are merged. Messages, tools, system prompt and `stream` are the agent's.
   */
  body?: { [field: string]: Json };
  /** Most tokens of one answer. Default: the provider's; 8,192 for Anthropic, which demands one. */
  maxTokens?: number;
  /** Sampling temperature. Default: the provider's. */
  temperature?: number;
  /**
   * The provider holds conversations, and only what is new is sent to it: Anthropic's message threads (a beta; it keeps them in
   * memory for some minutes), or the stored responses of OpenAI Responses (`store`, kept for weeks). What it has forgotten, or
   * what is not the same to the letter, is sent in full; so nothing else is different, nor cheaper, only faster in long runs.
   * Hosts other than the provider's own are first asked whether they have threads at all, by a request that those refuse.
   * Default: false. For `"anthropic"` and `"openai-responses"` alone.
   */
  threads?: boolean;
  /** What its tokens cost, for `usage.cost`. */
  prices?: Prices;
}

/** An MCP server and how to reach it. */
export interface ServerOptions {
  /** Name of your choice: 1 to 64 letters, digits, `_` or `-`; unique among the servers of an agent. */
  name: string;
  /** The server's MCP endpoint: an absolute http or https URL, or in pages a path that starts with `/`. */
  url: string | URL;
  /** Bearer token, or a function that gives one and is asked before each request. */
  token?: string | ((context: { server: string }, more: { signal: AbortSignal }) => string | Promise<string>);
  /** How to come by a token by OAuth, in place of `token`; `url` has to be absolute then. */
  oauth?: OAuthOptions;
  /** Further headers on each request. */
  headers?: { [name: string]: string };
  /** Longest silence within one request, in milliseconds, before it fails. Progress starts it anew. Default: 60,000. */
  timeoutMs?: number;
  /** Most calls of its tools at work at once, in each run. Default: as many as `limits.maxParallelTools`. */
  maxParallelTools?: number;
  /**
   * `"private"`: what its tools and resources give is nobody else's business. Once a conversation holds some of it, calls that
   * may take it out are asked for, under every policy, and the question names this server: calls of other servers that are
   * `"untrusted"`, or by tools that reach beyond their server (`openWorldHint`, which holds unless they say otherwise; of the
   * app's own tools only if they say so). Nobody there to ask: the call is denied. Default: neither.
   */
  labels?: ("private" | "untrusted")[];
  /** How the URIs of resources begin that are private, where the server as a whole is not. */
  privateResources?: string[];
  /** Gets what the server logs, as it sent it. What it throws is ignored. */
  onLog?(entry: LogEntry): void;
  /** From which level on the server is to log; only with `onLog`. Default: `"info"`. */
  logLevel?: LogLevel;
  /**
   * Whether tabs of your origin share one session of an older server (2025 revisions with `Mcp-Session-Id`), where they have
   * the same options and credentials. `"own"` where a session is a place of work, such as a browser that the server drives.
   * Default: `"shared"`; where tabs cannot know of each other (Node, Workers), each has its own anyway.
   */
  session?: "shared" | "own";
  /** See {@link TransportServerOptions}. */
  transport?: undefined;
  /** Whether values are checked against the schemas of its tools. Default: true. */
  validate?: boolean;
  /**
   * What happens when the definition of a tool (its description, schemas or annotations) is not the one that was seen
   * first or approved. Fingerprints are kept where the platform stores values (IndexedDB in browsers), per server and tool.
   */
  trust?: {
    /**
     * `"approve"` (the default): it is reported, and the next call of the tool waits for an approval whatever `approval`
     * says; `"report"`: it is reported once, and the new definition counts from then on; `"ignore"`: nothing.
     */
    changes?: "approve" | "report" | "ignore";
  };
  /**
   * Asked when the server wants something of the user: a form or a visit to a page. Throwing, or an answer that does not
   * fit, fails the call that needs it.
   */
  onInput?(request: InputRequest, context: { signal: AbortSignal }): InputAnswer | Promise<InputAnswer>;
  /**
   * Asked when the server wants an answer of your model: the parameters of `sampling/createMessage` as they came. Show the
   * user what is sent and what comes back.
   */
  onSampling?(params: { [name: string]: Json }, context: { signal: AbortSignal }): SamplingResult | Promise<SamplingResult>;
  /** The directories that the server may work in, or a function that gives them each time. */
  roots?: Root[] | ((request: { server: string }, context: { signal: AbortSignal }) => Root[] | Promise<Root[]>);
}

/**
 * What a server wants of the user. `message` and everything in `schema` and `url` is written by the server: say which
 * server asks, and let the user decline.
 */
export type InputRequest =
  /** A form: a flat object of strings, numbers, booleans and choices, as JSON Schema. */
  | { server: string; message: string; schema: { [name: string]: Json }; url?: undefined }
  /** A page. Show the whole URL, and open it only when the user agrees. */
  | { server: string; message: string; url: string; schema?: undefined };

/**
 * The answer to an `InputRequest`; null is `cancel`, the user dismissed it without a choice. Fields of a form that `content`
 * leaves out get their defaults; one that is null stays empty. For a page, `accept` says that the user agreed to open it.
 */
export type InputAnswer =
  | { action: "accept"; content?: { [name: string]: string | number | boolean | string[] | null } }
  | { action: "decline" | "cancel" }
  | null
  | undefined;

/** What a model answered, in MCP's shape. */
export interface SamplingResult {
  content: { [name: string]: Json } | { [name: string]: Json }[];
  /** Name of the model that answered. */
  model: string;
  /** Default: `assistant`. */
  role?: "assistant" | "user";
  /** Such as `endTurn` or `maxTokens`. */
  stopReason?: string;
}

/** A directory that servers may work in. */
export interface Root {
  /** Starts with `file://`. */
  uri: string;
  name?: string;
}

/** How important an entry of a server's log is, the least first. */
export type LogLevel = "debug" | "info" | "notice" | "warning" | "error" | "critical" | "alert" | "emergency";

/** An entry of a server's log. */
export interface LogEntry {
  /** Name of the server. */
  server: string;
  level: LogLevel;
  /** Which part of the server it comes from. */
  logger?: string;
  data: Json;
  [member: string]: unknown;
}

/** An MCP server that is reached by a transport of yours in place of a URL: stdio in Node, memory, WebSocket, messages. */
export interface TransportServerOptions extends Omit<ServerOptions, "url" | "token" | "oauth" | "headers" | "transport" | "session"> {
  /** Started when first needed, and closed with the agent or client. Once closed it stays so. */
  transport: Transport;
  url?: undefined;
  token?: undefined;
  oauth?: undefined;
  headers?: undefined;
  session?: undefined;
}

/**
 * What carries messages to a server and back: `Transport` of the MCP TypeScript SDK, whose own transports fit. Handlers
 * that are set already are called as well.
 */
export interface Transport {
  start(): Promise<void>;
  /** Sends one JSON-RPC message. */
  send(message: any): Promise<void>;
  close(): Promise<void>;
  /** Set by the client; to be called with each JSON-RPC message that comes. */
  onmessage?: ((message: any, extra?: any) => void) | undefined;
  /** Set by the client; to be called when no more messages can come. */
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  sessionId?: string | undefined;
  /** Told which revision was agreed on. */
  setProtocolVersion?: ((version: string) => void) | undefined;
}

/**
 * How to come by a token for a server that asks for one. Discovery, registration, PKCE, refresh and further scopes are
 * taken care of; any number of refused requests lead to one sign-in, and any number of tabs to one refresh. Tokens are
 * kept in `store`.
 *
 * A user signs in where there is a `redirectUrl`; without a user there are `grant`, `assertion` and `idp`. Exactly one of
 * the four.
 */
export interface OAuthOptions {
  /** Where users are sent back to: an https URL, or an http URL on this machine. Required where a user signs in. */
  redirectUrl?: string;
  /**
   * Opens the URL for the user and resolves to the URL that the user was sent back to: `authorizeInPopup()`,
   * `authorizeByRedirect()`, or your own. Called as soon as a server refuses a request, so that requests wait for the user.
   *
   * Without it they do not wait: the server's state becomes `auth_required` with the URL in `error.authorizationUrl`, runs
   * go on without its tools, and the app hands over where the user came back to with `finishAuthorization`. That is for
   * Workers, and for pages that show a button first.
   */
  authorize?(url: string, context: { signal: AbortSignal }): string | Promise<string>;
  /** The app itself asks for tokens, with `clientId` and `clientSecret` or `sign`. */
  grant?: "client_credentials";
  /** Gives a JWT in which the app's platform vouches for it, made for `issuer` (workload identity federation). */
  assertion?(of: { server: string; issuer: string }, context: { signal: AbortSignal }): string | Promise<string>;
  /** A company's identity provider, which vouches for its user (enterprise-managed authorization). */
  idp?: {
    /** The provider's token endpoint. */
    tokenEndpoint: string;
    /** The app's client id at the provider. */
    clientId: string;
    /** The app's client secret at the provider. */
    clientSecret?: string;
    /** Gives the user's ID token. */
    idToken(of: { server: string }, context: { signal: AbortSignal }): string | Promise<string>;
  };
  /** Client id, if you registered the app yourself; required where no user signs in. */
  clientId?: string;
  /** Its secret. A secret in a web page is public. */
  clientSecret?: string;
  /** Issuer that `clientId` belongs to. Default: the first that the server names; the id then goes to no other. */
  issuer?: string;
  /** https URL of a document about the app, which serves as client id where the authorization server takes one. */
  clientMetadataUrl?: string;
  /** What users are shown when the app is registered by itself. Default: `Edgewise`. */
  clientName?: string;
  /** Scopes to ask for in place of those that the server's metadata names. */
  scopes?: string[];
  /** Signs statements about the client with a key that only the app holds, in place of `clientSecret`. */
  sign?: {
    /** JOSE name, such as `ES256`. */
    algorithm: string;
    /** Which of the client's keys it is. */
    keyId?: string;
    /** Signs `input` and resolves to the signature in base64url. */
    sign(
      of: { server: string; algorithm: string; input: string },
      context: { signal: AbortSignal },
    ): string | Promise<string>;
  };
  /**
   * Where tokens are kept. A key names the server's URL, and the `issuer` if you give one; give each user of your app a
   * store of their own. Default: in pages, Web Workers and Service Workers encrypted in IndexedDB, shared by the tabs of
   * the origin; where there is no IndexedDB or no WebCrypto, as in Node and Cloudflare Workers, in memory as long as the
   * agent lives.
   */
  store?: SecretStore;
  /** Binds tokens to a key that only the app holds (DPoP), where the authorization server can. */
  dpop?: {
    /** JOSE name, such as `ES256`. */
    algorithm: string;
    /** The public key. One with private parts is refused. */
    jwk: object;
    /** As `sign.sign`; asked once for each request. */
    sign(
      of: { server: string; algorithm: string; input: string },
      context: { signal: AbortSignal },
    ): string | Promise<string>;
  };
}

/**
 * Keeps texts by key: tokens, client secrets and sign-ins that were begun, all of which are secret. A call that fails or
 * takes longer than the server's `timeoutMs` counts as not kept, which costs no more than a new sign-in.
 */
export interface SecretStore {
  /** What was last saved under that key. */
  load(key: string): string | null | undefined | Promise<string | null | undefined>;
  /** Keeps a text, or removes it with null. */
  save(key: string, text: string | null): unknown;
}

/**
 * Opens sign-ins in a window beside the page, and hears from the callback page (see `completeAuthorization`) where the user
 * came back to. For the option `authorize`, or to be called with `authorizationUrl` right in a click: browsers let windows
 * open only soon after one.
 *
 * @param options `width`, `height`: of the window, in pixels; default 500 and 700. `onBlocked`: what to do when the browser
 * refuses the window; `"redirect"` (default) leaves the page as `authorizeByRedirect` does, `"fail"` rejects.
 * @returns A function that resolves to the callback URL. It rejects with `auth_required` when the user closes the window
 * and with `cancelled` when the signal aborts. A page that cuts the tie to its opener (COOP) is no obstacle.
 */
export function authorizeInPopup(options?: {
  width?: number;
  height?: number;
  onBlocked?: "redirect" | "fail";
}): (url: string, context?: { signal?: AbortSignal }) => Promise<string>;

/**
 * Leaves the page for the sign-in; the way back goes through `completeAuthorization`, which the callback page calls. The
 * page that is come back to calls it as well, and hands the URL that it gets to `finishAuthorization`.
 */
export function authorizeByRedirect(): (url: string, context?: { signal?: AbortSignal }) => Promise<string>;

/**
 * For the page at `redirectUrl`, in one line, and for pages that sign in by redirect, at their start.
 *
 * Takes the answer out of the page's address and history. After a popup it hands it to the page that waits and closes the
 * window. After a redirect it leads the user back to the page that was left, and there the same call gives the URL.
 *
 * @returns The callback URL, for `finishAuthorization`: after a redirect, or when no page is waiting any more. Undefined
 * when there is none, or when another page has it.
 */
export function completeAuthorization(): Promise<string | undefined>;

/** A tool that the app itself provides. */
export interface AppTool<Input = any> {
  /** 1 to 64 letters, digits, `_` or `-`; unique among the app's tools. */
  name: string;
  /** What it does, for the model. Default: empty. */
  description?: string;
  /** JSON Schema of the arguments. Default: any object. */
  inputSchema?: JsonSchema;
  /** Hints on its effects; without `readOnlyHint` the default approval asks the user. */
  annotations?: ToolAnnotations;
  /**
   * Does it. A string becomes the text of the result, an object with `content` the result itself, any other JSON value
   * structured content. What it throws becomes a failed result that the model sees. `signal` aborts when nobody waits
   * for the result any more.
   */
  execute(input: Input, context: { signal: AbortSignal }): unknown;
}

/** MCP's hints on a tool's effects. */
export interface ToolAnnotations {
  title?: string;
  /** It changes nothing. Default: false. */
  readOnlyHint?: boolean;
  /** It may delete or overwrite. Default: true. */
  destructiveHint?: boolean;
  /** Calling it twice does no more than once. Default: false. */
  idempotentHint?: boolean;
  /** It reaches beyond its server. Default: true. */
  openWorldHint?: boolean;
}

/** Bounds of a run. */
export interface Limits {
  /**
   * Most turns for a prompt; as many again for each follow-up, and for what was said with `steer` once the model was done.
   * Default: 10.
   */
  maxTurns?: number;
  /** Longest silence of the model, in milliseconds, before the call fails. Whatever it sends starts it anew. Default: 120,000. */
  turnTimeoutMs?: number;
  /** Longest answer of the model, in milliseconds, however much comes. Default: 1,800,000. */
  turnMaxMs?: number;
  /** Longest silence of a tool, in milliseconds, before its call fails. Default: `timeoutMs` of its server. */
  toolTimeoutMs?: number;
  /** Most tool calls at work at once. Default: 8. */
  maxParallelTools?: number;
  /**
   * About the most tokens of one tool result that the model is shown. A longer one is kept for a week under a handle
   * (`result:...`): the model sees its shape, size, beginning and end, reads on with the tool `read_result`, and passes it to
   * other tools by naming the handle. Images count nothing. Default: 10,000.
   */
  maxResultTokens?: number;
  /**
   * About the most tokens of tool definitions that the model is offered at first. Where all tools take more, it is offered
   * those that fit the prompt and a tool `find_tools`, which offers more of them behind the others. What was offered in a
   * conversation stays; a later prompt adds tools only where one of the three that fit it best is missing, and on Anthropic's own
   * API none, since there the model finds them at no cost to the prompt cache. Default: 20,000.
   */
  maxToolTokens?: number;
  /** Most tries of one model call, the first included. Default: 4. */
  maxAttempts?: number;
  /** Most model and tool calls of a run that are made again. Default: 16. */
  maxRetries?: number;
}

/**
 * A model, the tools it may use, and how both are reached. Nothing is connected yet, and nothing needs to be freed: an
 * agent that nobody holds goes away, and the runs it has started end on their own.
 */
export class Agent {
  /**
   * @throws {EdgewiseError} `config` with the path of the first option that is wrong; `misuse` before `init()` where
   * the wasm has to be fetched.
   */
  constructor(options: AgentOptions);

  /**
   * Connects all servers at once and lists their tools. Optional: a run connects what it needs.
   *
   * @returns The state of each. A server that cannot be used is in there as `failed` and never makes this reject.
   */
  connect(options?: { signal?: AbortSignal }): Promise<ServerInfo[]>;

  /**
   * Goes on with a sign-in that was begun by this agent or, with a store that lasts, by an earlier one, and connects the
   * server that it was for; which one, the URL tells.
   *
   * @param callbackUrl Where the user came back to, with everything that the authorization server added. It counts once.
   * @returns The server, which may still be unusable for another reason.
   * @throws {EdgewiseError} `misuse` for a sign-in that nobody here began, `auth_required` when the user or the
   * authorization server refused, `protocol` for an answer that is not believed.
   */
  finishAuthorization(callbackUrl: string | URL, options?: { signal?: AbortSignal }): Promise<ServerInfo>;

  /** The servers and their state. */
  servers(): ServerInfo[];

  /** The tools that are known now: the app's own, and those of the servers that are connected. */
  tools(): ToolInfo[];

  /** The same tools as a model provider wants them, for those who call a model themselves. */
  toolDefinitions(format: "anthropic"): AnthropicTool[];
  toolDefinitions(format: "openai"): OpenAiTool[];

  /**
   * Adds a server; the next run connects it.
   *
   * @throws {EdgewiseError} `config`, also for a name that is taken.
   */
  addServer(server: ServerOptions | TransportServerOptions): void;

  /** Closes a server's connection and forgets it. @throws {EdgewiseError} `misuse` for an unknown name. */
  removeServer(name: string): Promise<void>;

  /** What servers answered before. */
  readonly cache: {
    /** What is kept, and what came of it since this agent was made. */
    stats(): Promise<CacheStats>;
    /**
     * Forgets what one server answered, or, without a name, what any server ever answered to any agent that shares the
     * store.
     *
     * @throws {EdgewiseError} `misuse` for an unknown server.
     */
    clear(server?: string): Promise<void>;
  };

  /** All that is kept: conversations, journals, what is cached, what is known of servers. Never a key or a token. */
  readonly storage: {
    /** How much is kept, in bytes of values. */
    sizes(): Promise<StorageSizes>;
    /**
     * All of it, or what was chosen, as one file of lines of JSON. What is over is left out; what this agent holds in memory
     * because it could not be stored is in it. With a conversation go the logs of its runs and the big results that it speaks
     * of.
     */
    export(choice?: StorageChoice): Promise<Blob>;
    /**
     * Puts what a file of `export()` holds in place of what is kept under the same keys; all of it or nothing. Only files
     * that you trust: what a user has approved of is among it.
     *
     * @throws {EdgewiseError} `config` for a file that is no such one, damaged, or not whole; `limit` where there is no room.
     */
    import(file: Blob | string): Promise<{ records: number }>;
    /**
     * Removes all of it, or what was chosen, for all agents that share the store, and what this agent holds of it in memory. With
     * a conversation go the logs of its runs and the big results that no other conversation speaks of. A run of this agent that
     * is under way in it goes on, and nothing that it says is kept; one in another tab keeps what it says from then on.
     */
    remove(choice?: StorageChoice): Promise<void>;
  };

  /**
   * Calls a tool without a model and without asking anybody.
   *
   * @param name As `tools()` gives it: `server.tool`, or the name of the app's tool.
   * @param input The arguments. Default: `{}`.
   * @returns What the tool gave; a failure that the tool itself reports has `isError: true`.
   * @throws {EdgewiseError} when the tool could not be asked.
   */
  callTool(
    name: string,
    input?: { [name: string]: unknown },
    options?: {
      signal?: AbortSignal;
      onProgress?(progress: Progress): void;
      cache?: CacheMode;
      onTask?(taskId: string): void;
      /** What every MCP request for the call carries in `_meta` besides, such as `traceparent`, `tracestate`, `baggage`. */
      meta?: { [name: string]: Json };
    },
  ): Promise<CallToolResult>;

  /**
   * Tells of new lists of tools, between runs too, until the iteration ends: at first of each server that is there, then whenever
   * its tools were listed anew because it told of a change; `tools()` has them then. Servers are connected first, those that
   * there are now; it ends when none of them tells of changes (any more). `server`: that one alone.
   */
  toolChanges(options?: { server?: string; signal?: AbortSignal }): AsyncGenerator<{ server: string }, void, void>;

  /** Tells every server that `roots` are others now; older servers ask for them again, modern ones do whenever they need them. */
  rootsChanged(): Promise<void>;

  /**
   * The tasks that are remembered: calls that a server made tasks of and whose end nobody has seen, such as before a reload.
   * They are kept where the platform stores values (IndexedDB in browsers).
   */
  tasks(): Promise<(RememberedTask & { server: string })[]>;

  /**
   * Takes up a task and follows it to the result of its call. What it asks of the user goes to `onInput`, else it is
   * cancelled.
   *
   * @throws {EdgewiseError} as `callTool`; with `rpcCode` -32602 when the server does not know the task any more.
   */
  resumeTask(
    server: string,
    taskId: string,
    options?: { signal?: AbortSignal; onProgress?(progress: Progress): void },
  ): Promise<CallToolResult>;

  /**
   * Takes the definition of a tool that has changed (see `ServerInfo.changedTools` and the event `tool_changed`) for
   * approved, as a user does by approving its next call.
   *
   * @throws {EdgewiseError} `misuse` for a tool that there is not.
   */
  acceptTool(name: string): Promise<void>;

  /**
   * The resources of all servers that have some, page by page as long as each is fresh from what is cached. Servers are
   * connected first if need be; one that fails is left out, and `servers()` says why. A list that is over and was taken all
   * the same, since its server could not be reached or was not to be asked, has `stale` on each of its elements.
   *
   * @throws {EdgewiseError} the first error, where no server could be asked.
   */
  listResources(options?: CachedListOptions): Promise<(Resource & OfServer)[]>;

  /** The resource templates of all servers, as `listResources`. */
  listResourceTemplates(options?: CachedListOptions): Promise<(ResourceTemplate & OfServer)[]>;

  /** The prompts of all servers, as `listResources`. */
  listPrompts(options?: CachedListOptions): Promise<(Prompt & OfServer)[]>;

  /**
   * Reads a resource of the server of that name, or gives what it read before, as long as the server says that it is fresh
   * or while it cannot be reached.
   *
   * @throws {EdgewiseError} as `McpClient.readResource`.
   */
  readResource(server: string, uri: string, options?: CallOptions & { cache?: CacheMode }): Promise<ReadResourceResult>;

  /** Gets a prompt of the server of that name. @throws {EdgewiseError} as `McpClient.getPrompt`. */
  getPrompt(server: string, name: string, args?: { [name: string]: string }, options?: CallOptions): Promise<GetPromptResult>;

  /** Asks the server of that name how an argument may be completed. @throws {EdgewiseError} as `McpClient.complete`. */
  complete(
    server: string,
    ref: CompletionReference,
    argument: { name: string; value: string },
    options?: CallOptions & { context?: { arguments: { [name: string]: string } } },
  ): Promise<CompleteResult>;

  /**
   * What the servers have on a query, as a run with the option `context` puts it before its model: the resources that fit are
   * chosen from all servers by words and by meaning, read, cut into passages, and the best passages fill the budget. Arguments
   * of resource templates are found in the query with what their server completes them to.
   *
   * @param options `maxTokens`, `maxResources` and `resources` in place of those of the agent's option `context`.
   * @throws {EdgewiseError} `config`, `cancelled`, and `network` when the part that chooses cannot be loaded. What a server
   * fails to give is named in `dropped`.
   */
  buildContext(query: string, options?: { maxTokens?: number; maxResources?: number; resources?: "auto" | string[]; signal?: AbortSignal }): Promise<BuiltContext>;

  /**
   * The names of the tools that fit a query best, the best first, by words and by meaning.
   *
   * @param options `limit`: most names; default 5.
   */
  findTools(query: string, options?: { limit?: number; signal?: AbortSignal }): Promise<string[]>;

  /**
   * How many tokens a run with that prompt would begin with: its system prompt, tools, context and history, built as `run`
   * builds them, and counted for the agent's own model. Asks no model and starts no tool. Where the history would be compacted
   * first, it is counted as it is.
   *
   * Anthropic, Gemini and OpenAI Responses count themselves, and so do llama.cpp's server and the browser's own model.
   * Elsewhere, and where a host does not know the endpoint, it is estimated at the rate that the provider counted at before,
   * else four characters for a token.
   *
   * @param options Those of `run`.
   * @throws {EdgewiseError} As `run` would end before its model, `cancelled`, and what went wrong with the provider that counts:
   * it is asked once.
   */
  countTokens(prompt: string, options?: RunOptions): Promise<TokenCount>;

  /** Forgets what users have approved of with `remember: "always"`, for all tools of all servers in this store. */
  forgetApprovals(): Promise<void>;

  /**
   * All of a result that was too long for the model, by the `handle` of its `tool_result`. `structuredContent` is there where
   * it is JSON.
   *
   * @throws {EdgewiseError} `misuse` when it is not kept (any more): after a week, or when there was no room.
   */
  readResult(handle: string, options?: { signal?: AbortSignal }): Promise<{ content: ToolContent[]; structuredContent?: Json }>;

  /**
   * Starts a run: model calls and tool calls until the model has answered. It goes on whether or not its events are
   * read; read slowly, it waits for its reader.
   *
   * @throws {EdgewiseError} `config` for options that are wrong. Everything later is an event.
   */
  run(prompt: string, options?: RunOptions): Run;

  /**
   * A conversation: a history that is kept in the agent's store, so that the same id later, in another tab or after a reload, has
   * the same history.
   *
   * @param id Any text of 1 to 256 bytes.
   */
  conversation(id: string): Conversation;

  /**
   * Takes up a run where it stood: one that was put away (`run.onSuspend`), from its snapshot; one whose page or process is gone, by
   * its id, where the agent has `journal`; or a log that was saved. The agent has to have the same tools and servers.
   *
   * Its events begin with `run_start { resumed: true }`; the turn that was open is told again, as far as it had come, with results
   * of 0 ms. No call that is complete is made again. One that was at work and that its server had made a task of is followed
   * (`tasks/get`); another is made again only if its tool is read-only or idempotent; else its outcome is `unknown`. An answer of
   * the model that was cut is gone on with.
   *
   * A snapshot can be resumed as often as somebody has it, and each time the calls are made that waited. Where it passes through
   * other hands, use `snapshotSecret`. A run that goes on in another tab is waited for.
   *
   * @param from The snapshot, the log, or the run's id. What keeps the run from going on is its `error` event: `misuse` for a run
   * that has ended or is not stored, or whose conversation went on without it; `protocol` for what is no log, or is not sealed
   * as it has to be.
   * @throws {EdgewiseError} `config` for options that are wrong.
   */
  resume(
    from: string,
    options?: {
      /**
       * What the user has said of calls that wait, by their ids: true, false, or why not; or a yes to all that are alike, with
       * `remember` as in `run.approve`. Others are asked for again.
       */
      decisions?: { [callId: string]: boolean | string | { approve: true; remember: "run" | "always" } };
      signal?: AbortSignal;
      unattended?: boolean;
    },
  ): Run;

  /**
   * The runs whose logs are stored (option `journal`): those that can be resumed, and those that go on in some tab right now. `at` is
   * when it was last written, in milliseconds since 1970, to the minute.
   */
  openRuns(): Promise<{ runId: string; bytes: number; at: number }[]>;

  /** Removes the stored log of a run. */
  forgetRun(runId: string): Promise<void>;

  /**
   * Runs a plan of tool calls, without a model: what does not wait for each other runs at once, and every call is approved like
   * one of a model. Its events are read like those of `run`; `result` has `value` and a row for each step.
   *
   * @throws {EdgewiseError} `config` for options that are wrong. What is wrong with the plan rejects `result`, all mistakes at once,
   * before anything is called.
   */
  runPlan(plan: Plan, options?: RunOptions): PlanRun;

  /**
   * Says what `runPlan` would do, without doing it. Servers are connected first if need be.
   *
   * @throws {EdgewiseError} `cancelled`, `misuse` after `close`, `network` when the part that knows plans cannot be loaded. Mistakes
   * are in `problems`.
   */
  previewPlan(plan: Plan, options?: { signal?: AbortSignal }): Promise<PlanPreview>;

  /** Ends the connections (sessions of legacy servers too). Runs that are still going fail. */
  close(): Promise<void>;
}

/** A source that the model was shown, or that is subscribed to, has changed. */
export interface ContextChanged {
  type: "context_changed";
  server: string;
  uri: string;
  /**
   * The lines that went (`- `) and came (`+ `), in comparison with what the model was shown, or with what was read when it was
   * subscribed to. Of a text over 64 KiB, what went is there as far as the model was shown it. Empty when the text is too long
   * to be compared (2 MiB or 50,000 lines), or the `same` again.
   */
  difference: string;
  /** How many lines came, and how many went. */
  added: number;
  removed: number;
  /** It touches passages that the model was shown: what was answered may be outdated, and is worth being asked again. */
  cited: boolean;
  /** It is again as the model was shown it. */
  same: boolean;
  /** When it was read, in milliseconds since 1970. */
  readAt?: number;
}

/** Tokens of what a model would be asked. */
export interface TokenCount {
  inputTokens: number;
  /** Nobody counted: it is about so many. */
  estimated: boolean;
}

/** A history that outlives its runs. Every object of one id is the same conversation. */
export interface Conversation {
  readonly id: string;

  /**
   * Says something: a run that goes on from what was said before. What is said in it is kept turn by turn, as soon as a turn is
   * settled; of a run that fails or is cancelled, what was said until then, and nothing if that was the prompt alone. Runs of one
   * conversation come one after the other, in the order of `send`, also among the tabs of a browser.
   *
   * The last event, and `result`, have in `messages` only those of this run: `messages()` has all.
   *
   * @throws {EdgewiseError} `config` for options that are wrong; `messages` is none of them.
   */
  send(prompt: string, options?: Omit<RunOptions, "messages">): Run;

  /** Runs a plan, as `agent.runPlan` does, in its turn; what came of it is part of the conversation. */
  runPlan(plan: Plan, options?: Omit<RunOptions, "messages">): PlanRun;

  /** The same as `agent.countTokens`, of what `send` would begin with: behind the runs that are in it. Leaves nothing in it. */
  countTokens(prompt: string, options?: Omit<RunOptions, "messages">): Promise<TokenCount>;

  /** Everything that was said and is settled, the oldest first. */
  messages(): Promise<Message[]>;

  /**
   * Forgets everything that was said, and what is followed, once the runs that are in the conversation have ended.
   */
  clear(options?: { signal?: AbortSignal }): Promise<void>;

  /**
   * Follows a resource: from now on {@link Conversation.changes} and the runs of this conversation tell when it changes
   * (`context_changed`), and the model is shown the difference. What the option `context` puts before the model of this
   * conversation is followed by itself, as far as its server tells of changes.
   *
   * @throws {EdgewiseError} `misuse` when the server does not tell of changes of its resources or the resource has no text; why
   * it cannot be read.
   */
  subscribe(server: string, uri: string, options?: { signal?: AbortSignal }): Promise<void>;

  /** Follows a resource no longer. False when it was not followed. */
  unsubscribe(server: string, uri: string): Promise<boolean>;

  /** What is followed; `asked` for what was subscribed to, not put before the model by itself. */
  subscriptions(): Promise<{ server: string; uri: string; asked: boolean }[]>;

  /**
   * Tells of changes of what is followed, between runs too: at first of what has changed since the model was shown it, then of
   * each change, until the iteration ends. Nothing is open while nobody iterates and no run goes on; what changed meanwhile is
   * found by comparing the contents. A resource that keeps changing is read ever more rarely, up to once a minute.
   */
  changes(options?: { signal?: AbortSignal }): AsyncGenerator<ContextChanged, void, void>;
}

/** A run that was put away. */
export interface Suspended {
  runId: string;
  /** All that it takes to go on: its log, with prompt, answers and results, without keys; sealed with `snapshotSecret`. */
  snapshot: string;
  /** The calls that wait for an approval. */
  waitingFor: { id: string; name: string; input: Json }[];
}

/** What a watch is to be told; at least one. */
export interface WatchFilter {
  /** That the list of tools changed. */
  tools?: boolean;
  /** That the list of prompts changed. */
  prompts?: boolean;
  /** That the list of resources changed. */
  resources?: boolean;
  /** That one of these resources changed. */
  uris?: string[];
  /** That one of these tasks changed; only modern servers with the tasks extension tell it. */
  tasks?: string[];
}

/** What a watch is told. Readers ignore types that they do not know. */
export type Change =
  | { type: "watching"; tools: boolean; prompts: boolean; resources: boolean; uris: string[]; tasks: string[] }
  | { type: "tools_changed" }
  | { type: "prompts_changed" }
  | { type: "resources_changed" }
  /** `uri` may lie below one that is watched. */
  | { type: "resource_updated"; uri: string }
  | { type: "task_updated"; task: { taskId: string; status: string; [name: string]: Json } }
  /** For a while nobody could tell of changes; from now on somebody can again. */
  | { type: "gap" };

/**
 * A client of one MCP server, without a model or an agent: for those who bring their own loop.
 *
 * Every method connects first if need be, and a lost session is renewed. Elements of lists and results are what the
 * server sent, members that the types do not know included. Nothing needs to be freed.
 */
export class McpClient {
  /**
   * Sends nothing yet.
   *
   * @throws {EdgewiseError} `config` with the path of the first option that is wrong; `misuse` before `init()` where
   * the wasm has to be fetched.
   */
  constructor(options: McpClientOptions);

  /** What the server answered before, where the option `cache` is given. */
  readonly cache: {
    /** What is kept, and what came of it since this client was made; null where nothing is cached. */
    stats(): Promise<CacheStats | null>;
    /** Forgets what the server answered. */
    clear(): Promise<void>;
  };

  /**
   * Finds out which era the server speaks and greets it. Optional.
   *
   * @throws {EdgewiseError} why the server cannot be used.
   */
  connect(options?: { signal?: AbortSignal }): Promise<ServerInfo>;

  /** As `finishAuthorization` of an agent; rejects also when the server cannot be used afterwards. */
  finishAuthorization(callbackUrl: string | URL, options?: { signal?: AbortSignal }): Promise<ServerInfo>;

  /** What is known of the server now. */
  info(): ServerInfo;

  /**
   * All pages of `tools/list`. Tools that cannot be used are left out and named in `info().warnings`: those without a
   * name, with a schema that is none, or in the modern era with an invalid `x-mcp-header`.
   *
   * @throws {EdgewiseError} also for pages that never end (`protocol`) or are more than 1,000 (`limit`).
   */
  listTools(options?: ListOptions): Promise<Listed<"tools", Tool>>;

  /** All pages of `resources/list`. A server without resources has none. */
  listResources(options?: ListOptions): Promise<Listed<"resources", Resource>>;

  /** All pages of `resources/templates/list`. A server without resources has none. */
  listResourceTemplates(options?: ListOptions): Promise<Listed<"resourceTemplates", ResourceTemplate>>;

  /** All pages of `prompts/list`. A server without prompts has none. */
  listPrompts(options?: ListOptions): Promise<Listed<"prompts", Prompt>>;

  /**
   * Calls a tool. It is never called twice, unless the server said that it did not know the session or the revision.
   *
   * @param input The arguments. Default: `{}`.
   * @returns What the tool gave; a failure that the tool itself reports has `isError: true`.
   * @throws {EdgewiseError} when the tool could not be asked, gave no content, or, if `listTools` has listed it, gave
   * structured content that is not what its `outputSchema` says (`protocol`; see the option `validate`).
   */
  callTool(
    name: string,
    input?: { [name: string]: unknown },
    options?: CallOptions & {
      /**
       * Told when the server makes a task of the call. The task is polled until it is done, whatever the timeout; aborting the
       * call cancels it, closing the client does not.
       */
      onTask?(taskId: string): void;
    },
  ): Promise<McpToolResult>;

  /** Tells the server that `roots` are others now; older servers ask for them again, modern ones do whenever they need them. */
  rootsChanged(): Promise<void>;

  /**
   * The tasks that are remembered: calls that the server made tasks of and whose end nobody has seen, such as before a
   * reload. They are kept where the platform stores values (IndexedDB in browsers).
   */
  tasks(): Promise<RememberedTask[]>;

  /**
   * Takes up a task and follows it to the result of its call.
   *
   * @throws {EdgewiseError} as `callTool`; with `rpcCode` -32602 when the server does not know the task any more.
   */
  resumeTask(taskId: string, options?: Omit<CallOptions, "meta">): Promise<McpToolResult>;

  /** What the server says of a task now. @throws {EdgewiseError} with `rpcCode` -32602 when it does not know it. */
  getTask(taskId: string, options?: CallOptions): Promise<TaskState>;

  /** Cancels a task and forgets it. The server may finish it nevertheless. */
  cancelTask(taskId: string, options?: { signal?: AbortSignal }): Promise<void>;

  /** Reads a resource. @throws {EdgewiseError} when there is none (`rpcCode` -32602, or -32002 of older servers). */
  readResource(uri: string, options?: CallOptions & { cache?: CacheMode }): Promise<ReadResourceResult>;

  /** Gets a prompt, filled in with its arguments. @throws {EdgewiseError} when there is none. */
  getPrompt(name: string, args?: { [name: string]: string }, options?: CallOptions): Promise<GetPromptResult>;

  /**
   * Asks how an argument of a prompt or a resource template may be completed.
   *
   * @param options `context.arguments`: arguments that are chosen already.
   */
  complete(
    ref: CompletionReference,
    argument: { name: string; value: string },
    options?: CallOptions & { context?: { arguments: { [name: string]: string } } },
  ): Promise<CompleteResult>;

  /**
   * Tells of changes on the server, in both eras; begins when it is iterated, and ends when the iteration is left, at
   * `signal`, or with `close()`.
   *
   * First comes `watching`, with as much of the filter as the server honours. The stream behind it is shared by all
   * watches, also by those of the origin's other tabs with the same credentials, and is opened again when it ends or its tab
   * does, without storming the server; then comes `gap`: list and read anew what matters, since what was missed is not told
   * later.
   *
   * @throws {EdgewiseError} `config` for a filter that names nothing; while iterated: why the server cannot be used or
   * refuses to be listened to.
   */
  watch(filter: WatchFilter, options?: { signal?: AbortSignal }): AsyncIterableIterator<Change>;

  /**
   * Takes the definition of a tool that `listTools` found changed (see `info().changedTools` and the option `trust`) for
   * approved. A client never holds a call back: what to do about a change is up to its app.
   *
   * @throws {EdgewiseError} `misuse` for a tool that was not listed.
   */
  acceptTool(name: string): Promise<void>;

  /**
   * Says from which level on the server is to log.
   *
   * @throws {EdgewiseError} `misuse` without the option `onLog`.
   */
  setLogLevel(level: LogLevel, options?: { signal?: AbortSignal }): Promise<void>;

  /** Asks for a sign of life: `ping`, or `server/discover` where the revision has no ping. */
  ping(options?: ListOptions): Promise<void>;

  /**
   * Sends a request of any method and gives its result. `_meta` in `params` is merged with `options.meta`. Lists give
   * one page.
   *
   * @throws {EdgewiseError} the server's own error has its code in `rpcCode`.
   */
  request<Result = { [name: string]: Json }>(
    method: string,
    params?: { [name: string]: unknown },
    options?: CallOptions,
  ): Promise<Result>;

  /**
   * Ends the connection (the session of a legacy server too) and every request. Again does nothing.
   *
   * With `onInput`, `onSampling`, `roots` or `onLog`, the stream of a legacy server's session is open until then, since it may
   * ask and log at any time; an open stream keeps a Node process alive.
   */
  close(): Promise<void>;
}

/** What a client is told of its server. */
export type McpClientOptions = (Omit<ServerOptions, "name"> | Omit<TransportServerOptions, "name">) & {
  /** What messages call the server: 1 to 64 letters, digits, `_` or `-`. Default: the host of `url`, or `server`. */
  name?: string;
  /**
   * Keeps lists and resources as long as they are fresh, as an agent does, and where what is known of the server is kept.
   * Default: false; nothing is cached, and what is known of the server is kept as by an agent.
   */
  cache?: boolean | Pick<CacheOptions, "store">;
};

/** How a list is to be asked for. */
export interface ListOptions {
  signal?: AbortSignal;
  /** Where the client caches, see its option `cache`. */
  cache?: CacheMode;
  /** Longest silence within one request, in milliseconds. Default: the server's `timeoutMs`. */
  timeoutMs?: number;
  /** Further members of `_meta`, such as `traceparent`. */
  meta?: { [name: string]: Json };
}

/** How a request is to be made. */
export interface CallOptions extends Omit<ListOptions, "cache"> {
  /** Told how far the server is. If it throws, the request is cancelled and rejects with what was thrown. */
  onProgress?(progress: Progress): void;
}

/** A task that is remembered. */
export interface RememberedTask {
  taskId: string;
  /** Name of the tool that was called, on its server. */
  tool: string;
  /** When, in milliseconds since 1970. */
  startedAt: number;
}

/** What a server says of a task. Servers of 2025-11-25 say `ttl` and `pollInterval` instead. */
export interface TaskState {
  taskId: string;
  status: "working" | "input_required" | "completed" | "failed" | "cancelled";
  statusMessage?: string;
  createdAt: string;
  lastUpdatedAt: string;
  /** How long it is kept, in milliseconds from its creation; null for as long as it takes. */
  ttlMs?: number | null;
  pollIntervalMs?: number;
  /** The result of the call, once completed; not from servers of 2025-11-25. */
  result?: McpToolResult;
  [member: string]: unknown;
}

/** A list with all its pages. */
export type Listed<Key extends string, Element> = { [key in Key]: Element[] } & {
  /** How long it may be taken as fresh, in milliseconds: the least over the pages. Only servers of the modern era say. */
  ttlMs?: number;
  /** `"private"` if one of the pages is: not to be shown to another user. Only servers of the modern era say. */
  cacheScope?: "public" | "private";
};

/** A tool as its server describes it. */
export interface Tool {
  name: string;
  title?: string;
  description?: string;
  inputSchema: JsonSchema;
  outputSchema?: JsonSchema;
  annotations?: ToolAnnotations;
  [member: string]: unknown;
}

/** A resource as its server describes it. */
export interface Resource {
  uri: string;
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  /** In bytes. */
  size?: number;
  [member: string]: unknown;
}

/** A family of resources as its server describes it. */
export interface ResourceTemplate {
  /** As in RFC 6570. */
  uriTemplate: string;
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  [member: string]: unknown;
}

/** A prompt as its server describes it. */
export interface Prompt {
  name: string;
  title?: string;
  description?: string;
  arguments?: { name: string; title?: string; description?: string; required?: boolean }[];
  [member: string]: unknown;
}

/** What a tool gave, as its server sent it. */
export interface McpToolResult {
  /** Missing only where there is `structuredContent`. */
  content: ToolContent[];
  structuredContent?: Json;
  /** The tool says that it failed. */
  isError?: boolean;
  [member: string]: unknown;
}

/** What a resource holds. */
export interface ReadResourceResult {
  contents: { uri: string; mimeType?: string; text?: string; blob?: string; [member: string]: unknown }[];
  /** How long it may be taken as fresh, in milliseconds. Only servers of the modern era say. */
  ttlMs?: number;
  cacheScope?: "public" | "private";
  /** The server was not asked for this: how long ago it gave it, and whether that is longer than it should be. */
  cached?: { ageMs: number; stale: boolean };
  [member: string]: unknown;
}

/** A prompt, filled in. */
export interface GetPromptResult {
  description?: string;
  messages: { role: "user" | "assistant"; content: ToolContent }[];
  [member: string]: unknown;
}

/** What is to be completed: an argument of a prompt, or of a resource template. */
export type CompletionReference = { type: "ref/prompt"; name: string } | { type: "ref/resource"; uri: string };

/** How an argument may be completed. */
export interface CompleteResult {
  completion: { values: string[]; total?: number; hasMore?: boolean };
  [member: string]: unknown;
}

/** Something that goes with a prompt; `data` is base64. */
export type Attachment =
  | { type: "image"; data: string; mimeType: string }
  | { type: "audio"; data: string; mimeType: string }
  | { type: "text"; text: string };

/** What one run is told beyond its agent's options. */
export interface RunOptions {
  /** Cancels the run. */
  signal?: AbortSignal;
  /** Most turns for the prompt and for each follow-up. Default: the agent's. */
  maxTurns?: number;
  /** Images and recordings that go with the prompt, for models that see or hear. Default: none. */
  attachments?: Attachment[];
  /**
   * JSON Schema that the final answer has to satisfy: the model is told, its provider holds it to the schema where it can (the
   * schema of an object; best with `additionalProperties: false` and every property required), the answer is checked, and if
   * need be the model is told once what is wrong. The answer is `result.output` and `done.output`; without one the run ends with an error, or, where it pursues a goal, with
   * how that ended.
   */
  output?: JsonSchema;
  /**
   * `"goal"`: the prompt is a goal. The run goes on until the model says that it is met or cannot be met, or until the last
   * turn, in which it says what is left; `goal` tells how it ended. Default: `"chat"`, a run that ends with the first answer
   * that calls no tool.
   */
  mode?: "chat" | "goal";
  /** History to go on from, as `done.messages` of an earlier run gave it. Default: none. */
  messages?: Message[];
  /**
   * Whoever reads the events cannot answer: a call that would need an approval is denied at once, and what a server asks of
   * the user is cancelled unless there is an `onInput`. Default: false;
   * a run whose events nobody reads is unattended in any case.
   */
  unattended?: boolean;
  /**
   * What every MCP request of the run's tool calls carries in `_meta` besides, such as `traceparent`, `tracestate` and
   * `baggage` (W3C Trace Context). Members that the client sets itself are refused. With `onSpan`, the `traceparent` that
   * is sent names the span of the call.
   */
  meta?: { [name: string]: Json };
}

/**
 * One run.
 *
 * Its events are read once, by a loop or by `toResponse()`. The loop never throws; exactly one terminal event (`done` or
 * `error`) comes, and it is last. Leaving the loop cancels the run.
 */
export class Run implements AsyncIterable<AgentEvent> {
  private constructor();

  /**
   * The end of the run. Needs no loop. Rejects with the error of the `error` event; a rejection counts as unhandled only
   * if you have asked for this. Where nobody has begun to read the events by then, no more than the last 256 KiB of them are
   * kept.
   */
  readonly result: Promise<RunResult>;

  /**
   * Lets a call go ahead.
   *
   * @param options `remember`: calls that are alike are not asked for any more, and those that wait already are let go (event
   * `approved`). `"run"`: all of this tool, in this run.
   * `"always"`: those with the same arguments, also in other runs; kept in the store until `agent.forgetApprovals()`. A tool
   * whose definition changes is asked for again, and so is a call that may take private data out, unless those data were what
   * this approval was about, in this run.
   * @throws {EdgewiseError} `misuse` when no call of that id waits for an approval.
   */
  approve(id: string, options?: { remember?: "run" | "always" }): void;

  /** Refuses a call; the model is told why. @throws {EdgewiseError} `misuse` when no call of that id waits for one. */
  deny(id: string, why?: string): void;

  /**
   * Answers an `input_request`.
   *
   * @throws {EdgewiseError} `misuse` when nothing of that id is asked; `config`, with the path below `value`, when the answer
   * does not fit the form. It can then be given again.
   */
  answer(id: string, value: InputAnswer): void;

  /**
   * Says something while the run is under way: it joins the conversation when the turn has ended, before the model is asked
   * again, with the event `steered`. A model that would have been done goes on. What has not joined when the run is cancelled
   * or fails is lost.
   *
   * @throws {EdgewiseError} `misuse` when the run has ended.
   */
  steer(text: string): void;

  /**
   * The same, but it waits until the model has no more to say. Each follow-up is answered before the next one joins, and has
   * `maxTurns` turns of its own. What no `steered` event tells of was not heard, since the run was cancelled or failed.
   */
  followUp(text: string): void;

  /**
   * Has the run put away as soon as all that is left of it waits for approvals: its last event is `suspended` then, and the callback
   * is given the same. `agent.resume` goes on with it, here, in another tab, or in a Worker. To be called right after the run was
   * started, unless the agent has `journal`. Such a run needs no reader that could approve.
   *
   * @throws {EdgewiseError} `misuse` when the run has begun and is not recorded.
   */
  onSuspend(callback: (suspended: Suspended) => void): void;

  /**
   * The log of the run, once it has ended: lines of JSON, with prompt, answers and results, without keys. Undefined before, and for
   * a run that is not recorded: it is with the option `journal`, and after `onSuspend`.
   */
  readonly log: string | undefined;

  /** Cancels: the run ends with an `error` event of code `cancelled`. Again, or after the end, does nothing. */
  cancel(): void;

  /**
   * The events as an answer of type `text/event-stream`, each as `data: {json}` and a blank line, not stored by caches.
   * Its reader sets the pace; when the reader goes away, the run is cancelled. After 5 s of silence comes a comment, which
   * readers of event streams skip.
   *
   * @param init Status and further headers.
   */
  toResponse(init?: ResponseInit): Response;

  /** @throws {EdgewiseError} `misuse` when the events are being read already. */
  [Symbol.asyncIterator](): AsyncIterator<AgentEvent, undefined>;
}

/** A value in which `{ $from }` objects, and `{{step.path}}` in strings, stand for what steps gave. */
export type PlanValue = Json;

/**
 * Where a value comes from: the result of a step, and a JSON Pointer into it. The result is the tool's structured content, else
 * its text, read where it is JSON; `/content/0/text` and `/structuredContent` lead into the whole result. Within `forEach` and
 * `filter`, `"item"` and `"index"` stand for the element.
 */
export interface PlanReference {
  $from: string;
  path?: string;
  /** Stands in when the step was skipped, or the path leads nowhere. */
  default?: Json;
}

/**
 * A condition: a value that has to be something (not null, false, 0 or empty), one comparison, or several of them. What is missing
 * counts as null. In `filter`, `path` looks into the element.
 */
export type PlanCondition =
  | PlanReference
  | string
  | boolean
  | {
      value?: PlanValue | PlanReference;
      path?: string;
      equals?: Json;
      notEquals?: Json;
      in?: Json;
      contains?: Json;
      gt?: Json;
      gte?: Json;
      lt?: Json;
      lte?: Json;
      exists?: boolean;
    }
  | { all: PlanCondition[] }
  | { any: PlanCondition[] }
  | { not: PlanCondition };

/** One call of a plan, or one for each element of an array. */
export interface PlanStep {
  /** 1 to 64 letters, digits, `_` or `-`; unique in the plan. */
  id: string;
  /** Name of the tool, as `tools()` or the model has it. */
  tool: string;
  /** Its arguments, with references anywhere. Default: none. */
  input?: { [name: string]: unknown };
  /** Steps to wait for besides those that are referred to. */
  dependsOn?: string[];
  /** An array, or a reference to one: the step is done for each element, at most 1,000, and gives the array of results. */
  forEach?: PlanReference | string | Json[];
  /** The step is skipped where this does not hold, and with it the steps that refer to it without a `default`. */
  when?: PlanCondition;
  /** The part of the result that goes on: a JSON Pointer, and members of each element by name. */
  select?: string | { path?: string; fields?: string[] | { [name: string]: string } };
  /** Which elements of the result go on. */
  filter?: PlanCondition;
  /** How many elements go on; negative: from the end. */
  take?: number;
  /** How often it is tried, for tools that only read or are idempotent. Default: once; the wait of 500 ms doubles each time. */
  retry?: number | { attempts: number; delayMs?: number };
  /** What a failure means: the plan fails (the default), the step counts as skipped, or a value stands in. */
  onError?: "fail" | "skip" | { default: Json };
}

/**
 * Tool calls as data. A step waits for those that it refers to, or names in `dependsOn`; what does not wait runs at once. Each
 * call is approved like one of a model.
 */
export interface Plan {
  /** At most 200. */
  steps: PlanStep[];
  /** What the plan gives, with references. Default: the results of the steps that no other waits for. */
  return?: unknown;
}

/** A step of a plan that is over. */
export interface PlanRow {
  id: string;
  tool: string;
  /** `defaulted`: failed, and its default stands in. `not_run`: the plan had failed before. */
  state: "ok" | "failed" | "skipped" | "defaulted" | "not_run";
  calls: number;
  durationMs: number;
  reason?: string;
}

/** What a plan gave. */
export interface PlanResult extends RunResult {
  /** False when a step failed that may not fail; `text` says which, and what was done before. */
  ok: boolean;
  value: Json;
  steps: PlanRow[];
}

/** A run of a plan; its events are those of a run of one turn. */
export interface PlanRun extends Run {
  /** Rejects with `config`, which lists every mistake, when the plan cannot be run; then nothing was called. */
  readonly result: Promise<PlanResult>;
}

/** What a plan would do. */
export interface PlanPreview {
  /** False when there are problems; then it cannot be run. */
  ok: boolean;
  /** Every mistake, for people and models. */
  problems: string[];
  /** Ids of the steps that can run at once, wave by wave. */
  waves: string[][];
  steps: {
    id: string;
    tool: string;
    server?: string;
    dependsOn: string[];
    /** Why the user would be asked. */
    approval?: string;
    forEach?: true;
    when?: true;
    /** Its arguments, where they refer to nothing. */
    input?: { [name: string]: Json };
  }[];
}

/** The end of a run. */
export interface RunResult {
  /** Text of the last answer. */
  text: string;
  /** The answer as data, where the run was given `output`. */
  output?: Json;
  /**
   * The whole history, the prompt included; hand it to the next run to go on. In a conversation only the messages of this run:
   * the conversation has the others.
   */
  messages: Message[];
  /** Tokens of all turns. */
  usage: Usage;
  /** How the goal ended; only with `mode: "goal"`. */
  goal?: GoalEnd;
  /** Set when the run was put away instead of ending, see `onSuspend`. */
  snapshot?: string;
  /** The calls that wait, when it was put away. */
  waitingFor?: Suspended["waitingFor"];
}

/** How a run with `mode: "goal"` ended, in the model's words. */
export interface GoalEnd {
  /** The model says that the goal is met. */
  met: boolean;
  /** What was done. */
  summary?: string;
  /** What is left to do. */
  left?: string;
}

/**
 * What a run tells, as plain data (it can be cloned, stored, sent). Ignore types that you do not know.
 *
 * Between a `tool_call` and the end of its turn there is exactly one `tool_result` with its id. Calls begin while the answer that
 * asks for them still comes, so that `text_delta`s and further calls may follow a `tool_result` of the same turn. The `text_delta`s of a turn
 * join to the text of its `turn_end.message`.
 */
export type AgentEvent =
  /** The run begins. */
  | { type: "run_start"; runId: string; resumed?: true }
  /** A server's state changed while the run was looking for tools. */
  | { type: "server_status"; server: string; state: ServerState; reason?: ErrorInfo }
  /**
   * The definition of a tool is not the one that was seen first or approved; see the option `trust`. `parts`: which parts
   * differ.
   */
  | { type: "tool_changed"; server: string; name: string; parts: ToolPart[]; needsApproval: boolean }
  /** A part of what a server offers had to be left out, such as a tool with an invalid schema. */
  | { type: "warning"; server: string; message: string }
  /** The model is about to be asked; turns count from 1. */
  /** What was put before the model besides the prompt; only with the option `context`, where a server has resources. */
  | { type: "context"; sources: ContextSource[]; tokens: number; dropped: DroppedContext[]; omitted: number; meaning: boolean; meaningError?: string; reason?: ErrorInfo }
  /** A source has changed while the run goes on, or since the last run of its conversation. The model is shown it before its next turn. */
  | ContextChanged
  | { type: "turn_start"; turn: number }
  /** More of the answer; only the new part. */
  | { type: "text_delta"; text: string }
  /** More of the model's reasoning; only the new part. */
  | { type: "thinking_delta"; text: string }
  /** The model asks for a tool; once per call, complete. `server` is there for MCP tools. */
  | {
      type: "tool_call";
      id: string;
      name: string;
      server?: string;
      input: { [name: string]: Json };
      /** The call of `run_plan` whose plan asks for it, and the step; the model itself sees neither the call nor its result. */
      callId?: string;
      step?: string;
    }
  /** A step of a plan has another state; `callId` is the call of `run_plan`. `items`: how many elements `forEach` has. */
  | {
      type: "plan_step";
      id: string;
      callId: string;
      state: "running" | "retrying" | "ok" | "failed" | "skipped" | "defaulted";
      items?: number;
      attempt?: number;
      reason?: string;
    }
  /** The call waits for `approve(id)` or `deny(id, why)`. */
  | { type: "approval_request"; id: string; name: string; input: { [name: string]: Json }; reason: string }
  /** A call that waited waits no longer: one like it was allowed with `remember`. */
  | { type: "approved"; id: string }
  /**
   * The server made a task of the call: it may take long, and is polled until it is done. `resumeTask(server, taskId)` takes
   * it up after a reload; cancelling the run cancels it.
   */
  | { type: "tool_task"; id: string; server: string; taskId: string }
  /**
   * The server of the call `callId` wants something of the user; the call waits for `answer(id, value)`. Only where no
   * `onInput` is given, and only while somebody reads the events who can answer; else the request is cancelled.
   */
  | ({ type: "input_request"; id: string; callId: string } & InputRequest)
  /** A tool that is still at work says how far it is. */
  | ({ type: "tool_progress"; id: string } & Progress)
  /** The call ended; once per call. */
  | {
      type: "tool_result";
      id: string;
      content: ToolContent[];
      structuredContent?: Json;
      /** The model is told that it failed. */
      isError: boolean;
      /**
       * `cached`: the tool was not called; it gave this to an equal call before. `unknown`: the call was sent, no answer came,
       * and it may have been executed.
       */
      outcome: "ok" | "cached" | "failed" | "unknown" | "denied" | "cancelled";
      /** From start to end, in milliseconds; 0 for calls that never started. */
      durationMs: number;
      /**
       * Set where the result was longer than `limits.maxResultTokens`: `content` tells of it only, as the model was told, and
       * `agent.readResult(handle)` gives all of it.
       */
      handle?: string;
      /** How long ago the tool gave it, in milliseconds; only where it was cached. */
      ageMs?: number;
      /** It is older than it should be, and was taken because the server could not be reached; only where it was cached. */
      stale?: boolean;
    }
  /**
   * A model call, or the tool call of that `id`, is made again: `attempt` counts from 2, the wait before it is `delayMs`
   * milliseconds. `model` is the one that is asked, where there are `fallbacks`.
   * An answer that broke off is gone on with: what was shown stays, and is not shown again.
   */
  | { type: "retry"; of: "model" | "tool"; id?: string; model?: string; attempt: number; delayMs: number; code: Code }
  /** The model's answer is complete and its tools have answered. */
  | { type: "turn_end"; stopReason: StopReason; usage: Usage; message: Message }
  /** What the user said with `steer` or `followUp` has joined the conversation; between two turns. */
  | { type: "steered"; text: string }
  /**
   * The history outgrew the model's `contextWindow`: from now on the model is shown less of it. First of the oldest
   * results only the beginning and the end, under a handle by which the model reads on (`read_result`) and
   * `agent.readResult` gives all, and of the oldest context nothing; of new context the best sources, as far as there is room; if
   * that is not enough, the model sums up what was said. `results` counts results and blocks of context. `messages` still has
   * all of it, with a message that says what is shown. Tokens are about, by what the provider counted so far. At the beginning of
   * a turn.
   */
  | { type: "compacted"; tokensBefore: number; tokensAfter: number; results: number; summary?: string }
  /** The run ended well. Terminal. */
  | {
      type: "done";
      runId: string;
      text: string;
      output?: Json;
      messages: Message[];
      usage: Usage;
      /** After `runPlan`. */
      plan?: { ok: boolean; value: Json; steps: PlanRow[] };
      /** With `mode: "goal"`. */
      goal?: GoalEnd;
    }
  /**
   * The run waits for approvals alone and was put away, see `onSuspend`. Terminal. `messages` is the history of the turns that are
   * over.
   */
  | ({ type: "suspended"; messages: Message[]; usage: Usage } & Suspended)
  /** The run cannot go on. Terminal. `messages` is the history so far. */
  | { type: "error"; runId: string; error: ErrorInfo; messages: Message[]; usage: Usage };

/** Why the model stopped. */
export type StopReason = "end_turn" | "tool_use" | "max_tokens" | "stop_sequence" | "refusal" | "pause_turn" | "other";

/** Tokens, as far as the provider says. */
export interface Usage {
  /** Of the request, with those read from or written to the prompt cache. */
  inputTokens: number;
  /** Of the answer, with reasoning. */
  outputTokens: number;
  /** Part of the input that was read from the provider's prompt cache. */
  cacheReadTokens: number;
  /** Part of the input that was written to the provider's prompt cache. */
  cacheWriteTokens: number;
  /** Part of the output that was reasoning. */
  reasoningTokens: number;
  /** What they cost, where the model was given `prices`. */
  cost?: number;
}

/** One message of a conversation. */
export interface Message {
  role: "user" | "assistant";
  content: Block[];
}

/** A part of a message. */
export type Block =
  | { type: "text"; text: string }
  | { type: "image"; data: string; mimeType: string }
  | { type: "audio"; data: string; mimeType: string }
  | { type: "thinking"; text: string; signature?: string }
  /** Reasoning that the provider shows to nobody, handed back as it came. */
  | { type: "redacted_thinking"; data: string }
  /** `name` is the wire name that the model used, not `server.tool`. */
  | { type: "tool_use"; id: string; name: string; input: { [name: string]: Json }; invalidInput?: string }
  | { type: "tool_result"; toolUseId: string; content: ToolContent[]; isError: boolean }
  /**
   * Nothing that was said: what the model is shown of the messages before. `summary` stands for all but the last `keeps` of them,
   * `results` has texts for results by the id of their call. Alone in a message; hand it back with the others.
   */
  | { type: "compaction"; keeps: number; summary?: string; results: { [toolUseId: string]: string } }
  /**
   * Nothing that was said: tools that the model is offered from this prompt on, by their wire names, where not all are
   * (`limits.maxToolTokens`). `anew`: in place of those before; else behind them. Hand it back with the others, so that the provider's
   * cache holds.
   */
  | { type: "tools"; names: string[]; anew: boolean };

/** A content block of a tool result, in MCP's shape; further fields as the server sent them. */
export type ToolContent =
  | { type: "text"; text: string; [field: string]: unknown }
  | { type: "image" | "audio"; data: string; mimeType: string; [field: string]: unknown }
  | { type: "resource"; resource: { uri: string; mimeType?: string; text?: string; blob?: string }; [field: string]: unknown }
  | { type: "resource_link"; uri: string; name: string; [field: string]: unknown };

/** What a tool gave. */
export interface CallToolResult {
  content: ToolContent[];
  structuredContent?: Json;
  /** The tool says that it failed. */
  isError: boolean;
  _meta?: { [name: string]: Json };
  /** The tool was not called for this: how long ago it gave it, and whether that is longer than it should be. */
  cached?: { ageMs: number; stale: boolean };
}

/**
 * How what is cached is used, as in `fetch`: `reload` asks the server and keeps its answer, `only-if-cached` never asks it,
 * `no-store` neither looks nor keeps. Default: what is fresh is taken, see the option `cache` of the agent.
 */
export type CacheMode = "default" | "reload" | "only-if-cached" | "no-store";

/** How an agent is to ask for a list. */
export interface CachedListOptions {
  signal?: AbortSignal;
  cache?: CacheMode;
}

/** What an agent adds to the elements of a list. */
export interface OfServer {
  /** Name of the server. */
  server: string;
  /** The list is older than it should be; only then. */
  stale?: true;
}

/**
 * What an agent keeps of what servers answer. Each page of a list and each resource is fresh as long as its server says and
 * tells of no change, results of tools as long as their server says (`ttlMs`), else `ttlMs`. Of tools, those are cached that
 * only read or may be called twice without harm, and do not reach beyond their server; what a principal got is given to no
 * other. What is over is kept for a week, for when the server cannot be reached.
 */
export interface CacheOptions {
  /**
   * Where everything is kept that outlives a run. Default `"auto"`: IndexedDB where there is one, which the tabs of an origin
   * share, else memory of the agent. In a Durable Object, give its storage (`ctx.storage`).
   */
  store?: "auto" | "indexeddb" | "memory" | Store | DurableStorage;
  /** How long a tool's result is fresh where its server does not say, in milliseconds. Default: 60,000. */
  ttlMs?: number;
  /**
   * By the name of the tool, as `tools()` gives it: whether its results are cached, also where its annotations would forbid or
   * allow it, and how long. A tool that writes makes what its server's tools gave worthless, unless `invalidates` is false; that
   * alone leaves it to the annotations whether it is cached itself. Where nobody saw the end of such a call, the server may still
   * carry it out: what its tools give in the next five minutes is not taken as fresh.
   */
  tools?: { [name: string]: boolean | { ttlMs?: number; invalidates?: boolean } };
}

/** A place for records of the app's own: bytes by key. */
export interface Store {
  /** The records of these keys, in their order. */
  read(keys: string[]): Promise<(Uint8Array | undefined)[]>;
  /** Keys and records of all whose key begins so. */
  list(prefix: string): Promise<[key: string, record: Uint8Array][]>;
  /**
   * Changes records in this order, all or nothing: sets the record of a key, or removes it, or removes all whose key begins
   * with a prefix. An error of the name `QuotaExceededError` says that there is no room: the least recently used goes then.
   */
  write(changes: StoreChange[]): Promise<void>;
}

/** A change of a `Store`. */
export type StoreChange = { key: string; value?: Uint8Array } | { prefix: string };

/** The storage of a Durable Object, as far as it is used. */
export interface DurableStorage {
  get(key: string): Promise<unknown>;
  put(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<boolean>;
  list(options?: { prefix?: string }): Promise<Map<string, unknown>>;
  transaction<T>(closure: (transaction: any) => Promise<T>): Promise<T>;
}

/** A kind of things that are kept. */
export type StorageSpace = "servers" | "cache" | "handles" | "conversations" | "journal" | "embeddings" | "index";

/** What is meant of all that is kept: some kinds, or one conversation by its id. Default: everything. */
export type StorageChoice = { spaces?: StorageSpace[] } | { conversation: string };

/** How much is kept. */
export interface StorageSizes {
  /** Where it is. */
  store: "indexeddb" | "memory" | "durable-object" | "app";
  /** Why it is in memory, where that was not asked for. */
  fallback?: string;
  entries: number;
  bytes: number;
  /** The same of each kind. */
  spaces: { [space in StorageSpace]: { entries: number; bytes: number } };
  /** The same of each conversation. */
  conversations: { id: string; entries: number; bytes: number }[];
}

/** What is cached, and what came of it. */
export interface CacheStats {
  /** Where it is. */
  store: "indexeddb" | "memory" | "durable-object" | "app";
  /** Why it is in memory, where that was not asked for. */
  fallback?: string;
  /** Answers that are kept now, of all servers that any agent has asked. */
  entries: number;
  /** Bytes of them. */
  bytes: number;
  /** Calls that were answered by what was kept. */
  hits: number;
  /** Calls that were answered by the server and might have been by what was kept. */
  misses: number;
  /** Calls that were answered by what was over, since the server could not be reached or was not to be asked. */
  stale: number;
  /** Values that went because there was no room. */
  evictions: number;
  /** Records that were found broken and dropped. */
  broken: number;
  /** The same for each server of this agent. */
  servers: { server: string; entries: number; bytes: number; hits: number; misses: number; stale: number; evictions: number }[];
}

/** A notice that a call is still going on. */
export interface Progress {
  /** Grows with every notice. */
  progress: number;
  /** How far it has to go, when known. */
  total?: number;
  /** For people. */
  message?: string;
}

/** A part of a tool's definition; `description` stands for name and title too. */
export type ToolPart = "description" | "inputSchema" | "outputSchema" | "annotations";

/** What an MCP server is doing. `auth_required`: a user has to sign in at `error.authorizationUrl`. */
export type ServerState = "idle" | "connecting" | "ready" | "failed" | "auth_required" | "closed";

/** What is known of an MCP server. */
export interface ServerInfo {
  name: string;
  /** Missing where a transport stands in its place. */
  url?: string;
  state: ServerState;
  /** Which family of protocol revisions it speaks, once known. */
  era?: "modern" | "legacy";
  protocolVersion?: string;
  /** How it calls itself. */
  serverInfo?: { name: string; version: string; title?: string };
  /** What it tells the model about its use. */
  instructions?: string;
  /** What it declared it can do. */
  capabilities?: { [name: string]: Json };
  /** How many usable tools the last listing gave. */
  tools: number;
  /** What is odd about its answers: tools that were left out, characters that nobody sees in what describes them. */
  warnings?: string[];
  /** Tools whose definition is not the one that was seen first or approved; `acceptTool` approves. */
  changedTools?: { name: string; parts: ToolPart[]; needsApproval: boolean }[];
  /** Why it failed, or the last list that an agent asked for. */
  error?: ErrorInfo;
}

/** A tool that an agent may use. */
export interface ToolInfo {
  /** `server.tool`, or the name of the app's tool. */
  name: string;
  server?: string;
  title?: string;
  description: string;
  inputSchema: JsonSchema;
  outputSchema?: JsonSchema;
  annotations: { readOnly: boolean; destructive: boolean; idempotent: boolean; openWorld: boolean };
  /**
   * Why a run would ask for a call of it by the option `approval`, or since its definition has changed. Without it a call is made
   * at once, as long as the conversation holds no private data.
   */
  asks?: string;
  /** What it gives is private, or may be: its server has the label, or `privateResources`. */
  private?: true;
}

/** A tool as the Anthropic API takes it. */
export interface AnthropicTool {
  name: string;
  description?: string;
  input_schema: JsonSchema;
}

/** A tool as the OpenAI Chat Completions API takes it. */
export interface OpenAiTool {
  type: "function";
  function: { name: string; description?: string; parameters: JsonSchema };
}
