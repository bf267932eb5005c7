"""The conversation on its way to the provider: roles, merging, the order within a turn, system words in the middle.

Where a model takes system messages between others, they stand behind a user turn, alone, and before the model's turn or at
the end: https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages (2026-11-20). Elsewhere they
are sent as the user's words.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from modeld_protocol.content import AudioBlock, Block, FileBlock, ImageBlock, Message
from modeld_protocol.usage import Warning

from ...failure import ProviderFailure
from ..memory import Memory, encode_history
from .blocks import BlockEncoder
from .body import dump_body
from .cache import MAX_MARKERS, Unmarked
from .types import MARKABLE, BlockParam, MarkableParam, MessageParam, TextParam, ToolResultParam

_WireRole = Literal["user", "assistant"]
_PLAIN_ROLES = ("user", "assistant")


class _State(NamedTuple):
    """Behind an answer: how the encoding goes on. `messages` are the last ones, up to that answer."""

    messages: list[MessageParam]
    wanted_marks: list[MarkableParam]
    before: Unmarked
    system: list[str]
    warnings: list[Warning]
    uses_file_ids: bool


def _again(messages: list[MessageParam], wanted: list[MarkableParam]) -> tuple[list[MessageParam], list[MarkableParam]]:
    """The same, to be added to and marked."""
    copies: dict[int, Any] = {id(block): replace(block) for block in wanted}
    again = [MessageParam(message.role, message.content) for message in messages]
    for message in again if copies else ():
        if not isinstance(message.content, str):
            message.content = [copies.get(id(block), block) for block in message.content]
    return again, list(copies.values())


class History:
    """Messages in the wire's form. `system` holds what was said as system before anything else; `wanted_marks` the blocks at
    which clients asked for a cache marker, in order; `beginning` what goes before `messages`, as JSON already, and `before` what
    matters of it for the markers of the others."""

    def __init__(self, blocks: BlockEncoder, *, takes_system: bool, takes_marks: bool = False) -> None:
        self.system: list[str] = []
        self.messages: list[MessageParam] = []
        self.beginning: list[bytes] = []
        self.before = Unmarked(0, ())
        self.wanted_marks: list[MarkableParam] = []
        self._takes_marks = takes_marks
        self._blocks = blocks
        self._takes_system = takes_system
        self._waiting: list[BlockParam] = []  # system words, for the end of the user's turn
        self._waiting_path = ""

    def add_all(self, messages: str | list[Message], memory: Memory | None = None, *, citations: bool = False) -> None:
        """Encode a whole conversation. Raises ProviderFailure."""
        if isinstance(messages, str):
            messages = [Message("user", messages)]
        self.beginning = encode_history(self, messages, 0, memory, (citations, self._takes_marks))
        self._place_system()

    def freeze(self) -> tuple[bytes, Any] | None:
        """See HistoryEncoder. The last answer stays: another one right behind it becomes part of it; so does what may get one of
        the markers, which move on with every turn."""
        if self._waiting or not self.messages or self.messages[-1].role != "assistant":
            return None
        until = self._first_to_stay()
        frozen = self.messages[:until]
        del self.messages[:until]
        if self._takes_marks:
            gone = {id(block) for message in frozen if not isinstance(message.content, str) for block in message.content}
            self.before = self.before.and_then(frozen, [block for block in self.wanted_marks if id(block) in gone])
            self.wanted_marks = [block for block in self.wanted_marks if id(block) not in gone]
        else:
            self.wanted_marks = []
        blocks = self._blocks
        kept = (
            *_again(self.messages, self.wanted_marks),
            self.before,
            list(self.system),
            list(blocks.warnings),
            blocks.uses_file_ids,
        )
        return dump_body(frozen), _State(*kept)

    def _first_to_stay(self) -> int:
        """The place of the first message that holds one of the blocks which may get a marker, or else is the last."""
        last = len(self.messages) - 1
        asked = {id(block) for block in self.wanted_marks[-MAX_MARKERS:]} if self._takes_marks else ()
        for place, message in enumerate(self.messages[:last] if asked else ()):
            if not isinstance(message.content, str) and any(id(block) in asked for block in message.content):
                return place
        return last

    def go_on(self, state: Any) -> None:
        """See HistoryEncoder."""
        self.messages, self.wanted_marks = _again(state.messages, state.wanted_marks)
        self.before, self.system = state.before, list(state.system)
        self._blocks.warnings += state.warnings
        self._blocks.uses_file_ids = state.uses_file_ids

    def add(self, messages: list[Message], start: int, end: int) -> None:
        """See HistoryEncoder."""
        out = self.messages
        last: str | None = out[-1].role if out else None
        plain = not self._waiting
        for number in range(start, end):
            message = messages[number]
            role, content = message.role, message.content
            # Most of any history: a string that starts a turn of its own.
            if plain and type(content) is str and role != last and message.metadata is None and role in _PLAIN_ROLES:
                if content and not content.isspace():
                    out.append(MessageParam(role, content))
                    last = role
                continue
            self._add(message, number)
            last = out[-1].role if out else None
            plain = not self._waiting

    def _add(self, message: Message, number: int) -> None:
        if message.role == "system":
            self._add_system(message, number)
            return
        role: _WireRole = "assistant" if message.role == "assistant" else "user"
        encode = self._blocks.encode
        params = [encode(block, role, f"messages[{number}].content[{at}]") for at, block in enumerate(message.blocks())]
        self._append(role, [param for param in params if param is not None], wants_mark=_wants_mark(message))

    def _add_system(self, message: Message, number: int) -> None:
        path = f"messages[{number}]"
        texts = [text for block in message.blocks() if (text := self._system_text(block, path)) is not None]
        if not texts:
            return
        if not self.messages:
            self.system += [text.text for text in texts]
            return
        if self._takes_system:
            self._waiting += texts
            self._waiting_path = path
            self._note_mark(texts, wants_mark=_wants_mark(message))
            return
        self._project_system(path)
        self._append("user", list(texts), wants_mark=_wants_mark(message))

    def _place_system(self) -> None:
        """Put what waits behind the user's turn that has just ended."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        if self.messages[-1].role == "user":
            self.messages.append(MessageParam("system", waiting))
            return
        self._project_system(self._waiting_path)
        self.messages.append(MessageParam("user", waiting))

    def _project_system(self, path: str) -> None:
        message = "a system message in the middle of the conversation is sent as the user's words"
        self._blocks.warnings.append(Warning("content_projected", message, path))

    def _system_text(self, block: Block, path: str) -> TextParam | None:
        if isinstance(block, ImageBlock | AudioBlock | FileBlock):
            raise ProviderFailure("capability_mismatch", f"{path}: system messages hold text only; move media to a user message")
        param = self._blocks.encode(block, "system", path)
        return param if isinstance(param, TextParam) else None

    def _append(self, role: _WireRole, params: list[BlockParam], *, wants_mark: bool) -> None:
        if not params:
            return
        self._note_mark(params, wants_mark=wants_mark)
        if role == "assistant":
            self._place_system()
        elif self._waiting:
            message = "a system message within the user's turn is sent behind it"
            self._blocks.warnings.append(Warning("content_projected", message, self._waiting_path))
        out = self.messages
        if out and out[-1].role == role:
            before = out[-1].content
            merged = [*([TextParam(before)] if isinstance(before, str) else before), *params]
            if any(isinstance(param, ToolResultParam) for param in params):
                # All results of a turn come before anything else of the next user message.
                merged.sort(key=lambda param: not isinstance(param, ToolResultParam))
            out[-1].content = merged
        else:
            if role == "user":
                params.sort(key=lambda param: not isinstance(param, ToolResultParam))
            out.append(MessageParam(role, params))

    def _note_mark(self, params: Sequence[BlockParam], *, wants_mark: bool) -> None:
        last = next((param for param in reversed(params) if isinstance(param, MARKABLE)), None) if wants_mark else None
        if last is not None:
            self.wanted_marks.append(last)

    # ---- what the rest of the request depends on

    def ends_with_prefill(self) -> bool:
        """Whether the model is asked to go on with words put in its mouth; a paused turn, which ends in a block of the
        provider's own, isn't that."""
        if not self.messages or self.messages[-1].role != "assistant":
            return False
        content = self.messages[-1].content
        return isinstance(content, str) or (isinstance(content[-1], TextParam) and not any(isinstance(b, dict) for b in content))

    def open_call_without_thinking(self) -> bool:
        """Whether the last thing is a tool's result for a turn of the model that doesn't begin with thinking."""
        turns = [message for message in self.messages[-3:] if message.role != "system"]
        if len(turns) < 2 or turns[-1].role != "user":
            return False
        results, turn = turns[-1].content, turns[-2].content
        if isinstance(results, str) or not isinstance(results[0], ToolResultParam):
            return False
        return isinstance(turn, str) or isinstance(turn[0], MARKABLE)


def _wants_mark(message: Message) -> bool:
    return message.metadata is not None and message.metadata.get("cache") is True
