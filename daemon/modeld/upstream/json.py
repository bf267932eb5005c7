"""Decoding of providers' JSON: one error for everything that can be wrong with it, and repair of what often is. Pure."""

import re
from itertools import accumulate
from typing import Final, TypeVar

import msgspec

from ..limits import KIB, MAX_JSON_CONTAINERS, MAX_JSON_DEPTH, MIB

T = TypeVar("T")

_ESCAPE: Final = re.compile(
    rb"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}  # a pair, which is fine
    | \\u[dD][89a-fA-F][0-9a-fA-F]{2}                                 # half a pair
    | \\.                                                            # any other escape, so that an escaped backslash is none
    """,
    re.VERBOSE | re.DOTALL,
)
_TOO_DEEP: Final = f"JSON nested deeper than {MAX_JSON_DEPTH} levels, or with more than {MAX_JSON_CONTAINERS} objects and arrays"
_SHORT_BYTES: Final = KIB
_LONG_BYTES: Final = MIB  # a body beyond this isn't looked through a second time
_OPENING: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = bytes.maketrans(b"[]", b"\x01\xff")
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}"'))


class InvalidJson(ValueError):
    """The bytes are no JSON, or not of the expected shape. The message names no content."""


def decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The value, repaired if need be. Raises InvalidJson, and nothing else, for any bytes.

    Nesting beyond MAX_JSON_DEPTH is refused even where the type would skip it, since others decode the value again. A value
    of less than 1 KiB may be deeper, to 512 levels at most, which hurts nobody and spares every event the look.
    """
    if len(data) > _SHORT_BYTES and data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH and is_deep(data):
        raise InvalidJson(_TOO_DEEP)
    try:
        # msgspec doesn't check the UTF-8 of what it skips or takes raw, and raw goes on to clients.
        if not data.isascii() and len(data) < _LONG_BYTES:
            data.decode()
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _decode_repaired(data, decoder, error)


def _decode_repaired(data: bytes, decoder: msgspec.json.Decoder[T], error: Exception) -> T:
    repaired = repair(data)
    if repaired is not data:
        try:
            return decoder.decode(repaired)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as second:
            error = second
    raise InvalidJson(_TOO_DEEP if isinstance(error, RecursionError) else str(error)) from None


def repair(data: bytes) -> bytes:
    """The same JSON with U+FFFD for bytes that are no UTF-8 and for halves of surrogate pairs.

    The stdlib and JavaScript write such halves where a text was cut inside an emoji; they stand for no character.
    """
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode(errors="replace").encode()
    return _ESCAPE.sub(_repair_escape, data) if b"\\u" in data else data


def _repair_escape(match: re.Match[bytes]) -> bytes:
    escape = match[0]
    is_half = len(escape) == 6 and escape[1:2] == b"u"
    return b"\\ufffd" if is_half else escape


def is_deep(data: bytes) -> bool:
    """Whether arrays and objects are nested deeper than MAX_JSON_DEPTH, or so many that decoding them would stall the daemon.

    About 10 ms per MiB of brackets, 1 ms per MiB of text.
    """
    # Escaped quotes go, then all but quotes and brackets, then what stands between quotes.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_OPENING, _NOT_STRUCTURE)
    brackets = b"".join(bare.split(b'"')[::2])
    if brackets.count(b"[") > MAX_JSON_CONTAINERS:
        return True
    # As signed bytes an opening bracket is 1 and a closing one -1, so that the running sum is the depth.
    return max(accumulate(memoryview(brackets.translate(_STEPS)).cast("b")), default=0) > MAX_JSON_DEPTH
