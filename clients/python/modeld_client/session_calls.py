"""What calls on sessions look like: how their parameters are made from keyword arguments. No IO."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack, cast

import msgspec

from modeld_protocol.content import Message
from modeld_protocol.events import Event
from modeld_protocol.request import Cache, ResponseFormat, Thinking, Tool, ToolChoice
from modeld_protocol.session import SessionCreateParams, SessionUpdateParams, TurnStartParams

from .calls import Json, new_request_id

Input = str | Sequence[Message | Json]


class SessionFields(TypedDict, total=False):
    """What a session holds besides its messages; see SessionCreateParams."""

    model: str | None
    system_prompt: str | None
    tools: Sequence[Tool | Json]
    metadata: Json
    policy: Json


class TurnFields(TypedDict, total=False):
    """What holds for one turn in place of the session's; see TurnStartParams."""

    model: str
    system_prompt: str
    tools: Sequence[Tool | Json]
    tool_choice: ToolChoice | Json
    response_format: ResponseFormat | Json
    max_output_tokens: int
    temperature: float
    top_p: float
    stop_sequences: Sequence[str]
    thinking: Thinking | Json
    cache: Cache | Json
    provider_options: Mapping[str, Json]
    timeout_seconds: float
    provider: str
    metadata: Json
    request_id: str


class SessionEvent(NamedTuple):
    """One event of a session that is followed. `epoch` and `cursor` are where to go on after it."""

    event: Event
    epoch: str
    cursor: int
    turn_id: str
    request_id: str


def make_create(**fields: Unpack[SessionFields]) -> SessionCreateParams:
    """The parameters of session/create; the daemon checks the values."""
    return SessionCreateParams(**cast("dict[str, Any]", fields))


def make_update(session_id: str, **fields: Unpack[SessionFields]) -> SessionUpdateParams:
    """The parameters of session/update."""
    return SessionUpdateParams(session_id, **cast("dict[str, Any]", fields))


def make_turn(session_id: str, given: Input, *, detach: bool, **fields: Unpack[TurnFields]) -> TurnStartParams:
    """The parameters of turn/start, with a `request_id`."""
    messages = given if isinstance(given, str) else cast("list[Message]", list(given))
    params = TurnStartParams(session_id, messages, detach=detach, **cast("dict[str, Any]", fields))
    return params if params.request_id else msgspec.structs.replace(params, request_id=new_request_id())
