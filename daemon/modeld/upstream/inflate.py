"""Decompression in small steps, so that a bomb is noticed before it has gone off. Pure."""

import zlib
from collections.abc import Iterator
from typing import Final

from ..limits import KIB, MAX_DECOMPRESSION_RATIO, MIB
from .contract import UpstreamError

_STEP_BYTES: Final = 64 * KIB
_FREE_BYTES: Final = MIB  # below this no ratio is suspicious


class Inflater:
    """One compressed body. `feed` yields pieces of at most 64 KiB; `end` checks that the body was whole.

    Both raise UpstreamError: `too_large` beyond `max_bytes` or MAX_DECOMPRESSION_RATIO, `protocol` for what isn't the
    promised encoding.
    """

    __slots__ = ("_bytes_in", "_bytes_out", "_inner", "_max_bytes")

    def __init__(self, encoding: str, max_bytes: int) -> None:
        # zlib's window bits: +16 is gzip's framing. What deflate means is settled by the first byte.
        self._inner = zlib.decompressobj(31) if encoding == "gzip" else None
        self._max_bytes = max_bytes
        self._bytes_in = 0
        self._bytes_out = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decompressed pieces of one compressed piece."""
        if not data:
            return
        if self._inner is None:
            # RFC 9110 says zlib's framing, some servers send the bare stream; zlib's first byte ends in 8.
            self._inner = zlib.decompressobj(15 if data[0] & 15 == 8 else -15)
        self._bytes_in += len(data)
        while not self._inner.eof:
            try:
                piece = self._inner.decompress(data, _STEP_BYTES)
            except zlib.error:
                raise UpstreamError("protocol", "the provider's answer can't be decompressed; try again", answered=True) from None
            data = self._inner.unconsumed_tail
            if piece:
                self._bytes_out += len(piece)
                self._check_size()
                yield piece
            if not data and len(piece) < _STEP_BYTES:  # a full step may have left output inside
                break
        if self._inner.eof and self._inner.unused_data:
            raise UpstreamError("protocol", "the provider's answer goes on after its compressed end; try again", answered=True)

    def end(self) -> None:
        """Call it at the end of the body."""
        if self._inner is not None and self._bytes_in and not self._inner.eof:
            raise UpstreamError("protocol", "the provider's compressed answer is cut short; try again", answered=True)

    def _check_size(self) -> None:
        allowed = max(_FREE_BYTES, self._bytes_in * MAX_DECOMPRESSION_RATIO)
        if self._bytes_out > min(allowed, self._max_bytes):
            raise UpstreamError(
                "too_large",
                f"the provider's answer grows beyond {min(allowed, self._max_bytes)} bytes decompressed",
                answered=True,
            )


def inflater_for(encoding: str, max_bytes: int) -> Inflater | None:
    """What decodes a `content-encoding`; None for identity. Raises UpstreamError("protocol") for one never asked for."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip"):
        return Inflater("gzip", max_bytes)
    if name == "deflate":
        return Inflater("deflate", max_bytes)
    raise UpstreamError(
        "protocol",
        f"the provider answered in the encoding {name[:40]!r}, though only gzip was asked for; check base_url",
        answered=True,
    )
