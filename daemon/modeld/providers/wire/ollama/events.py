"""Reads the stream of this wire: one object a line in, verbs of one Assembler out.

https://docs.ollama.com/api/streaming (2026-11-20). The last line says `done`; an error line may come at any time, after a
status of 200 too; a tool call comes whole, in one line.
"""

from typing import Any, Final, cast

import msgspec

from modeld_protocol.response import StopReason

from .... import limits
from ...assembler import Assembler
from ...failure import ProviderFailure
from ..loose_json import parse_json
from .errors import decode_failure, failure_in_answer
from .loose import read_line
from .types import Line, ToolCallPart
from .usage import decode_usage

STOP_REASONS: Final[dict[str, StopReason]] = {
    "stop": "end_turn",  # also after tool calls
    "length": "max_tokens",
    "": "end_turn",
    "load": "end_turn",
    "unload": "end_turn",
    # Of gateways that speak this wire before other servers.
    "tool_calls": "tool_use",
    "content_filter": "content_filter",
}
_REPAIRED: Final = "the provider sent broken text; what could not be read was replaced"
_decode_line = msgspec.json.Decoder(Line).decode


class LineReader:
    """One answer being read. `done` once its last line has come."""

    __slots__ = ("_assembler", "_calls", "_origin", "_thinking", "done", "said")

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._origin = assembler.origin
        self._calls = 0
        self._thinking = False
        self.said = False
        """Whether anything has come that belongs into the answer."""
        self.done = False

    def take(self, line: Line) -> bool:
        """All that a line says, apart from an error. Returns whether it said something."""
        alive = False
        message = line.message
        if message is not None:
            content = message.content
            if message.thinking:
                self._think(message.thinking)
                alive = True
            if content:
                self._thinking = False
                self._assembler.text(content)
                alive = True
            if message.tool_calls:
                alive = self._call_all(message.tool_calls) or alive
            if alive:
                self.said = True
        if line.done and not line.error:
            self._finish(line)
            return True
        return alive

    def _think(self, text: str) -> None:
        """The first delta of a block says where the reasoning comes from, so that it can go back there."""
        self._assembler.thinking(text, None, None if self._thinking else self._origin)
        self._thinking = True

    def _call_all(self, calls: list[ToolCallPart]) -> bool:
        self._thinking = False
        for call in calls:
            function = call.function
            if function is None or not function.name:
                self._assembler.warn("stream_repaired", "a tool call without a name was left out")
                continue
            key = self._calls
            self._calls += 1
            self._assembler.tool(key, call.id or None, function.name, explicit=True)
            self._assembler.tool_arguments(key, self._arguments(function.arguments))
            self._assembler.close(key)
        return True

    def _arguments(self, raw: msgspec.Raw) -> str:
        """The literal text of a call's arguments; what gateways wrote as a text of JSON is that text."""
        data = bytes(raw)
        if data in (b"", b"null", b'""'):
            return "{}"  # calls come whole: nothing was cut off
        try:
            return msgspec.json.decode(data, type=str) if data[:1] == b'"' else data.decode()
        except (UnicodeDecodeError, msgspec.DecodeError):
            self._assembler.warn("stream_repaired", _REPAIRED)
            value, _ = parse_json(data)
            return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    def _finish(self, line: Line) -> None:
        assembler = self._assembler
        self.done = True
        assembler.usage = decode_usage(line.prompt_eval_count, line.eval_count)
        assembler.served_model = line.model or None
        reason = line.done_reason or ""
        stop = STOP_REASONS.get(reason)
        if stop is None:
            said = f"done_reason {reason[:40]!r} is unknown; taken as the end of the turn"
            assembler.warn("stream_repaired", said)
        assembler.complete(stop or "end_turn")


def parse_line(data: bytes, assembler: Assembler) -> Line:
    """A line or body that may not fit the types. Raises ValueError for what is no JSON object."""
    value, repaired = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # one error for all that is no answer
    if repaired:
        assembler.warn("stream_repaired", _REPAIRED)
    try:
        return read_line(cast("dict[str, Any]", value))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class LineStreamDecoder:
    """Lines of one stream."""

    __slots__ = ("_assembler", "_reader", "_unread", "done")

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._reader = LineReader(assembler)
        # Lines that are no JSON, before anything was: an error written over several lines, or a page.
        self._unread = b""
        self.done = False

    def feed(self, event: str, data: bytes) -> bool:
        """See StreamDecoder."""
        if self.done:
            return False
        try:
            line = _decode_line(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            odd = self._odd(data)
            if odd is None:
                return False
            line, self._unread, data = odd, b"", self._unread + data
        reader = self._reader
        alive = reader.take(line)
        if line.error:
            self.done = True
            raise failure_in_answer(data)
        if reader.done:
            self._finish()
        return alive

    def _finish(self) -> None:
        self.done = True
        if self._unread:
            self._assembler.warn("stream_repaired", "lines that are no JSON came before the answer; they were left out")

    def _odd(self, data: bytes) -> Line | None:
        """A line that the strict decoder refused; None where more has to come before it makes sense."""
        if self._unread:
            data = self._unread + b"\n" + data
        try:
            return parse_line(data, self._assembler)
        except ValueError:
            if self._reader.said or len(data) > limits.MAX_ERROR_BODY_BYTES:
                self.done = True
                raise decode_failure(200, {}, data) from None
        self._unread = data
        return None

    def end(self) -> None:
        """See StreamDecoder."""
        if self.done:
            return
        self.done = True
        if self._unread:
            raise decode_failure(200, {}, self._unread)
        raise ProviderFailure("network", "the stream ended before the answer did; try again")
