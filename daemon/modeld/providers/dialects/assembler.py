"""An Assembler that reads calls out of the text that a wire hands it."""

from typing import Any, Literal

from modeld_protocol.content import ProviderRaw
from modeld_protocol.response import StopReason

from ..assembler import Assembler, WholeBlock
from ..spec import PLAIN, Quirks
from .contract import Dialect
from .scanner import CallScanner

_WHOLE: frozenset[StopReason] = frozenset(("end_turn", "stop_sequence", "tool_use"))


class _Own:
    """The key of a block that this class made, so that it is known again when the assembler plays it later."""

    __slots__ = ()


class DialectAssembler(Assembler):
    """See Assembler. Text goes through a scanner; everything else passes, after the text before it."""

    __slots__ = ("_call_key", "_scanner", "_text_key", "_wire_key")

    def __init__(
        self,
        dialect: Dialect,
        message_id: str,
        model_id: str,
        provider: str,
        *,
        provider_type: str | None = None,
        wire_name: str | None = None,
        quirks: Quirks = PLAIN,
    ) -> None:
        super().__init__(message_id, model_id, provider, provider_type=provider_type, wire_name=wire_name, quirks=quirks)
        self._scanner = CallScanner(dialect, self)
        self._wire_key: object = None
        self._text_key = _Own()
        self._call_key = _Own()

    # ---- verbs of the wire

    def text(self, text: str, key: object = None, *, explicit: bool = False) -> None:
        """See Assembler. A block of the wire's may become several, with calls between them."""
        if key.__class__ is _Own:
            super().text(text, key)
            return
        if self.completed:
            return
        if key != self._wire_key:
            self._scanner.flush()
            self._wire_key = key
            self._text_key = _Own()
        if text:
            self._scanner.feed(text)

    def thinking(self, text: str, key: object = None, raw: ProviderRaw | None = None, *, explicit: bool = False) -> None:
        """See Assembler."""
        self._flush()
        super().thinking(text, key, raw, explicit=explicit)

    def refusal(self, text: str, key: object = None) -> None:
        """See Assembler."""
        self._flush()
        super().refusal(text, key)

    def tool(
        self, key: object, provider_id: str | None, name: str, *, raw: ProviderRaw | None = None, explicit: bool = False
    ) -> None:
        """See Assembler."""
        if key.__class__ is not _Own:
            self._flush()
        super().tool(key, provider_id, name, raw=raw, explicit=explicit)

    def whole(self, block: WholeBlock, key: object = None, *, explicit: bool = False) -> None:
        """See Assembler."""
        self._flush()
        super().whole(block, key, explicit=explicit)

    def attach(self, raw: ProviderRaw, key: object = None, kind: Literal["text", "tool"] = "text") -> None:
        """See Assembler."""
        self._flush()
        super().attach(raw, self._text_key if kind == "text" and key == self._wire_key else key, kind)

    def close(self, key: object) -> None:
        """See Assembler."""
        if key.__class__ is not _Own:
            self._flush()
        super().close(key)

    def restart(self) -> None:
        """See Assembler."""
        self._scanner.end(cut=True)
        super().restart()

    def complete(self, stop_reason: StopReason) -> None:
        """See Assembler."""
        if not self.completed:
            self._scanner.end(cut=stop_reason not in _WHOLE)
        super().complete(stop_reason)

    def _flush(self) -> None:
        if not self._replaying:  # what is played later has had its text before it
            self._scanner.flush()

    # ---- what the scanner finds

    def on_text(self, text: str) -> None:
        """See Sink."""
        super().text(text, self._text_key)

    def on_call(self, name: str) -> None:
        """See Sink."""
        self._call_key = _Own()
        super().tool(self._call_key, None, name, explicit=True)

    def on_arguments(self, fragment: str) -> None:
        """See Sink."""
        super().tool_arguments(self._call_key, fragment)

    def on_call_end(self) -> None:
        """See Sink."""
        super().close(self._call_key)
        self._text_key = _Own()

    def on_warning(self, code: str, message: str, raw: str) -> None:
        """See Sink."""
        detail: dict[str, Any] = {"raw": raw}
        self.warn(code, message, **detail)
