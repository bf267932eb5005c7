"""`session/*`, `turn/*`, `handoff/*`, `usage/*`, `file/*`, `cache/*`: durable conversations and what belongs to them."""

from typing import Any, Literal

import msgspec

from .content import Message
from .request import Cache, ResponseFormat, Thinking, Tool, ToolChoice
from .response import StopReason
from .usage import Cost, Usage, Warning


class Session(msgspec.Struct, omit_defaults=True):
    """A durable conversation. `running_turn_id` is set while a turn runs; times are RFC 3339 in UTC."""

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


class SessionResult(msgspec.Struct):
    """One session."""

    session: Session


class SessionCreateParams(msgspec.Struct, omit_defaults=True):
    """What a new session starts with; everything may be left to defaults."""

    model: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] = []
    metadata: dict[str, Any] = {}
    policy: dict[str, Any] = {}


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


class SubscribeResult(msgspec.Struct, omit_defaults=True):
    """Where the events that follow begin. `snapshot` is the state at `cursor`; `reset` says why the events after the given
    cursor are not to be had."""

    epoch: str
    cursor: int
    snapshot: dict[str, Any] | None = None
    reset: str | None = None


class TurnStartParams(msgspec.Struct, omit_defaults=True):
    """Run a turn. The fields after `input` hold for this turn alone; `detach` lets it go on without its client."""

    session_id: str
    input: str | list[Message]
    model: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    thinking: Thinking | None = None
    cache: Cache | None = None
    provider_options: dict[str, dict[str, Any]] | None = None
    timeout_seconds: float | None = None
    detach: bool = False


class HandoffReport(msgspec.Struct, omit_defaults=True):
    """What a model switch keeps, degrades and drops, and what it costs to read the history again."""

    from_model: str | None
    to_model: str
    kept: int
    degraded: list[Warning]
    dropped: list[Warning]
    input_tokens: int | None = None
    cost: float | None = None


class TurnResult(msgspec.Struct):
    """A finished turn and the message that it added."""

    turn_id: str
    message: Message
    stop_reason: StopReason
    usage: Usage
    cost: Cost | None
    warnings: list[Warning]
    handoff: HandoffReport | None = None


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
    """Filters; `since` and `until` are RFC 3339."""

    provider: str | None = None
    model: str | None = None
    session_id: str | None = None
    client_id: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    cursor: str | None = None


class UsageRow(msgspec.Struct):
    """One call of the ledger. `status` is started, completed, failed or cancelled; null usage or cost is unknown, not zero."""

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


class UsageQueryResult(msgspec.Struct, omit_defaults=True):
    """Calls, newest first; `next_cursor` is there while more follow."""

    rows: list[UsageRow]
    next_cursor: str | None = None


class UsageAggregateParams(msgspec.Struct, omit_defaults=True):
    """What to sum by."""

    group_by: Literal["provider", "model", "session", "client", "day"] = "model"
    since: str | None = None
    until: str | None = None


class UsageGroup(msgspec.Struct):
    """The sums of one group; null money is unknown."""

    key: str
    calls: int
    usage: Usage
    total_cost: float | None
    cache_savings: float | None


class UsageAggregateResult(msgspec.Struct):
    """Groups, largest cost first."""

    groups: list[UsageGroup]


class SessionChanged(msgspec.Struct, omit_defaults=True):
    """The params of `session/changed`: what happened to a session of this user."""

    session_id: str
    change: str
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
