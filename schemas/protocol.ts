// The types of modeld's protocol. Generated from the daemon's own by `modeld schema`; changes belong there.
/* eslint-disable */

/** Sound. */
export interface AudioBlock {
  type: "audio";
  source: Source;
  media_type?: string | null;
  filename?: string | null;
  detail?: string | null;
}

/** A provider or model became available, degraded, unavailable or is being probed. */
export interface AvailabilityChanged {
  type: "availability.changed";
  provider: string;
  state: string;
  model?: string | null;
  previous?: string | null;
  reason?: string | null;
}

/** The bytes themselves, in base64. */
export interface Base64Source {
  kind: "base64";
  data: string;
}

export type Block = TextBlock | JsonBlock | RefusalBlock | ThinkingBlock | RedactedThinkingBlock | OpaqueBlock | ImageBlock | AudioBlock | FileBlock | ToolUseBlock | ToolResultBlock;

/**
 * Prompt caching. `auto`: markers on tools and system; `explicit`: also where a message asks for one
 * (`metadata: {"cache": true}`); `off`: none.
 */
export interface Cache {
  mode?: "auto" | "explicit" | "off";
  ttl?: "1h" | "5m" | null;
  key?: string | null;
}

/** What to keep ready at the provider, and how long in seconds. */
export interface CacheCreateParams {
  provider: string;
  model: string;
  messages?: Array<Message>;
  system_prompt?: string | null;
  tools?: Array<Tool>;
  ttl_seconds?: number | null;
}

/** The cache to delete. */
export interface CacheDeleteParams {
  provider: string;
  cache_id: string;
}

/** Whose caches. */
export interface CacheListParams {
  provider: string;
}

/** The caches. */
export interface CacheListResult {
  caches: Array<ProviderCache>;
}

/**
 * A turn's request did not begin as the session's last one, or its provider had the beginning no longer: `tokens` were not
 * read from the cache, which cost so much more (null where a price is unknown). `part` is the first that differs: `model`,
 * `parameters`, `tools`, `system`, `message` (`message` is its number), or `expired` or `evicted` where nothing does. `path` is
 * that part in the request.
 */
export interface CachePrefixChanged {
  type: "llm.cache_prefix_changed";
  request_id: string;
  provider: string;
  model: string;
  retry_count: number;
  part?: string;
  tokens?: number;
  cost?: number | null;
  currency?: string | null;
  message?: number | null;
  path?: string | null;
  session_id?: string | null;
  turn_id?: string | null;
}

/** An attempt brought a whole answer. */
export interface CallCompleted {
  type: "llm.call_completed";
  request_id: string;
  provider: string;
  model: string;
  retry_count: number;
  usage?: Usage | null;
  stop_reason?: "cancelled" | "content_filter" | "end_turn" | "error" | "max_tokens" | "pause" | "refusal" | "stop_sequence" | "tool_use" | null;
  latency_ms?: number | null;
}

/** An attempt failed; `will_retry` says whether another follows. */
export interface CallFailed {
  type: "llm.call_failed";
  request_id: string;
  provider: string;
  model: string;
  retry_count: number;
  error_class?: string;
  provider_status?: number | null;
  will_retry?: boolean;
  latency_ms?: number | null;
}

/** Another model is called in place of `model`; `why` is the error class of its failure, or `unavailable`. */
export interface CallFallback {
  type: "llm.call_fallback";
  request_id: string;
  provider: string;
  model: string;
  retry_count: number;
  fallback_model?: string;
  why?: string;
}

/** An attempt is about to be sent. */
export interface CallStarted {
  type: "llm.call_started";
  request_id: string;
  provider: string;
  model: string;
  retry_count: number;
  streaming?: boolean;
}

/**
 * The call waits before its key: the provider throttles it, or as many calls as may run with it are running. `ahead` counts
 * those that wait already; `wait_ms` is how long the key is closed, where that is known.
 */
export interface CallWaiting {
  type: "llm.call_waiting";
  request_id: string;
  provider: string;
  model: string;
  retry_count: number;
  ahead?: number;
  wait_ms?: number | null;
}

/** LSP's `$/cancelRequest`. */
export interface CancelParams {
  id: number | string;
}

/**
 * The parameters of `model/complete` and `model/stream`.
 *
 * `model` is an id (`provider:name`), an alias, or a bare name; `provider` is a hint that wins over both.
 * `messages` may be a string, which stands for one user message.
 * `provider_options` is keyed by adapter type; each wire documents and checks its own.
 * `initiator` names the program inside the client for which it calls, such as an editor's extension: the config may allow or
 * refuse it, and the ledger and the budgets know it as the client `client/initiator`.
 */
export interface CanonicalRequest {
  messages: string | Array<Message>;
  model?: string | null;
  provider?: string | null;
  request_id?: string | null;
  system_prompt?: string | null;
  tools?: Array<Tool>;
  tool_choice?: ToolChoice | null;
  response_format?: ResponseFormat | null;
  max_output_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  stop_sequences?: Array<string>;
  thinking?: Thinking | null;
  cache?: Cache | null;
  metadata?: Record<string, unknown> | null;
  provider_options?: Record<string, Record<string, unknown>> | null;
  timeout_seconds?: number | null;
  include_raw?: boolean;
  initiator?: string | null;
}

/** The result of `model/complete` and `model/stream`. `model` is the full id `provider:name`. */
export interface CanonicalResponse {
  request_id: string;
  model: string;
  provider: string;
  content: Array<Block>;
  stop_reason: "cancelled" | "content_filter" | "end_turn" | "error" | "max_tokens" | "pause" | "refusal" | "stop_sequence" | "tool_use";
  usage: Usage;
  cost: Cost | null;
  metrics: Metrics;
  warnings: Array<Warning>;
  message_id?: string | null;
  stop_sequence?: string | null;
  served_model?: string | null;
  raw_provider_response?: unknown;
}

/**
 * What a model can do through modeld, honestly: what is declared works; what isn't is refused with `capability_mismatch`
 * before anything is sent. An empty list says that nothing narrower than its flag is known.
 *
 * Of what only tunes an answer nothing is refused: where `sampling` is false, or `prompt_cache` is none, the parameters are left
 * out with a `parameter_ignored` warning; an effort that is not in `efforts` becomes the nearest one that is.
 */
export interface Capabilities {
  streaming?: boolean;
  system_prompt?: boolean;
  tools?: boolean;
  parallel_tools?: boolean;
  forced_tool_choice?: boolean;
  tool_choices?: Array<string>;
  tool_result_media?: boolean;
  thinking?: boolean;
  thinking_off?: boolean;
  thinking_with_tools?: boolean;
  thinking_modes?: Array<string>;
  efforts?: Array<string>;
  structured_output?: boolean;
  structured_output_with_tools?: boolean;
  json_object?: boolean;
  images?: boolean;
  image_media_types?: Array<string>;
  image_sources?: Array<string>;
  audio?: boolean;
  audio_media_types?: Array<string>;
  audio_sources?: Array<string>;
  files?: boolean;
  file_media_types?: Array<string>;
  file_sources?: Array<string>;
  file_ids?: boolean;
  sampling?: boolean;
  stop_sequences?: boolean;
  prompt_cache?: "automatic" | "explicit" | "none";
  count_tokens?: boolean;
  discover?: boolean;
  file_uploads?: boolean;
  explicit_caches?: boolean;
}

/** `text` checks that text instead of the file's content. */
export interface CheckParams {
  file?: string | null;
  text?: string | null;
}

/** `valid` where no problem is an error. */
export interface CheckResult {
  valid: boolean;
  problems: Array<Problem>;
}

/** LSP's clientInfo. */
export interface ClientInfo {
  name: string;
  version?: string | null;
}

/** The params of `config/changed`: `applied` is false where the file is wrong and the last good config stays. */
export interface ConfigChanged {
  applied: boolean;
  version: number;
  problems: Array<Problem>;
}

/** The effective config, redacted: a key shows as its source, never as its value. */
export interface ConfigGetResult {
  file: string | null;
  version: number;
  config: Record<string, unknown>;
  problems: Array<Problem>;
}

/** Money for one call in `currency`; `cache_savings` is what the cached tokens would have cost more uncached. */
export interface Cost {
  currency: string;
  input_cost: number;
  output_cost: number;
  cache_read_cost: number;
  cache_write_cost: number;
  total_cost: number;
  cache_savings: number;
  source: "catalog" | "configured" | "mixed" | "provider_reported";
  pricing_version: string;
  reasoning_cost?: number | null;
}

/**
 * How the daemon does; `providers` has the availability of each. `queued_calls` wait for a place among their client's own
 * calls, or for their key: `keys` says of those that are in use how many, and why.
 */
export interface DaemonStatus {
  version: string;
  daemon_id: string;
  epoch: string;
  pid: number;
  uptime_seconds: number;
  socket: string | null;
  config_file: string | null;
  config_version: number;
  config_valid: boolean;
  clients: number;
  running_calls: number;
  queued_calls: number;
  calls_total: number;
  rss_bytes: number | null;
  providers: Record<string, string>;
  draining?: boolean;
  sessions?: number;
  keys?: Array<KeyStatus>;
  store?: StoreStatus | null;
}

/** `deleted` is false where there was nothing. */
export interface DeleteResult {
  deleted: boolean;
}

/** A provider that could not be asked. */
export interface DiscoverFailure {
  provider: string;
  error_class: string;
  message: string;
}

/** Which providers to ask; all of them without a list. */
export interface DiscoverParams {
  providers?: Array<string> | null;
  refresh?: boolean;
}

/** What was found, and who failed. */
export interface DiscoverResult {
  models: Array<DiscoveredModel>;
  failures?: Array<DiscoverFailure>;
}

/** A model that a provider says it has; `configured` where this config offers it. */
export interface DiscoveredModel {
  id: string;
  provider: string;
  wire_name: string;
  display_name?: string | null;
  limits?: ModelLimits | null;
  configured?: boolean;
}

/** Parameters of a method that takes none; unknown fields are ignored. */
export interface Empty {
}

/** `data` of -32803 (and of -32800 for a cancelled call): every field is present, null where unknown. */
export interface ErrorData {
  error_class: "auth" | "cancelled" | "capability_mismatch" | "content_filter" | "context_overflow" | "invalid_request" | "model_not_found" | "network" | "not_configured" | "other" | "quota_exceeded" | "rate_limit" | "server_error" | "thinking_signature_invalid";
  message: string;
  provider?: string | null;
  model?: string | null;
  provider_status?: number | null;
  provider_message?: string | null;
  retryable?: boolean;
  retry_after_seconds?: number | null;
  request_id?: string | null;
  provider_request_id?: string | null;
  partial?: CanonicalResponse | null;
}

export type Event = MessageStart | TextDelta | ThinkingDelta | ToolUseStart | ToolUseInputDelta | ToolUseEnd | MessageComplete;

/** LSP's place for what isn't LSP. */
export interface ExperimentalCapabilities {
  modeld: ModeldCapabilities;
}

/** A document. */
export interface FileBlock {
  type: "file";
  source: Source;
  media_type?: string | null;
  filename?: string | null;
  detail?: string | null;
}

/** The file to delete. */
export interface FileDeleteParams {
  provider: string;
  file_id: string;
}

/**
 * A file that a provider has, and no other. `provider` is the name of the one that keeps it, as `file/upload` gave it; where
 * it is left out the daemon goes by the ids that it has seen. Never sent on.
 */
export interface FileIdSource {
  kind: "file_id";
  file_id: string;
  provider?: string | null;
}

/** Whose files. */
export interface FileListParams {
  provider: string;
}

/** The files. */
export interface FileListResult {
  files: Array<ProviderFile>;
}

/** A file for a provider; `data` is base64. */
export interface FileUploadParams {
  provider: string;
  filename: string;
  data: string;
  media_type?: string | null;
}

/** A message after which a fork is safe, or with a `reason` why it is not. */
export interface ForkPoint {
  message_id: string;
  reason?: string | null;
}

/** Where a fork is safe and where it is not: never between a tool call and its result. */
export interface ForkPoints {
  fork_points: Array<ForkPoint>;
  unsafe: Array<ForkPoint>;
}

/** The switch to look at. */
export interface HandoffPreviewParams {
  session_id: string;
  model: string;
}

/**
 * What becomes of a history at another model: blocks `kept` as they are, `degraded` to another form, `dropped`; `refused`
 * holds what the model can't take at all, so that a turn on it fails. `cost` is what reading the history costs there without
 * a cache, in `currency`; `stay_cost` what it costs where it is, from that model's cache; null where a price is unknown.
 */
export interface HandoffReport {
  from_model: string | null;
  to_model: string;
  kept: number;
  degraded: Array<Warning>;
  dropped: Array<Warning>;
  input_tokens?: number | null;
  cost?: number | null;
  refused?: Array<Warning>;
  stay_cost?: number | null;
  currency?: string | null;
}

/** An image; `detail` is low, high or auto where the provider knows it. */
export interface ImageBlock {
  type: "image";
  source: Source;
  media_type?: string | null;
  filename?: string | null;
  detail?: string | null;
}

/** LSP's InitializeParams, as far as the daemon reads it; every other LSP field is accepted and ignored. */
export interface InitializeParams {
  capabilities?: Record<string, unknown>;
  processId?: number | null;
  clientInfo?: ClientInfo | null;
  initializationOptions?: unknown;
  trace?: string | null;
  rootUri?: string | null;
}

/** LSP's InitializeResult. */
export interface InitializeResult {
  capabilities: ServerCapabilities;
  serverInfo: ServerInfo;
}

/** A JSON value. */
export interface JsonBlock {
  type: "json";
  value: unknown;
}

/**
 * The calls with one key at one address, of all clients together. `providers` are the adapters that use it; the key itself
 * never shows. `blocked_by` is why calls would wait now: the provider throttles the key until `opens_in_seconds` are over
 * (`throttled`), it did and calls are let in one by one (`recovering`), its budget of requests is used up and refills
 * (`request_budget`), or as many calls run as may (`max_concurrent_calls`). `reason` says it in words.
 */
export interface KeyStatus {
  providers: Array<string>;
  running: number;
  waiting: number;
  waiting_clients: number;
  max_concurrent_calls: number;
  blocked_by?: "max_concurrent_calls" | "recovering" | "request_budget" | "throttled" | null;
  opens_in_seconds?: number | null;
  reason?: string | null;
}

/** The bounds of one connection. */
export interface Limits {
  max_message_bytes: number;
  max_header_bytes: number;
  max_requests_in_flight: number;
}

/** `type` as in LSP: 1 error, 2 warning, 3 info, 4 log. */
export interface LogMessageParams {
  type: number;
  message: string;
}

/** One message. `content` may be given as a string, which stands for one text block. */
export interface Message {
  role: "assistant" | "system" | "tool" | "user";
  content: string | Array<Block>;
  id?: string | null;
  metadata?: Record<string, unknown> | null;
}

/** The one terminal event of a stream. */
export interface MessageComplete {
  type: "message.complete";
  message_id: string;
  stop_reason: "cancelled" | "content_filter" | "end_turn" | "error" | "max_tokens" | "pause" | "refusal" | "stop_sequence" | "tool_use";
  final_content: Array<Block>;
  usage: Usage;
}

/** The first event of a stream. */
export interface MessageStart {
  type: "message.start";
  message_id: string;
  model: string;
  provider: string;
}

/** Times of one call; `attempts` counts from 1. */
export interface Metrics {
  latency_ms: number;
  attempts: number;
  time_to_first_token_ms?: number | null;
  tokens_per_second?: number | null;
  provider_request_id?: string | null;
}

/** One model of `model/list`. `id` is `provider:name`. */
export interface ModelInfo {
  id: string;
  provider: string;
  wire_name: string;
  wire: string;
  aliases: Array<string>;
  tier: string | null;
  can_delegate: boolean;
  capabilities: Capabilities;
  limits: ModelLimits;
  pricing: Pricing | null;
  availability: "available" | "degraded" | "not_configured" | "probing" | "unavailable";
  default?: boolean;
  fallbacks?: Array<string>;
  reason?: string | null;
}

/** Limits in tokens; null where unknown. */
export interface ModelLimits {
  max_context_tokens?: number | null;
  max_output_tokens?: number | null;
  min_cache_tokens?: number | null;
}

/** Every configured model, in config order. */
export interface ModelList {
  models: Array<ModelInfo>;
}

/** What this daemon is and can do. `epoch` changes with every start of the daemon. */
export interface ModeldCapabilities {
  protocol_version: number;
  ir_version: number;
  daemon_id: string;
  epoch: string;
  features: Array<string>;
  limits: Limits;
}

/**
 * What a modeld client says of itself. `env` supplies values for `api_key_env` names that the config already has,
 * for this connection's calls only; it can't name anything else.
 */
export interface ModeldOptions {
  protocol_versions?: Array<number>;
  client_id?: string | null;
  token?: string | null;
  required?: Array<string>;
  trusted?: boolean;
  env?: Record<string, string>;
}

/**
 * A provider's own block without a canonical form (a hosted tool's call or result).
 *
 * Goes back unchanged to the wire that made it, so that a paused turn can be resumed; dropped with a warning elsewhere.
 */
export interface OpaqueBlock {
  type: "opaque";
  provider_raw: Record<string, unknown>;
}

/** Prices that hold for a whole request once its input exceeds `input_tokens`. */
export interface PriceTier {
  input_tokens: number;
  input?: number | null;
  output?: number | null;
  cache_read?: number | null;
  cache_write?: number | null;
}

/** Prices in `currency` per million tokens; null where unknown. `above` holds higher tiers by input size. */
export interface Pricing {
  currency?: string;
  input?: number | null;
  output?: number | null;
  cache_read?: number | null;
  cache_write?: number | null;
  cache_write_1h?: number | null;
  version?: string | null;
  above?: Array<PriceTier>;
}

/** One finding in a config file. Lines and columns count from 1; columns count characters. */
export interface Problem {
  file: string;
  line: number;
  column: number;
  severity: "error" | "warning";
  code: string;
  message: string;
  end_line: number;
  end_column: number;
}

/** LSP's `$/progress`. */
export interface ProgressParams {
  token: number | string;
  value: unknown;
}

/** An explicit prompt cache at a provider. */
export interface ProviderCache {
  cache_id: string;
  provider: string;
  model?: string | null;
  expires_at?: string | null;
  tokens?: number | null;
}

/** A file that a provider keeps. */
export interface ProviderFile {
  file_id: string;
  provider: string;
  filename?: string | null;
  size_bytes?: number | null;
  media_type?: string | null;
}

/**
 * One configured provider: where it is, what it can do, how it does. `capabilities` is the row of the provider;
 * a model may have less. `keys` are those that are in use at the moment, by how calls with them do. Never holds a key.
 */
export interface ProviderInfo {
  name: string;
  type: string;
  wire: string;
  base_url: string;
  availability: "available" | "degraded" | "not_configured" | "probing" | "unavailable";
  capabilities: Capabilities;
  models: Array<string>;
  key_source?: string | null;
  reason?: string | null;
  documentation?: string | null;
  keys?: Array<KeyStatus>;
}

/** Every configured provider. */
export interface ProviderList {
  providers: Array<ProviderInfo>;
}

/** Reasoning that the provider keeps to itself; only `provider_raw` is there. */
export interface RedactedThinkingBlock {
  type: "redacted_thinking";
  provider_raw: Record<string, unknown>;
}

/** The words in which a model declined. */
export interface RefusalBlock {
  type: "refusal";
  text: string;
}

/** `applied` is false where the file is invalid and the last good config stays in force. */
export interface ReloadResult {
  applied: boolean;
  version: number;
  problems: Array<Problem>;
}

/** `json_schema` needs a `schema`. */
export interface ResponseFormat {
  type: "json_object" | "json_schema" | "text";
  name?: string | null;
  schema?: Record<string, unknown> | null;
}

export type ResultBlock = TextBlock | JsonBlock | ImageBlock | AudioBlock | FileBlock;

/** A turn in the middle: its input and what its answer holds so far. Blocks that are still growing are the last one. */
export interface RunningTurn {
  turn_id: string;
  request_id: string;
  model: string;
  input: Array<Message>;
  content: Array<Block>;
  message_id?: string | null;
}

/** LSP's server capabilities; language features appear here where the daemon offers them. */
export interface ServerCapabilities {
  experimental: ExperimentalCapabilities;
  positionEncoding?: string | null;
  textDocumentSync?: unknown;
  hoverProvider?: unknown;
  completionProvider?: unknown;
  codeActionProvider?: unknown;
  definitionProvider?: unknown;
  referencesProvider?: unknown;
  documentSymbolProvider?: unknown;
  renameProvider?: unknown;
}

/** LSP's serverInfo. */
export interface ServerInfo {
  name: string;
  version: string;
}

/**
 * A durable conversation. Keys of `policy` that the daemon reads: `concurrent_turns` (`refuse`, the default, or `queue`),
 * `foreign_reasoning` (`drop`, the default, or `text`: what other models thought goes along in `<thinking>` tags) and
 * `pending_calls` (`close`, the default: a turn without the results of pending tool calls answers them with an error; or
 * `refuse`). `cache_root` is the first session of a line of forks: they share its prompt cache.
 */
export interface Session {
  session_id: string;
  model: string | null;
  created_at: string;
  updated_at: string;
  system_prompt?: string | null;
  tools?: Array<Tool>;
  metadata?: Record<string, unknown>;
  policy?: Record<string, unknown>;
  message_count?: number;
  parent_id?: string | null;
  running_turn_id?: string | null;
  ir_version?: number;
  last_turn?: TurnState | null;
  pending_tool_use_ids?: Array<string>;
  cache_root?: string | null;
}

/** Messages to add to the end of the history; their ids are kept. */
export interface SessionAppendParams {
  session_id: string;
  messages: Array<Message>;
}

/** The ids of the messages as stored, in order. */
export interface SessionAppendResult {
  message_ids: Array<string>;
}

/** For the subscribers of a session; ids alone, never text. */
export interface SessionChanged {
  session_id: string;
  change: "appended" | "deleted" | "turn_ended" | "turn_started" | "updated";
  turn_id?: string | null;
}

/** What a new session starts with; everything may be left out, or null. */
export interface SessionCreateParams {
  model?: string | null;
  system_prompt?: string | null;
  tools?: Array<Tool> | null;
  metadata?: Record<string, unknown> | null;
  policy?: Record<string, unknown> | null;
}

/** What `session/export` gives and `session/import` takes. */
export interface SessionExport {
  ir_version: number;
  session: Session;
  messages: Array<Message>;
  provider_state?: Record<string, unknown>;
}

/** Branch after `message_id`, or at the end. */
export interface SessionForkParams {
  session_id: string;
  message_id?: string | null;
}

/** A session with its whole history, oldest message first. */
export interface SessionGetResult {
  session: Session;
  messages: Array<Message>;
}

/** A page of sessions: at most `limit`, from `cursor` on. */
export interface SessionListParams {
  limit?: number | null;
  cursor?: string | null;
}

/** Sessions, most recently changed first; `next_cursor` is there while more follow. */
export interface SessionListResult {
  sessions: Array<Session>;
  next_cursor?: string | null;
}

/** Why a session can't go on as it is. */
export interface SessionProblem {
  code: string;
  message: string;
  message_id?: string | null;
  tool_use_id?: string | null;
}

/** Names one session. */
export interface SessionRef {
  session_id: string;
}

/** One session. */
export interface SessionResult {
  session: Session;
}

/** Everything up to a cursor: the session, its messages, and the turn that runs. */
export interface SessionSnapshot {
  session: Session;
  messages: Array<Message>;
  turn?: RunningTurn | null;
}

/** What to change; fields that are left out stay. */
export interface SessionUpdateParams {
  session_id: string;
  model?: string | null;
  system_prompt?: string | null;
  tools?: Array<Tool> | null;
  metadata?: Record<string, unknown> | null;
  policy?: Record<string, unknown> | null;
}

/** Check a session, for the model that it is on or for another. */
export interface SessionValidateParams {
  session_id: string;
  model?: string | null;
}

/** `valid` where a turn may start now. */
export interface SessionValidateResult {
  valid: boolean;
  problems: Array<SessionProblem>;
}

/** LSP's trace value: off, messages or verbose. */
export interface SetTraceParams {
  value: string;
}

export type Source = Base64Source | UrlSource | FileIdSource;

/** `force` cancels what runs instead of waiting for it. */
export interface StopParams {
  force?: boolean;
}

/** The daemon is on its way out. */
export interface StopResult {
  stopping: boolean;
}

/**
 * How the store of sessions and calls does. While it isn't `writable` no paid call begins; `last_error` stays after it was
 * got over. `waiting` counts rows that are not in it yet; `put_aside` is where a broken file was put when the daemon started.
 */
export interface StoreStatus {
  path: string | null;
  size_bytes: number;
  writable: boolean;
  waiting?: number;
  last_error?: string | null;
  last_error_at?: string | null;
  put_aside?: string | null;
}

/** The parameters of `stream/event`. `cursor` rises by one with every event of `epoch`'s stream. */
export interface StreamEvent {
  request_id: string;
  epoch: string;
  cursor: number;
  event: Event;
  session_id?: string | null;
  turn_id?: string | null;
}

/** The parameters of `stream/gap`: events `first` to `last` were not delivered. */
export interface StreamGap {
  request_id: string;
  epoch: string;
  first: number;
  last: number;
  reason: string;
  session_id?: string | null;
}

/** Follow a session; with `epoch` and `cursor` from where an earlier subscription stopped. */
export interface SubscribeParams {
  session_id: string;
  epoch?: string | null;
  cursor?: number | null;
}

/**
 * Events with cursors above `cursor` follow. Without a cursor of the client's, or where it can't be resumed (`reset` says
 * why), `snapshot` holds everything up to `cursor`.
 */
export interface SubscribeResult {
  epoch: string;
  cursor: number;
  snapshot?: SessionSnapshot | null;
  reset?: "cursor_evicted" | "cursor_unknown" | "epoch_changed" | null;
}

/** Text. `provider_raw` holds state that belongs to it (a signature, a phase). */
export interface TextBlock {
  type: "text";
  text: string;
  provider_raw?: Record<string, unknown> | null;
}

/** More text of the block `content_block_index`. */
export interface TextDelta {
  type: "text.delta";
  message_id: string;
  content_block_index: number;
  text: string;
}

/** Reasoning: `off`, `on` (with a budget or an effort), or `adaptive` where the model decides; `display` asks for its text. */
export interface Thinking {
  mode: "adaptive" | "off" | "on";
  budget_tokens?: number | null;
  effort?: "high" | "low" | "max" | "medium" | "minimal" | "none" | "xhigh" | null;
  display?: "omitted" | "summarized" | null;
}

/** Reasoning as text. `text` may be empty while `provider_raw` holds a signature: both must be kept. */
export interface ThinkingBlock {
  type: "thinking";
  text?: string;
  provider_raw?: Record<string, unknown> | null;
}

/** Reasoning text; the last delta of a block may be empty and carry the signature in `provider_raw`. */
export interface ThinkingDelta {
  type: "thinking.delta";
  message_id: string;
  content_block_index: number;
  text: string;
  provider_raw?: Record<string, unknown> | null;
}

/** Input tokens; `estimated` where they were counted locally. */
export interface TokenCount {
  input_tokens: number;
  estimated: boolean;
}

/** The part of a request that counts; unknown fields of a whole CanonicalRequest are ignored. */
export interface TokenCountParams {
  messages: string | Array<Message>;
  model?: string | null;
  provider?: string | null;
  system_prompt?: string | null;
  tools?: Array<Tool>;
}

/** A tool the model may call. `input_schema` is a JSON Schema of type object. */
export interface Tool {
  name: string;
  description?: string | null;
  input_schema?: Record<string, unknown>;
}

/** `tool` needs a `name`; `parallel: false` asks for at most one call. */
export interface ToolChoice {
  type: "auto" | "none" | "required" | "tool";
  name?: string | null;
  parallel?: boolean | null;
}

/** What a tool gave back for one call. */
export interface ToolResultBlock {
  type: "tool_result";
  tool_use_id: string;
  content: string | Array<ResultBlock>;
  is_error?: boolean;
}

/** A call the model makes. Calls emitted together carry the same `group`. */
export interface ToolUseBlock {
  type: "tool_use";
  id: string;
  name: string;
  input: Record<string, unknown>;
  group?: string | null;
  provider_raw?: Record<string, unknown> | null;
}

/** `final_input` is the parsed object, `{}` where the arguments did not parse. */
export interface ToolUseEnd {
  type: "tool.use_end";
  message_id: string;
  content_block_index: number;
  tool_use_id: string;
  final_input: Record<string, unknown>;
}

/** `partial_json` is the provider's literal fragment. */
export interface ToolUseInputDelta {
  type: "tool.use_input_delta";
  message_id: string;
  content_block_index: number;
  tool_use_id: string;
  partial_json: string;
}

/** A tool call begins. */
export interface ToolUseStart {
  type: "tool.use_start";
  message_id: string;
  content_block_index: number;
  tool_use_id: string;
  tool_name: string;
  group?: string | null;
}

export type TraceEvent = CallStarted | CallWaiting | CallFallback | CachePrefixChanged | CallCompleted | CallFailed | AvailabilityChanged;

/** The running turn of a session, or exactly this one. */
export interface TurnCancelParams {
  session_id: string;
  turn_id?: string | null;
}

/** `cancelled` is false where nothing ran. */
export interface TurnCancelResult {
  cancelled: boolean;
}

/** `cursor` is that of the turn's terminal event. `message.metadata` names the model and the turn. */
export interface TurnResult {
  turn_id: string;
  message: Message;
  stop_reason: "cancelled" | "content_filter" | "end_turn" | "error" | "max_tokens" | "pause" | "refusal" | "stop_sequence" | "tool_use";
  usage: Usage;
  cost: Cost | null;
  warnings: Array<Warning>;
  handoff?: HandoffReport | null;
  request_id?: string | null;
  model?: string | null;
  cursor?: number | null;
}

/**
 * Run a turn. The fields after `input` hold for this turn alone, as in a CanonicalRequest: with a `provider` and no `model`
 * it runs on that provider's default. `detach` lets it go on without its client.
 */
export interface TurnStartParams {
  session_id: string;
  input: string | Array<Message>;
  model?: string | null;
  system_prompt?: string | null;
  tools?: Array<Tool> | null;
  tool_choice?: ToolChoice | null;
  response_format?: ResponseFormat | null;
  max_output_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  stop_sequences?: Array<string> | null;
  thinking?: Thinking | null;
  cache?: Cache | null;
  provider_options?: Record<string, Record<string, unknown>> | null;
  timeout_seconds?: number | null;
  detach?: boolean;
  provider?: string | null;
  metadata?: Record<string, unknown> | null;
  request_id?: string | null;
}

/** How a turn does, or how it ended; `interrupted` by the end of the daemon that ran it. */
export interface TurnState {
  turn_id: string;
  status: "cancelled" | "completed" | "failed" | "interrupted" | "queued" | "running";
  request_id?: string | null;
  model?: string | null;
  started_at?: string | null;
  ended_at?: string | null;
  stop_reason?: "cancelled" | "content_filter" | "end_turn" | "error" | "max_tokens" | "pause" | "refusal" | "stop_sequence" | "tool_use" | null;
  error_class?: string | null;
}

/** Where the provider fetches it; the daemon never does. */
export interface UrlSource {
  kind: "url";
  url: string;
}

/**
 * Token counts, disjoint: `input_tokens` is what was neither read from nor written to a cache,
 * `output_tokens` includes reasoning, `total_tokens` is the sum of the four disjoint parts.
 * `estimated` marks numbers that the daemon made because the provider gave none.
 */
export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cached_input_tokens?: number;
  cache_creation_input_tokens?: number;
  reasoning_tokens?: number | null;
  total_tokens?: number;
  estimated?: boolean;
  cache_creation_1h_input_tokens?: number | null;
  cache_breakpoints?: number | null;
  cache_ttl?: "1h" | "5m" | null;
}

/** The filters are those of `usage/query`; a day is one where the daemon is. */
export interface UsageAggregateParams {
  group_by?: "client" | "day" | "model" | "provider" | "session";
  since?: string | null;
  until?: string | null;
  provider?: string | null;
  model?: string | null;
  session_id?: string | null;
  client_id?: string | null;
}

/** Groups, largest cost first. */
export interface UsageAggregateResult {
  groups: Array<UsageGroup>;
}

/**
 * The calls of one key; one group per currency where there are several. `key` is empty for calls that have none.
 *
 * Sums are over what is known: of the calls that were sent, `unknown_calls` have no token counts, `unpriced_calls`
 * no cost; `estimated_calls` have counts of the daemon's own. `total_cost` and `cache_savings` are null without a cost.
 */
export interface UsageGroup {
  key: string;
  calls: number;
  usage: Usage;
  total_cost: number | null;
  cache_savings: number | null;
  currency?: string | null;
  failed_calls?: number;
  cancelled_calls?: number;
  unknown_calls?: number;
  unpriced_calls?: number;
  estimated_calls?: number;
}

/**
 * `since` (from then on) and `until` (before then) are a date (midnight where the daemon is), a date with a time, or a
 * span back from now: `30m`, `12h`, `7d`. `limit` is 100 unless given, 1,000 at most.
 */
export interface UsageQueryParams {
  provider?: string | null;
  model?: string | null;
  session_id?: string | null;
  client_id?: string | null;
  since?: string | null;
  until?: string | null;
  limit?: number | null;
  cursor?: string | null;
  request_id?: string | null;
  status?: string | null;
}

/** Newest first. */
export interface UsageQueryResult {
  rows: Array<UsageRow>;
  next_cursor?: string | null;
}

/** Which stored calls to price again; all of them without a filter. */
export interface UsageRepriceParams {
  since?: string | null;
  until?: string | null;
  provider?: string | null;
  model?: string | null;
  session_id?: string | null;
  client_id?: string | null;
}

/** Of `calls` with known counts, `changed` have a new cost; `unpriced` have no price now and keep what they had. */
export interface UsageRepriceResult {
  calls: number;
  changed: number;
  unpriced: number;
}

/**
 * One call. `status` is started, completed, failed, cancelled, or interrupted where the daemon died. `usage` and `cost`
 * are null where they are unknown; what was never sent has neither. `provider` and `model` are empty where the call never
 * came to one.
 */
export interface UsageRow {
  request_id: string;
  provider: string;
  model: string;
  started_at: string;
  status: string;
  usage: Usage | null;
  cost: Cost | null;
  session_id?: string | null;
  client_id?: string | null;
  error_class?: string | null;
  turn_id?: string | null;
  finished_at?: string | null;
  streamed?: boolean;
  stop_reason?: "cancelled" | "content_filter" | "end_turn" | "error" | "max_tokens" | "pause" | "refusal" | "stop_sequence" | "tool_use" | null;
  latency_ms?: number | null;
  time_to_first_token_ms?: number | null;
  attempts?: number | null;
  provider_request_id?: string | null;
  served_model?: string | null;
}

/**
 * Something the caller should know that is no error; the same input gives the same warnings.
 *
 * Codes: `content_dropped`, `content_projected`, `parameter_ignored`, `parameter_adjusted`, `usage_estimated`,
 * `price_missing`, `budget_near`, `tool_arguments_invalid`, `tool_call_truncated`, `stream_repaired`, `json_invalid`,
 * `plaintext_key`, `fallback_used`, `cache_prefix_changed`.
 */
export interface Warning {
  code: string;
  message: string;
  path?: string | null;
  detail?: Record<string, unknown> | null;
}

/** Every request, with the types of its params and its result. */
export interface Methods {
  "initialize": { params: InitializeParams; result: InitializeResult };
  "shutdown": { params: Empty; result: null };
  "model/list": { params: Empty; result: ModelList };
  "model/discover": { params: DiscoverParams; result: DiscoverResult };
  "model/estimateTokens": { params: TokenCountParams; result: TokenCount };
  "model/countTokens": { params: TokenCountParams; result: TokenCount };
  "model/complete": { params: CanonicalRequest; result: CanonicalResponse };
  "model/stream": { params: CanonicalRequest; result: CanonicalResponse };
  "provider/list": { params: Empty; result: ProviderList };
  "session/create": { params: SessionCreateParams; result: SessionResult };
  "session/get": { params: SessionRef; result: SessionGetResult };
  "session/list": { params: SessionListParams; result: SessionListResult };
  "session/update": { params: SessionUpdateParams; result: SessionResult };
  "session/delete": { params: SessionRef; result: DeleteResult };
  "session/append": { params: SessionAppendParams; result: SessionAppendResult };
  "session/fork": { params: SessionForkParams; result: SessionResult };
  "session/forkPoints": { params: SessionRef; result: ForkPoints };
  "session/validate": { params: SessionValidateParams; result: SessionValidateResult };
  "session/export": { params: SessionRef; result: SessionExport };
  "session/import": { params: SessionExport; result: SessionResult };
  "session/subscribe": { params: SubscribeParams; result: SubscribeResult };
  "session/unsubscribe": { params: SessionRef; result: null };
  "turn/start": { params: TurnStartParams; result: TurnResult };
  "turn/cancel": { params: TurnCancelParams; result: TurnCancelResult };
  "handoff/preview": { params: HandoffPreviewParams; result: HandoffReport };
  "usage/query": { params: UsageQueryParams; result: UsageQueryResult };
  "usage/aggregate": { params: UsageAggregateParams; result: UsageAggregateResult };
  "usage/reprice": { params: UsageRepriceParams; result: UsageRepriceResult };
  "file/upload": { params: FileUploadParams; result: ProviderFile };
  "file/list": { params: FileListParams; result: FileListResult };
  "file/delete": { params: FileDeleteParams; result: DeleteResult };
  "cache/create": { params: CacheCreateParams; result: ProviderCache };
  "cache/list": { params: CacheListParams; result: CacheListResult };
  "cache/delete": { params: CacheDeleteParams; result: DeleteResult };
  "config/check": { params: CheckParams; result: CheckResult };
  "config/reload": { params: Empty; result: ReloadResult };
  "config/get": { params: Empty; result: ConfigGetResult };
  "daemon/status": { params: Empty; result: DaemonStatus };
  "daemon/stop": { params: StopParams; result: StopResult };
}

/** Every notification, with the type of its params. */
export interface Notifications {
  "initialized": Empty;
  "exit": Empty;
  "$/cancelRequest": CancelParams;
  "$/setTrace": SetTraceParams;
  "$/progress": ProgressParams;
  "window/logMessage": LogMessageParams;
  "stream/event": StreamEvent;
  "stream/gap": StreamGap;
  "trace/event": TraceEvent;
  "session/changed": SessionChanged;
  "config/changed": ConfigChanged;
  "availability/changed": AvailabilityChanged;
}
