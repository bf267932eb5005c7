"""Reads the Chat Completions stream: frames in, verbs of one Assembler out.

Written for every server that calls itself compatible: the plain form is decoded strictly and fast, whatever does not fit
goes through `loose`. https://developers.openai.com/api/reference/resources/chat/subresources/completions/streaming-events
(2026-11-20)
"""

from typing import Any, cast

import msgspec

from modeld_protocol.response import StopReason

from ...assembler import Assembler
from ...failure import ProviderFailure
from ..loose_json import parse_json
from ..openai_shared.errors import decode_failure, failure_in_answer
from .loose import read_chunk
from .think_tags import ThinkTags
from .thoughts import Thoughts
from .tool_calls import ToolCalls
from .types import Choice, Chunk, Delta, WireUsage
from .usage import decode_usage, reported_cost

STOP_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
    # Of compatible servers: docs.z.ai (sensitive, network_error, model_context_window_exceeded), api-docs.deepseek.com
    # (insufficient_system_resource), openrouter.ai/docs (error); 2026-11-20.
    "sensitive": "content_filter",
    "network_error": "error",
    "insufficient_system_resource": "error",
    "error": "error",
    "model_context_window_exceeded": "max_tokens",
    "max_tokens": "max_tokens",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "end_turn": "end_turn",
    "eos": "end_turn",
}

_NO_REASON = (None, "", "null")
_PLAIN_EVENTS = ("", "message", "data", "error")
_decode_chunk = msgspec.json.Decoder(Chunk).decode


def parse_chunk(data: bytes, assembler: Assembler) -> Chunk:
    """A frame or body that may not fit the types. Raises ValueError for what is no JSON object."""
    value, repaired = parse_json(data)
    if isinstance(value, list) and value:
        value = cast("list[Any]", value)[0]  # an array of one, as some gateways wrap errors
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # one error for all that is no answer
    if repaired:
        assembler.warn("stream_repaired", "the provider sent broken text; what could not be read was replaced")
    try:
        return read_chunk(cast("dict[str, Any]", value))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class AnswerReader:
    """One answer being read: what deltas and messages say, in verbs of the assembler."""

    __slots__ = (
        "_assembler",
        "_calls",
        "_dropped",
        "_refused",
        "_reports_cost",
        "_special",
        "_tags",
        "_thoughts",
        "error",
        "finish_reason",
        "said",
    )

    def __init__(self, assembler: Assembler, *, whole: bool = False) -> None:
        self._assembler = assembler
        self._calls: ToolCalls | None = None  # most answers call no tool
        self._thoughts = Thoughts(assembler, whole=whole)
        self._tags = ThinkTags() if assembler.quirks.think_tags else None
        self._special = self._tags is not None  # whether text needs more than to be passed on
        self._reports_cost = assembler.quirks.reports_cost
        self._refused = False
        self._dropped: tuple[str, ...] = ()
        self.said = False
        """Whether anything has come that belongs into the answer."""
        self.finish_reason: str | None = None
        self.error: Any = None

    def take_chunk(self, chunk: Chunk) -> bool:
        """All that a chunk, or a whole answer, says. Returns whether it said something."""
        alive = False
        for choice in chunk.choices or ():
            if not choice.index:  # others are not ours: `n` is never sent
                alive = self._take_choice(choice) or alive
        extension = chunk.x_groq
        usage = chunk.usage or (extension.usage if extension is not None else None)
        if usage is not None:
            alive = self.take_usage(usage) or alive
        if chunk.model and self._assembler.served_model is None:
            self._assembler.served_model = chunk.model
        if chunk.error or extension is not None or chunk.base_resp:
            self._note_error(chunk)
        return alive

    def _take_choice(self, choice: Choice) -> bool:
        alive = False
        delta = choice.delta
        if delta is None and not self.said:
            delta = choice.message  # a stream's last frame may repeat the whole message; it counts where nothing came before
        if delta is not None and self._take(delta):
            alive = self.said = True
        if choice.finish_reason not in _NO_REASON:
            self.finish_reason = choice.finish_reason
            alive = True
        if choice.usage is not None:
            alive = self.take_usage(choice.usage) or alive
        if choice.error:
            self.error = {"error": choice.error}
        return alive

    def _take(self, delta: Delta) -> bool:
        """What one delta, or a whole message, adds. Returns whether it added something."""
        assembler = self._assembler
        alive = False
        if delta.reasoning_content or delta.reasoning or delta.thinking or delta.reasoning_details or delta.encrypted_content:
            alive = True
            if self._thoughts.take(delta):
                self._special = True
        if delta.content:
            if self._special:
                self._take_text(delta.content)
            else:
                assembler.text(delta.content)
            alive = True
        if delta.refusal:
            assembler.refusal(delta.refusal)
            alive = self._refused = True
        if delta.tool_calls or delta.function_call is not None:
            alive = self._take_calls(delta) or alive
        if delta.audio or delta.images:
            alive = self._drop("audio" if delta.audio else "an image")
        return alive

    def _take_calls(self, delta: Delta) -> bool:
        """Fragments of tool calls. Returns whether they said something."""
        if self._special:
            self._settle()
        if self._calls is None:
            self._calls = ToolCalls(self._assembler)
        alive = self._calls.take(delta.tool_calls) if delta.tool_calls else False
        if delta.function_call is not None:
            alive = self._calls.take_legacy(delta.function_call) or alive
        return alive

    def _take_text(self, content: str) -> None:
        """Content where reasoning may hide in it, or where state of the reasoning is still to be told."""
        text = content
        if self._tags is not None:
            thought, text = self._tags.feed(content)
            self._take_tagged(thought)
            if self._tags.done:
                self._tags = None
        if text:
            self._thoughts.settle()
            self._assembler.text(text)
            self._special = self._tags is not None

    def _take_tagged(self, thought: str) -> None:
        if thought and not self._thoughts.plain:  # some servers say it twice, in tags and in a field
            self._thoughts.add(thought, "content")

    def _settle(self, *, last: bool = False) -> None:
        """What was held back, before anything else than text comes."""
        if self._tags is not None:
            thought, text = self._tags.end()
            self._tags = None
            self._take_tagged(thought)
            self._assembler.text(text)
        self._thoughts.settle(last=last)
        self._special = False

    def cut(self) -> None:
        """The answer ends here, though it is not whole: show what was held back."""
        self._settle(last=True)

    def _drop(self, kind: str) -> bool:
        if kind not in self._dropped:
            self._dropped += (kind,)
            self._assembler.warn("content_dropped", f"the answer holds {kind}, for which there is no block; it was left out")
        return True

    def take_usage(self, wire: WireUsage) -> bool:
        """Usage comes in several places and several times, equal or growing: the last one counts, nothing is added up."""
        usage = decode_usage(wire)
        if usage is not None:
            self._assembler.usage = usage
        if self._reports_cost and wire.cost is not None:
            self._assembler.reported_cost = reported_cost(wire)
        return usage is not None

    def _note_error(self, chunk: Chunk) -> None:
        if chunk.error:
            self.error = {"error": chunk.error}
        elif chunk.x_groq is not None and chunk.x_groq.error:
            self.error = {"error": chunk.x_groq.error}
        elif chunk.base_resp and not chunk.choices:
            base: Any = chunk.base_resp
            if isinstance(base, dict) and cast("dict[str, Any]", base).get("status_code"):
                self.error = {"base_resp": base}

    def complete(self) -> None:
        """The answer is whole."""
        self._settle(last=True)
        if self._calls is not None:
            self._calls.finish()
        self._assembler.complete(self._stop_reason())

    def _stop_reason(self) -> StopReason:
        if self.finish_reason is None:
            return "end_turn"
        stop = STOP_REASONS.get(self.finish_reason)
        if stop is None:
            said = f"finish_reason {self.finish_reason[:40]!r} is unknown; taken as the end of the turn"
            self._assembler.warn("stream_repaired", said)
            return "end_turn"
        return "refusal" if stop == "content_filter" and self._refused else stop  # some routers name a refusal so


class ChatStreamDecoder:
    """Frames of one stream. `end_marker`: whether this provider ends a good stream with `[DONE]`."""

    __slots__ = ("_assembler", "_end_marker", "_reader", "done")

    def __init__(self, assembler: Assembler, *, end_marker: bool) -> None:
        self._assembler = assembler
        self._end_marker = end_marker
        self._reader = AnswerReader(assembler)
        self.done = False

    def feed(self, event: str, data: bytes) -> bool:
        """See StreamDecoder. Content of a frame counts before the error that stands beside it."""
        if self.done:
            return False
        if self._assembler.failure is not None:
            return self._after_error(data)
        try:
            chunk = _decode_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            odd = self._odd(event, data)
            if odd is None:
                return self.done
            chunk = odd
        reader = self._reader
        alive = reader.take_chunk(chunk)
        if reader.error is not None or event == "error":
            reader.cut()
            self._fail(failure_in_answer(reader.error or parse_json(data)[0]), chunk)
        return alive

    def _fail(self, failure: ProviderFailure, chunk: Chunk) -> None:
        """Raises the failure, unless this provider may still tell what the call cost."""
        assembler = self._assembler
        assembler.usage_is_final = chunk.usage is not None and assembler.usage is not None
        if assembler.usage_is_final or not assembler.quirks.usage_after_error:
            self.done = True
            raise failure
        assembler.failure = failure

    def _after_error(self, data: bytes) -> bool:
        """Of what follows an error only the counts matter, which end the wait for them."""
        try:
            chunk = None if data.strip() == b"[DONE]" else parse_chunk(data, self._assembler)
        except ValueError:
            return False
        if chunk is None or (chunk.usage is not None and self._reader.take_usage(chunk.usage)):
            self._assembler.usage_is_final = chunk is not None
            self._raise_failure()
        return False

    def _raise_failure(self) -> None:
        failure = self._assembler.failure
        if failure is not None:
            self.done = True
            raise failure

    def _odd(self, event: str, data: bytes) -> Chunk | None:
        """A frame that the strict decoder refused; None for the end marker and for what may be ignored."""
        text = data.strip()
        if text == b"[DONE]":
            self._end_marked()
            return None
        if text in (b"", b"null", b"[]") and event != "error":
            return None
        try:
            return parse_chunk(data, self._assembler)
        except ValueError:
            if event not in _PLAIN_EVENTS:
                return None  # events of other names are extensions; nobody has to know them
            self.done = True
            raise decode_failure(200, {}, data) from None

    def _end_marked(self) -> None:
        self.done = True
        reader = self._reader
        if reader.finish_reason is None:
            if not reader.said:
                raise ProviderFailure("server_error", "the provider ended the stream without an answer; try again")
            self._assembler.warn("stream_repaired", "the stream ended without a finish_reason; taken as the end of the turn")
        reader.complete()

    def end(self) -> None:
        """See StreamDecoder. A finish_reason says that the answer is whole: several providers close the connection after it
        without `[DONE]`, and throwing a paid answer away would help nobody. Without one the answer was cut short."""
        if self.done:
            return
        self._raise_failure()
        self.done = True
        if self._reader.finish_reason is None:
            self._reader.cut()
            raise ProviderFailure("network", "the stream ended before the answer did; try again")
        if self._end_marker:
            self._assembler.warn("stream_repaired", "the stream ended without its end marker, after a whole answer")
        self._reader.complete()
