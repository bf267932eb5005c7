"""What calls look like: how their parameters are made, and how results, events and failures are read. No IO."""

import os
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack, cast

import msgspec

from modeld_protocol import PROTOCOL_VERSIONS
from modeld_protocol.content import Message
from modeld_protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, OVERLOADED, REQUEST_CANCELLED, ErrorData
from modeld_protocol.events import Event
from modeld_protocol.jsonrpc import RpcErrorObject
from modeld_protocol.lifecycle import ClientInfo, InitializeParams, InitializeResult, ModeldCapabilities, ModeldOptions
from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import Cache, CanonicalRequest, ResponseFormat, Thinking, Tool, ToolChoice

from .errors import (
    BY_CLASS,
    Cancelled,
    HandshakeFailed,
    InvalidParams,
    MethodNotFound,
    ModeldError,
    Overloaded,
    RequestFailed,
    RpcError,
    UnreadableReply,
)

T = TypeVar("T")

Json = Mapping[str, Any]
Messages = str | Sequence[Message | Json]


class CountFields(TypedDict, total=False):
    """The part of a request that has tokens; see CanonicalRequest."""

    messages: Messages
    model: str | None
    provider: str | None
    system_prompt: str | None
    tools: Sequence[Tool | Json]


class RequestFields(CountFields, total=False):
    """The fields of CanonicalRequest as keyword arguments. Every Struct may also be given as a plain mapping."""

    request_id: str | None
    tool_choice: ToolChoice | Json | None
    response_format: ResponseFormat | Json | None
    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop_sequences: Sequence[str]
    thinking: Thinking | Json | None
    cache: Cache | Json | None
    metadata: Json | None
    provider_options: Mapping[str, Json] | None
    timeout_seconds: float | None
    include_raw: bool


class Notification(NamedTuple):
    """A notification of the daemon. `params` is the protocol's Struct where this version knows the method, else plain JSON."""

    method: str
    params: Any


# ---- out


def new_request_id() -> str:
    """A fresh sortable id: `req_`, the milliseconds since 1970 and 80 random bits, in hexadecimal."""
    return f"req_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def make_request(request: CanonicalRequest | None, **fields: Unpack[RequestFields]) -> CanonicalRequest:
    """A request with a `request_id`, from a ready one or from its fields. The daemon checks the values, not we."""
    if request is None:
        if "messages" not in fields:
            raise TypeError("give messages=, or a CanonicalRequest")
        request = CanonicalRequest(**cast("dict[str, Any]", fields))
    elif fields:
        request = msgspec.structs.replace(request, **fields)
    if request.request_id is None:
        request = msgspec.structs.replace(request, request_id=new_request_id())
    return request


def make_count(request: CanonicalRequest | None, **fields: Unpack[CountFields]) -> TokenCountParams:
    """The parameters of the two token counts."""
    whole = make_request(request, **fields)
    return TokenCountParams(whole.messages, whole.model, whole.provider, whole.system_prompt, whole.tools)


def make_initialize(
    client_id: str | None, required: Sequence[str], env: Mapping[str, str] | Sequence[str], token: str | None, *, trace: bool
) -> InitializeParams:
    """The handshake's parameters. `env` as names is looked up here; names that are not set are left out."""
    values = dict(env) if isinstance(env, Mapping) else {name: os.environ[name] for name in env if name in os.environ}
    options = ModeldOptions(list(PROTOCOL_VERSIONS), client_id, token, list(required), env=values)
    return InitializeParams(
        processId=os.getpid(),
        clientInfo=ClientInfo("modeld_client"),
        initializationOptions={"modeld": options},
        trace="messages" if trace else None,
    )


# ---- in


@cache
def _decoder(result_type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(result_type)


def decode_result(method: str, result: msgspec.Raw, result_type: type[T] | None) -> T:
    """The typed result of `method`, plain JSON where `result_type` is None."""
    try:
        return _decoder(Any if result_type is None else result_type).decode(result or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableReply(f"the reply to {method} can't be read ({error}): update this package or the daemon") from None


def decode_capabilities(result: msgspec.Raw) -> ModeldCapabilities:
    """What the daemon says of itself in the handshake."""
    try:
        capabilities = _decoder(InitializeResult).decode(result).capabilities.experimental.modeld
    except msgspec.DecodeError as error:
        raise HandshakeFailed(f"this is no modeld daemon ({error}): check the address") from None
    if capabilities.protocol_version not in PROTOCOL_VERSIONS:
        raise HandshakeFailed(
            f"the daemon speaks protocol {capabilities.protocol_version}, not {PROTOCOL_VERSIONS}: update this package"
        )
    return capabilities


class _Tag(msgspec.Struct):
    type: str


_decode_event = msgspec.json.Decoder(Event).decode
_KNOWN_EVENTS: frozenset[Any] = frozenset(struct.__struct_config__.tag for struct in Event.__args__)


def decode_event(raw: msgspec.Raw) -> Event | None:
    """A typed event; None for a type that came into the protocol after this version."""
    try:
        return _decode_event(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = error
    try:
        known = _decoder(_Tag).decode(raw).type in _KNOWN_EVENTS
    except (msgspec.DecodeError, UnicodeDecodeError):
        known = True
    if known:
        raise UnreadableReply(f"a stream event can't be read ({problem}): update this package or the daemon")
    return None


def decode_notification(method: str, params: msgspec.Raw) -> Notification:
    """A typed notification; plain JSON where its method or shape came later than this version."""
    from modeld_protocol import config, events, jsonrpc, session

    types: dict[str, Any] = {
        "config/changed": config.ConfigChanged,
        "availability/changed": events.AvailabilityChanged,
        "trace/event": events.TraceEvent,
        "stream/gap": events.StreamGap,
        "session/changed": session.SessionChanged,
        "window/logMessage": jsonrpc.LogMessageParams,
    }
    try:
        return Notification(method, _decoder(types.get(method, Any)).decode(params))
    except msgspec.ValidationError:
        return Notification(method, _decoder(Any).decode(params))


_BY_CODE: dict[int, type[RpcError]] = {
    INVALID_PARAMS: InvalidParams,
    METHOD_NOT_FOUND: MethodNotFound,
    OVERLOADED: Overloaded,
}


def decode_failure(error: msgspec.Raw) -> ModeldError:
    """The exception for the `error` member of a reply."""
    try:
        failure = _decoder(RpcErrorObject).decode(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UnreadableReply("the daemon's error can't be read: update this package or the daemon")
    data = None if failure.data is msgspec.UNSET else failure.data
    if isinstance(data, dict) and "error_class" in data:
        known = _convert_error_data(cast("dict[str, Any]", data))
        if known is not None:
            kind = BY_CLASS.get(known.error_class, RequestFailed)
            return kind(failure.message, failure.code, known)
    if failure.code == REQUEST_CANCELLED:
        return Cancelled(failure.message, failure.code, ErrorData("cancelled", failure.message))
    return _BY_CODE.get(failure.code, RpcError)(failure.message, failure.code, data)


def _convert_error_data(data: dict[str, Any]) -> ErrorData | None:
    """The typed data; a class or a partial answer that this version does not know costs only itself."""
    for change in ({}, {"partial": None}, {"partial": None, "error_class": "other"}):
        try:
            return msgspec.convert({**data, **change}, ErrorData)
        except msgspec.ValidationError:
            continue
    return None
