"""Reading one message body: what it asks, or the one error that answers it. Pure."""

import codecs
from typing import Literal

import msgspec

from modeld_protocol.errors import INVALID_REQUEST, PARSE_ERROR
from modeld_protocol.jsonrpc import ErrorResponse, RequestId, RpcErrorObject, repair_surrogates

from .errors import RpcError

NO_PARAMS = msgspec.Raw(b"{}")

_NULL = msgspec.Raw(b"null")
_UTF8_PIECE_BYTES = 256 * 1024


class Message(msgspec.Struct):
    """A request (`id` and `method`), a notification (`method`) or an answer to a request of ours (neither)."""

    jsonrpc: Literal["2.0"]
    id: int | str | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = NO_PARAMS


class _Answer(msgspec.Struct):
    method: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Id(msgspec.Struct):
    id: int | str


class UnreadableMessage(RpcError):
    """A body that is no message; `rpc_id` is the id to answer, None where there is no usable one."""

    def __init__(self, code: int, message: str, rpc_id: RequestId | None = None) -> None:
        super().__init__(code, message)
        self.rpc_id = rpc_id


_decode_message = msgspec.json.Decoder(Message).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_id = msgspec.json.Decoder(_Id).decode
_encode = msgspec.json.Encoder().encode


def read_message(body: bytes) -> Message:
    """One message with its params still raw, null params as `{}`.

    Raises UnreadableMessage: -32700 for what is no UTF-8 JSON, -32600 for what is no JSON-RPC 2.0 message. The whole body is
    checked for UTF-8, also the fields that nobody decodes.
    """
    if not body.isascii():
        _check_utf8(body)
    try:
        message = _decode_message(body)
    except msgspec.ValidationError:
        if _is_answer(body):
            return Message("2.0")
        raise _describe_invalid(body) from None
    except RecursionError:
        raise UnreadableMessage(PARSE_ERROR, "Parse error: nested too deeply; flatten the message.") from None
    except ValueError as error:
        return _read_repaired(body, error)
    if message.params == _NULL:
        message.params = NO_PARAMS
    if message.method is msgspec.UNSET and not _is_answer(body):
        raise _describe_invalid(body)
    return message


def encode_error(rpc_id: RequestId | None, error: RpcError) -> bytes:
    """The body of an error response."""
    data = msgspec.UNSET if error.data is None else error.data
    try:
        return _encode(ErrorResponse(rpc_id, RpcErrorObject(error.code, error.message, data)))
    except (TypeError, ValueError, RecursionError):  # data that is no JSON, text with half a surrogate pair: answer all the same
        message = error.message.encode("utf-8", "replace").decode()
        return _encode(ErrorResponse(rpc_id, RpcErrorObject(error.code, message)))


def _check_utf8(body: bytes) -> None:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    view = memoryview(body)
    try:
        # In pieces, so that a large message does not exist three times at once.
        for start in range(0, len(body), _UTF8_PIECE_BYTES):
            decode(view[start : start + _UTF8_PIECE_BYTES])
        decode(b"", True)
    except UnicodeDecodeError:
        raise UnreadableMessage(PARSE_ERROR, "Parse error: the body is not UTF-8; encode it as UTF-8.") from None


def _read_repaired(body: bytes, error: ValueError) -> Message:
    repaired = repair_surrogates(body)
    if repaired == body:
        raise UnreadableMessage(PARSE_ERROR, f"Parse error: {error}") from None
    return read_message(repaired)


def _describe_invalid(body: bytes) -> UnreadableMessage:
    """Why a body of the wrong shape is refused. Shape is judged before syntax is read to its end, so that is checked here."""
    try:
        _decode_raw(body)
    except (ValueError, RecursionError):
        return UnreadableMessage(PARSE_ERROR, "Parse error: the body is not valid JSON.")
    if body.lstrip()[:1] == b"[":
        return UnreadableMessage(INVALID_REQUEST, "Invalid request: batches are not supported; send one message per frame.")
    try:
        rpc_id = _decode_id(body).id
    except (ValueError, RecursionError):
        rpc_id = None
    return UnreadableMessage(
        INVALID_REQUEST,
        'Invalid request: expected an object with jsonrpc "2.0", a string method, and an id that is a string or an integer.',
        rpc_id,
    )


def _is_answer(body: bytes) -> bool:
    """An answer to a request, well-formed or not: nobody answers answers."""
    try:
        answer = _decode_answer(body)
    except (ValueError, RecursionError):
        return False
    return answer.method is msgspec.UNSET and not (answer.result is msgspec.UNSET and answer.error is msgspec.UNSET)
