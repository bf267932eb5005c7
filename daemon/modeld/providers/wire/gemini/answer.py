"""One answer of the Gemini wire being read: its parts in verbs of the assembler, and why it ended.

A `thoughtSignature` may stand on any part, also on an empty text at the end, and has to go back on the part it came with
(https://ai.google.dev/gemini-api/docs/thought-signatures, 2026-11-20). It is kept in the provider_raw of the block; where
only the end of a text was signed, `signed_from` says where that part began.
"""

from collections.abc import Sequence
from typing import Any, Final

from modeld_protocol.content import AudioBlock, Base64Source, FileBlock, ImageBlock, MediaBlock, OpaqueBlock, ProviderRaw
from modeld_protocol.errors import ErrorClass
from modeld_protocol.response import StopReason
from modeld_protocol.usage import Usage

from ...assembler import Assembler
from ...failure import ProviderFailure
from .loose import is_object, objects, parse_json
from .partial_call import PartialCall
from .types import Candidate, Chunk, FunctionCall, Part, PromptFeedback, WireUsage
from .usage import counts_anything, decode_usage

# https://ai.google.dev/api/generate-content#FinishReason (2026-11-20)
STOP_REASONS: Final[dict[str, StopReason]] = {
    "STOP": "end_turn",
    "MAX_TOKENS": "max_tokens",
    "CONTINUATION": "pause",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "OTHER": "error",
    "IMAGE_OTHER": "error",
    "NO_IMAGE": "error",
    "FINISH_REASON_UNSPECIFIED": "error",
    "UNEXPECTED_TOOL_CALL": "error",  # of a tool that was not offered; where the call is there, the client may answer it
}
FAILURES: Final[dict[str, ErrorClass]] = {
    "MALFORMED_FUNCTION_CALL": "server_error",
    "MALFORMED_RESPONSE": "server_error",
    "UNEXPECTED_TOOL_CALL": "server_error",
    "TOO_MANY_TOOL_CALLS": "server_error",
    "MISSING_THOUGHT_SIGNATURE": "thinking_signature_invalid",
}
"""Answers that came to nothing: what the model wrote can't be used, and nobody's request is wrong."""

# Numbers come where a client asks for `enum-encoding=int`, and from servers that do not wait to be asked.
_NUMBERS: Final = (
    "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT",
    "SPII", "MALFORMED_FUNCTION_CALL",
)  # fmt: skip

_EMPTY: Final = (b"", b"null")


class AnswerReader:
    """One answer being read. `ended` once something has said how it ends, `said` once anything of it has come."""

    __slots__ = (
        "_assembler",
        "_blocked",
        "_calls",
        "_finish_message",
        "_finish_reason",
        "_origin",
        "_partial",
        "_text",
        "_thinking",
        "_unnamed",
        "_usage",
        "said",
    )

    def __init__(self, assembler: Assembler, origin: ProviderRaw) -> None:
        self._assembler = assembler
        self._origin = origin
        self._blocked: PromptFeedback | None = None
        self._calls = 0
        self._finish_message: str | None = None
        self._finish_reason: str | int | None = None
        self._partial: PartialCall | None = None
        self._text = assembler.text
        self._thinking = False
        self._unnamed = True
        self._usage: WireUsage | None = None
        self.said = False
        assembler.late_usage = self._counted

    @property
    def ended(self) -> bool:
        """Whether the answer may be over."""
        return self._finish_reason is not None or self._blocked is not None

    def take(self, chunk: Chunk, source: bytes | dict[str, Any]) -> bool:
        """All that a chunk, or a whole answer, says; `source` is its JSON, for what the types don't hold. Returns whether it
        said something."""
        alive = False
        if chunk.candidates:
            for candidate in chunk.candidates:
                if not candidate.index:  # others are not ours: `candidateCount` is never sent
                    alive = True
                    self._take_candidate(candidate, chunk, source)
        if chunk.usage_metadata is not None and counts_anything(chunk.usage_metadata):
            self._usage = chunk.usage_metadata  # read at the end: it comes with every chunk
            alive = True
        if self._unnamed and chunk.model_version:
            self._unnamed = False
            self._assembler.served_model = chunk.model_version
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self._blocked = chunk.prompt_feedback
            alive = True
        return alive

    def _take_candidate(self, candidate: Candidate, chunk: Chunk, source: bytes | dict[str, Any]) -> None:
        content = candidate.content
        if content is not None and content.parts:
            self.said = True
            for part in content.parts:
                text = part.text
                if text is None or part.thought or part.thought_signature or self._partial is not None:
                    self._take_part(part, candidate, chunk, source)
                elif text:  # most of every stream
                    self._thinking = False
                    self._text(text)
        if candidate.finish_reason:
            self.said = True
            self._finish_reason = candidate.finish_reason
            self._finish_message = candidate.finish_message
            if candidate.continuation_token:
                self._whole(OpaqueBlock({**self._origin, "continuationToken": candidate.continuation_token}))

    def _take_part(self, part: Part, candidate: Candidate, chunk: Chunk, source: bytes | dict[str, Any]) -> None:
        if part.function_call is not None:
            self._take_call(part.function_call, part.thought_signature)
            return
        self._end_partial()
        if part.text is None:
            self._take_other(_raw_part(part, candidate, chunk, source))
        elif part.thought:
            self._take_thought(part.text, part.thought_signature)
        elif part.thought_signature:
            self._take_signed(part.text, part.thought_signature)
        elif part.text:
            self._thinking = False
            self._assembler.text(part.text)

    def _counted(self) -> Usage | None:
        return decode_usage(self._usage) if self._usage is not None else None

    # ---- text and thoughts

    def _take_signed(self, text: str, signature: str) -> None:
        """A signed part ends its block: what follows was not signed with it."""
        self._thinking = False
        assembler = self._assembler
        signed_from = assembler.open_text_chars
        assembler.text(text, explicit=not signed_from)
        raw: ProviderRaw = {**self._origin, "thoughtSignature": signature}
        assembler.attach({**raw, "signed_from": signed_from} if signed_from else raw)
        assembler.close(None)

    def _take_thought(self, text: str, signature: str | None) -> None:
        """Thoughts say from the start whose they are: unsigned ones need not go back to their provider, others' can't."""
        if signature:
            self._assembler.thinking(text, raw={**self._origin, "thoughtSignature": signature})
            self._assembler.close(None)
            self._thinking = False
        elif text:
            self._assembler.thinking(text, raw=None if self._thinking else self._origin)
            self._thinking = True

    # ---- calls

    def _take_call(self, call: FunctionCall, signature: str | None) -> None:
        if call.name:
            self._end_partial()
            self._partial = PartialCall(call.name, call.id, signature)
        partial = self._partial
        if partial is None:
            if call.partial_args or bytes(call.args) not in (*_EMPTY, b"{}"):
                self._assembler.warn("stream_repaired", "a tool call without a name was left out")
            return
        partial.signature = partial.signature or signature
        for piece in call.partial_args or ():
            partial.put(piece)
        if bytes(call.args) not in _EMPTY:
            partial.args = bytes(call.args)
        if not call.will_continue:
            self._end_partial()

    def _end_partial(self) -> None:
        """The call that has come so far, whole."""
        call, self._partial = self._partial, None
        if call is None:
            return
        self._thinking = False
        raw: ProviderRaw = {**self._origin}
        if call.id:
            raw["id"] = call.id
        if call.signature:
            raw["thoughtSignature"] = call.signature
        assembler, key = self._assembler, self._calls
        self._calls += 1
        assembler.tool(key, call.id, call.name, raw=raw if len(raw) > len(self._origin) else None, explicit=True)
        assembler.tool_arguments(key, call.arguments())
        assembler.close(key)

    # ---- everything else

    def _take_other(self, part: dict[str, Any]) -> None:
        """Media become blocks that every client can show; what only the provider understands is kept whole, to go back."""
        if not part:
            return
        media, signature = _media_block(part), part.get("thoughtSignature")
        if media is None:
            self._whole(OpaqueBlock({**self._origin, "part": part}))
            return
        self._whole(media)
        if signature:
            self._whole(OpaqueBlock({**self._origin, "thoughtSignature": signature}))  # of the block before it

    def _whole(self, block: OpaqueBlock | MediaBlock) -> None:
        self._thinking = False
        self._assembler.whole(block)

    # ---- the end

    def complete(self) -> None:
        """The answer is over. Raises ProviderFailure where it came to nothing."""
        self._end_partial()
        reason = self._reason()
        if reason in FAILURES and not (reason == "UNEXPECTED_TOOL_CALL" and self._calls):
            said = f": {self._finish_message[:300]}" if self._finish_message else ""
            raise ProviderFailure(
                FAILURES[reason],
                f"the model's answer can't be used ({reason}){said}; try again, or change the prompt or the tools",
                provider_status=200,
                provider_message=self._finish_message or reason,
            )
        self._assembler.complete(self._stop_reason(reason))

    def _reason(self) -> str | None:
        reason = self._finish_reason
        if isinstance(reason, int):
            return _NUMBERS[reason] if 0 <= reason < len(_NUMBERS) else "OTHER"
        return reason.upper() if reason else None

    def _stop_reason(self, reason: str | None) -> StopReason:
        if reason is None:
            return self._blocked_stop() if self._blocked is not None else "end_turn"
        stop = STOP_REASONS.get(reason)
        if stop is None:
            said = f"finishReason {reason[:40]!r} is unknown; taken as the end of the turn"
            self._assembler.warn("stream_repaired", said)
            return "end_turn"
        if stop in ("content_filter", "error"):
            said = f": {self._finish_message[:300]}" if self._finish_message else ""
            self._assembler.warn("content_dropped", f"the provider ended the answer early ({reason}){said}")
        return stop

    def _blocked_stop(self) -> StopReason:
        assert self._blocked is not None
        message = self._blocked.block_reason_message
        said = f": {message[:300]}" if message else ""
        self._assembler.warn("content_dropped", f"the provider blocked the prompt ({self._blocked.block_reason}){said}")
        return "content_filter"


def _raw_part(part: Part, candidate: Candidate, chunk: Chunk, source: bytes | dict[str, Any]) -> dict[str, Any]:
    """A part as it came, with all of its members; nothing where it can't be read."""
    try:
        value: Any = parse_json(source)[0] if isinstance(source, bytes) else source
    except ValueError:
        return {}
    place = _place(chunk.candidates or [], candidate)
    candidates = objects(value.get("candidates"))
    content = candidates[place].get("content") if place < len(candidates) else None
    parts = objects(content.get("parts")) if is_object(content) else []
    number = _place(candidate.content.parts or [], part) if candidate.content is not None else 0
    return parts[number] if number < len(parts) else {}


def _place(items: Sequence[object], wanted: object) -> int:
    return next(place for place, item in enumerate(items) if item is wanted)


def _media_block(part: dict[str, Any]) -> MediaBlock | None:
    """A generated image, sound or file; thoughts in pictures are the provider's own business."""
    data = part.get("inlineData")
    if not is_object(data) or part.get("thought") or not isinstance(data.get("data"), str):
        return None
    media_type = data.get("mimeType")
    if not isinstance(media_type, str) or not set(part) <= {"inlineData", "thoughtSignature"}:
        return None
    kind = {"image": ImageBlock, "audio": AudioBlock}.get(media_type.partition("/")[0], FileBlock)
    return kind(Base64Source(data["data"]), media_type)
