"""Messages that clients send with fields beyond the canonical form: kept, and given back as they came. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modeld_protocol import IR_VERSION
from modeld_protocol.content import Message
from modeld_protocol.session import SessionAppendParams, SessionExport, TurnStartParams

from .records import MIGRATIONS

AsSent = Mapping[int, bytes]
"""By position in a request: the JSON of the messages that the canonical form doesn't hold whole."""

NOTHING: AsSent = {}


class AppendAsSent(SessionAppendParams):
    """With what doesn't fit."""

    as_sent: AsSent


class TurnStartAsSent(TurnStartParams, kw_only=True):
    """With what doesn't fit."""

    as_sent: AsSent


class ExportAsSent(SessionExport, kw_only=True):
    """With what doesn't fit."""

    as_sent: AsSent


class _Messages(msgspec.Struct):
    messages: list[msgspec.Raw]


class _Input(msgspec.Struct):
    input: list[msgspec.Raw]


class _Versioned(msgspec.Struct):
    ir_version: int


class _Older(msgspec.Struct):
    messages: list[dict[str, Any]]


_encode = msgspec.json.Encoder().encode
_append = msgspec.json.Decoder(SessionAppendParams).decode
_turn_start = msgspec.json.Decoder(TurnStartParams).decode
_export = msgspec.json.Decoder(SessionExport).decode
_messages = msgspec.json.Decoder(_Messages).decode
_input = msgspec.json.Decoder(_Input).decode
_older = msgspec.json.Decoder(_Older).decode
_version = msgspec.json.Decoder(_Versioned).decode


def decode_append(raw: bytes) -> SessionAppendParams:
    """The params of `session/append`. Raises msgspec.DecodeError, RecursionError, as a decoder does."""
    params = _append(raw)
    as_sent = _beyond(_messages(raw).messages, params.messages)
    return AppendAsSent(params.session_id, params.messages, as_sent) if as_sent else params


def decode_turn_start(raw: bytes) -> TurnStartParams:
    """The params of `turn/start`. Raises as a decoder does."""
    params = _turn_start(raw)
    if isinstance(params.input, str):
        return params
    as_sent = _beyond(_input(raw).input, params.input)
    return TurnStartAsSent(**_fields(params), as_sent=as_sent) if as_sent else params


def decode_export(raw: bytes) -> SessionExport:
    """The params of `session/import`; an older form is brought up to date. Raises as a decoder does."""
    version = _version(raw).ir_version
    if version < IR_VERSION and version in MIGRATIONS:
        raw = _migrated(raw, version)
    params = _export(raw)
    as_sent = _beyond(_messages(raw).messages, params.messages)
    return ExportAsSent(**_fields(params), as_sent=as_sent) if as_sent else params


def as_sent_of(params: Any) -> AsSent:
    """What doesn't fit, of the params that these decoders give."""
    return getattr(params, "as_sent", NOTHING)


def by_id(messages: Sequence[Message], as_sent: AsSent) -> dict[str, bytes]:
    """By the id that the message has in the end, which its JSON then has too."""
    return {message.id or "": _with_id(as_sent[at], message.id) for at, message in enumerate(messages) if at in as_sent}


def as_they_came(messages: Sequence[Message], kept: Mapping[str, bytes]) -> list[Message]:
    """The messages for the encoder: some are JSON that is there already."""
    if not kept:
        return list(messages)
    told: list[Any] = [msgspec.Raw(kept[one.id]) if one.id is not None and one.id in kept else one for one in messages]
    return told


def _beyond(raws: Sequence[msgspec.Raw], messages: Sequence[Message]) -> AsSent:
    pairs = enumerate(zip(raws, messages, strict=True))
    return {at: bytes(raw) for at, (raw, message) in pairs if not _holds_all(message, raw)}


def _holds_all(message: Message, raw: msgspec.Raw) -> bool:
    return _encode(message) == raw or msgspec.to_builtins(message) == msgspec.json.decode(raw)


def _with_id(body: bytes, message_id: str | None) -> bytes:
    value: dict[str, Any] = msgspec.json.decode(body)
    return body if value.get("id") == message_id else _encode({**value, "id": message_id})


def _fields(params: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(params, name) for name in params.__struct_fields__}


def _migrated(raw: bytes, version: int) -> bytes:
    messages = _older(raw).messages
    for step in range(version, IR_VERSION):
        messages = [MIGRATIONS[step](message) for message in messages]
    export = msgspec.json.decode(raw, type=dict[str, Any])
    return _encode({**export, "messages": messages, "ir_version": IR_VERSION})
