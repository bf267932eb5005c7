"""`session/*`, `turn/*`, `handoff/*`, `usage/*`, `file/*`, `cache/*`: durable conversations and what belongs to them."""

from typing import Annotated, Any, Literal

import msgspec

from .content import Block, Message
from .request import Cache, ResponseFormat, Thinking, Tool, ToolChoice
from .response import StopReason
from .usage import Cost, Usage, Warning

TurnStatus = Literal["queued", "running", "completed", "failed", "cancelled", "interrupted"]


class TurnState(msgspec.Struct, omit_defaults=True):
    """How a turn does, or how it ended; `interrupted` by the end of the daemon that ran it."""

    turn_id: str
    status: TurnStatus
    request_id: str | None = None
    model: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    stop_reason: StopReason | None = None
    error_class: str | None = None


class Session(msgspec.Struct, omit_defaults=True):
    """A durable conversation. Keys of `policy` that the daemon reads: `concurrent_turns` (`refuse`, the default, or `queue`),
    `foreign_reasoning` (`drop`, the default, or `text`: what other models thought goes along in `<thinking>` tags) and
    `pending_calls` (`close`, the default: a turn without the results of pending tool calls answers them with an error; or
    `refuse`). `cache_root` is the first session of a line of forks: they share its prompt cache."""

    session_id: str
    model: str | None
    created_at: str
    updated_at: str
    system_prompt: str | None = None
    tools: list[Tool] = []
    metadata: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    message_count: int = 0
    parent_id: str | None = None
    running_turn_id: str | None = None
    ir_version: int = 1
    last_turn: TurnState | None = None
    pending_tool_use_ids: list[str] = []
    cache_root: str | None = None


class SessionResult(msgspec.Struct):
    """One session."""

    session: Session


class SessionCreateParams(msgspec.Struct, omit_defaults=True):
    """What a new session starts with; everything may be left out, or null."""

    model: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] | None = None
    metadata: dict[str, Any] | None = None
    policy: dict[str, Any] | None = None


class SessionRef(msgspec.Struct):
    """Names one session."""

    session_id: str


class SessionGetResult(msgspec.Struct):
    """A session with its whole history, oldest message first."""

    session: Session
    messages: list[Message]


class SessionListParams(msgspec.Struct, omit_defaults=True):
    """A page of sessions: at most `limit`, from `cursor` on."""

    limit: int | None = None
    cursor: str | None = None


class SessionListResult(msgspec.Struct, omit_defaults=True):
    """Sessions, most recently changed first; `next_cursor` is there while more follow."""

    sessions: list[Session]
    next_cursor: str | None = None


class SessionUpdateParams(msgspec.Struct, omit_defaults=True):
    """What to change; fields that are left out stay."""

    session_id: str
    model: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] | None = None
    metadata: dict[str, Any] | None = None
    policy: dict[str, Any] | None = None


class SessionAppendParams(msgspec.Struct):
    """Messages to add to the end of the history; their ids are kept."""

    session_id: str
    messages: list[Message]


class SessionAppendResult(msgspec.Struct):
    """The ids of the messages as stored, in order."""

    message_ids: list[str]


class SessionForkParams(msgspec.Struct, omit_defaults=True):
    """Branch after `message_id`, or at the end."""

    session_id: str
    message_id: str | None = None


class ForkPoint(msgspec.Struct, omit_defaults=True):
    """A message after which a fork is safe, or with a `reason` why it is not."""

    message_id: str
    reason: str | None = None


class ForkPoints(msgspec.Struct):
    """Where a fork is safe and where it is not: never between a tool call and its result."""

    fork_points: list[ForkPoint]
    unsafe: list[ForkPoint]


class SessionProblem(msgspec.Struct, omit_defaults=True):
    """Why a session can't go on as it is."""

    code: str
    message: str
    message_id: str | None = None
    tool_use_id: str | None = None


class SessionValidateParams(msgspec.Struct, omit_defaults=True):
    """Check a session, for the model that it is on or for another."""

    session_id: str
    model: str | None = None


class SessionValidateResult(msgspec.Struct):
    """`valid` where a turn may start now."""

    valid: bool
    problems: list[SessionProblem]


class SessionExport(msgspec.Struct, omit_defaults=True):
    """What `session/export` gives and `session/import` takes."""

    ir_version: int
    session: Session
    messages: list[Message]
    provider_state: dict[str, Any] = {}


class SubscribeParams(msgspec.Struct, omit_defaults=True):
    """Follow a session; with `epoch` and `cursor` from where an earlier subscription stopped."""

    session_id: str
    epoch: str | None = None
    cursor: int | None = None


class RunningTurn(msgspec.Struct, omit_defaults=True):
    """A turn in the middle: its input and what its answer holds so far. Blocks that are still growing are the last one."""

    turn_id: str
    request_id: str
    model: str
    input: list[Message]
    content: list[Block]
    message_id: str | None = None


class SessionSnapshot(msgspec.Struct, omit_defaults=True):
    """Everything up to a cursor: the session, its messages, and the turn that runs."""

    session: Session
    messages: list[Message]
    turn: RunningTurn | None = None


ResetReason = Literal["epoch_changed", "cursor_evicted", "cursor_unknown"]


class SubscribeResult(msgspec.Struct, omit_defaults=True):
    """Events with cursors above `cursor` follow. Without a cursor of the client's, or where it can't be resumed (`reset` says
    why), `snapshot` holds everything up to `cursor`."""

    epoch: str
    cursor: int
    snapshot: SessionSnapshot | None = None
    reset: ResetReason | None = None


class TurnStartParams(msgspec.Struct, omit_defaults=True):
    """Run a turn. The fields after `input` hold for this turn alone, as in a CanonicalRequest: with a `provider` and no `model`
    it runs on that provider's default. `detach` lets it go on without its client."""

    session_id: str
    input: str | list[Message]
    model: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    stop_sequences: list[str] | None = None
    thinking: Thinking | None = None
    cache: Cache | None = None
    provider_options: dict[str, dict[str, Any]] | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    detach: bool = False
    provider: str | None = None
    metadata: dict[str, Any] | None = None
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None


class HandoffReport(msgspec.Struct):
    """What becomes of a history at another model: blocks `kept` as they are, `degraded` to another form, `dropped`; `refused`
    holds what the model can't take at all, so that a turn on it fails. `cost` is what reading the history costs there without
    a cache, in `currency`; `stay_cost` what it costs where it is, from that model's cache; null where a price is unknown."""

    from_model: str | None
    to_model: str
    kept: int
    degraded: list[Warning]
    dropped: list[Warning]
    input_tokens: int | None = None
    cost: float | None = None
    refused: list[Warning] = []
    stay_cost: float | None = None
    currency: str | None = None


class TurnResult(msgspec.Struct):
    """`cursor` is that of the turn's terminal event. `message.metadata` names the model and the turn."""

    turn_id: str
    message: Message
    stop_reason: StopReason
    usage: Usage
    cost: Cost | None
    warnings: list[Warning]
    handoff: HandoffReport | None = None
    request_id: str | None = None
    model: str | None = None
    cursor: int | None = None


class TurnCancelParams(msgspec.Struct, omit_defaults=True):
    """The running turn of a session, or exactly this one."""

    session_id: str
    turn_id: str | None = None


class TurnCancelResult(msgspec.Struct):
    """`cancelled` is false where nothing ran."""

    cancelled: bool


class HandoffPreviewParams(msgspec.Struct):
    """The switch to look at."""

    session_id: str
    model: str


class UsageQueryParams(msgspec.Struct, omit_defaults=True):
    """`since` (from then on) and `until` (before then) are a date (midnight where the daemon is), a date with a time, or a
    span back from now: `30m`, `12h`, `7d`. `limit` is 100 unless given, 1,000 at most."""

    provider: str | None = None
    model: str | None = None
    session_id: str | None = None
    client_id: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    cursor: str | None = None
    request_id: str | None = None
    status: str | None = None


class UsageRow(msgspec.Struct):
    """One call. `status` is started, completed, failed, cancelled, or interrupted where the daemon died. `usage` and `cost`
    are null where they are unknown; what was never sent has neither. `provider` and `model` are empty where the call never
    came to one."""

    request_id: str
    provider: str
    model: str
    started_at: str
    status: str
    usage: Usage | None
    cost: Cost | None
    session_id: str | None = None
    client_id: str | None = None
    error_class: str | None = None
    turn_id: str | None = None
    finished_at: str | None = None
    streamed: bool = False
    stop_reason: StopReason | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    attempts: int | None = None
    provider_request_id: str | None = None
    served_model: str | None = None


class UsageQueryResult(msgspec.Struct, omit_defaults=True):
    """Newest first."""

    rows: list[UsageRow]
    next_cursor: str | None = None


class UsageAggregateParams(msgspec.Struct, omit_defaults=True):
    """The filters are those of `usage/query`; a day is one where the daemon is."""

    group_by: Literal["provider", "model", "session", "client", "day"] = "model"
    since: str | None = None
    until: str | None = None
    provider: str | None = None
    model: str | None = None
    session_id: str | None = None
    client_id: str | None = None


class UsageGroup(msgspec.Struct):
    """The calls of one key; one group per currency where there are several. `key` is empty for calls that have none.

    Sums are over what is known: of the calls that were sent, `unknown_calls` have no token counts, `unpriced_calls`
    no cost; `estimated_calls` have counts of the daemon's own. `total_cost` and `cache_savings` are null without a cost."""

    key: str
    calls: int
    usage: Usage
    total_cost: float | None
    cache_savings: float | None
    currency: str | None = None
    failed_calls: int = 0
    cancelled_calls: int = 0
    unknown_calls: int = 0
    unpriced_calls: int = 0
    estimated_calls: int = 0


class UsageAggregateResult(msgspec.Struct):
    """Groups, largest cost first."""

    groups: list[UsageGroup]


class UsageRepriceParams(msgspec.Struct, omit_defaults=True):
    """Which stored calls to price again; all of them without a filter."""

    since: str | None = None
    until: str | None = None
    provider: str | None = None
    model: str | None = None
    session_id: str | None = None
    client_id: str | None = None


class UsageRepriceResult(msgspec.Struct):
    """Of `calls` with known counts, `changed` have a new cost; `unpriced` have no price now and keep what they had."""

    calls: int
    changed: int
    unpriced: int


SessionChange = Literal["updated", "appended", "deleted", "turn_started", "turn_ended"]


class SessionChanged(msgspec.Struct, omit_defaults=True):
    """For the subscribers of a session; ids alone, never text."""

    session_id: str
    change: SessionChange
    turn_id: str | None = None


class FileUploadParams(msgspec.Struct, omit_defaults=True):
    """A file for a provider; `data` is base64."""

    provider: str
    filename: str
    data: str
    media_type: str | None = None


class ProviderFile(msgspec.Struct, omit_defaults=True):
    """A file that a provider keeps."""

    file_id: str
    provider: str
    filename: str | None = None
    size_bytes: int | None = None
    media_type: str | None = None


class FileListParams(msgspec.Struct):
    """Whose files."""

    provider: str


class FileListResult(msgspec.Struct):
    """The files."""

    files: list[ProviderFile]


class FileDeleteParams(msgspec.Struct):
    """The file to delete."""

    provider: str
    file_id: str


class DeleteResult(msgspec.Struct):
    """`deleted` is false where there was nothing."""

    deleted: bool


class CacheCreateParams(msgspec.Struct, omit_defaults=True):
    """What to keep ready at the provider, and how long in seconds."""

    provider: str
    model: str
    messages: list[Message] = []
    system_prompt: str | None = None
    tools: list[Tool] = []
    ttl_seconds: int | None = None


class ProviderCache(msgspec.Struct, omit_defaults=True):
    """An explicit prompt cache at a provider."""

    cache_id: str
    provider: str
    model: str | None = None
    expires_at: str | None = None
    tokens: int | None = None


class CacheListParams(msgspec.Struct):
    """Whose caches."""

    provider: str


class CacheListResult(msgspec.Struct):
    """The caches."""

    caches: list[ProviderCache]


class CacheDeleteParams(msgspec.Struct):
    """The cache to delete."""

    provider: str
    cache_id: str
