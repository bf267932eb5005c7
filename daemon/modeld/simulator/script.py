"""What a simulated provider answers, without a word of any wire: scripts, and scenarios that say when which one is used."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

Stop = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "content_filter", "refusal", "pause"]
Irregularity = Literal["no_usage", "duplicate_finish", "no_end_marker"]


class _Step(msgspec.Struct, tag_field="type", frozen=True, forbid_unknown_fields=True):
    """Base of every step; the tag field is `type`."""


class TextStep(_Step, tag="text", frozen=True):
    """Visible text. A string is streamed word by word, a list piece by piece as it stands."""

    text: str | list[str]

    def chunks(self) -> list[str]:
        """The pieces as they are streamed."""
        return split_words(self.text) if isinstance(self.text, str) else self.text


class ThinkingStep(_Step, tag="thinking", frozen=True):
    """Reasoning as text. Without a `signature` the wire makes one that it can check when the block comes back."""

    text: str | list[str]
    signature: str | None = None

    def chunks(self) -> list[str]:
        """The pieces as they are streamed."""
        return split_words(self.text) if isinstance(self.text, str) else self.text


class RedactedThinkingStep(_Step, tag="redacted_thinking", frozen=True):
    """Reasoning that only the provider can read."""

    data: str = "c2ltdWxhdGVkIHJlYXNvbmluZw=="


class ToolCallStep(_Step, tag="tool_call", frozen=True):
    """A call of a tool. `fragments`, where given, are the literal pieces of the arguments and need not be valid JSON."""

    name: str
    input: dict[str, Any] = {}
    id: str | None = None
    fragments: list[str] | None = None

    def arguments(self) -> str:
        """The arguments as one text."""
        return "".join(self.pieces())

    def pieces(self) -> list[str]:
        """The arguments as they are streamed, eight characters at a time unless the script says otherwise."""
        if self.fragments is not None:
            return self.fragments
        text = msgspec.json.encode(self.input).decode()
        return [text[start : start + 8] for start in range(0, len(text), 8)]


class RefusalStep(_Step, tag="refusal", frozen=True):
    """The model declines; `text` is its explanation."""

    text: str = "I can't help with that."
    category: str | None = None


Step = TextStep | ThinkingStep | RedactedThinkingStep | ToolCallStep | RefusalStep


class SimUsage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens to report, disjoint on the input side; `output` includes `reasoning`. None means: count it from the content."""

    input: int | None = None
    output: int | None = None
    cached: int = 0
    cache_write: int = 0
    reasoning: int | None = None


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One answer.

    A step may be given as a plain string, which stands for a text step. `stop` None follows from the steps. `pace_ms` lies
    between events, `first_delay_ms` before the response head. `fault` is a fault's name, as in a model name
    (`rate_limit-2`), or a mapping of `name` and its parameters. `repeat` gives the steps that many times over.
    `batch` events go into one write.
    """

    steps: list[str | Step] = []
    usage: SimUsage = SimUsage()
    stop: Stop | None = None
    stop_sequence: str | None = None
    pace_ms: float = 0.0
    first_delay_ms: float = 0.0
    fault: str | dict[str, Any] | None = None
    repeat: int = 1
    batch: int = 1
    irregular: tuple[Irregularity, ...] = ()

    def plain_steps(self) -> Iterator[Step]:
        """The steps as Structs, repeated as asked."""
        for _ in range(max(1, self.repeat)):
            for step in self.steps:
                yield TextStep(step) if isinstance(step, str) else step

    def stop_reason(self) -> Stop:
        """Why the answer ends: as written, else as it follows from the steps."""
        if self.stop is not None:
            return self.stop
        kinds = {type(step) for step in self.plain_steps()}
        return "refusal" if RefusalStep in kinds else "tool_use" if ToolCallStep in kinds else "end_turn"

    def reasoning_tokens(self) -> int:
        """Reported reasoning tokens: as written, else one for each streamed piece of thinking."""
        if self.usage.reasoning is not None:
            return self.usage.reasoning
        return sum(len(step.chunks()) for step in self.plain_steps() if isinstance(step, ThinkingStep))

    def output_tokens(self) -> int:
        """Reported output tokens: as written, else one for each streamed piece of anything."""
        if self.usage.output is not None:
            return self.usage.output
        return max(1, sum(_piece_count(step) for step in self.plain_steps()))


def _piece_count(step: Step) -> int:
    if isinstance(step, TextStep | ThinkingStep):
        return len(step.chunks())
    return len(step.pieces()) if isinstance(step, ToolCallStep) else 1


Answer = str | Script
"""A script by name or in full."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every condition that is given must hold; the first rule that matches picks the answer.

    `model` is a glob, `text` is looked for in the last user message without regard to case, `header` names headers and the
    values they must have, `wire` is a wire's name, `tool_result` whether the request ends in tool results. `sequence` gives
    the answers to the first, second, ... matching request; the last one stays, or all begin anew with `cycle`.
    """

    model: str | None = None
    text: str | None = None
    header: dict[str, str] = {}
    wire: str | None = None
    tool_result: bool | None = None
    script: Answer | None = None
    sequence: list[Answer] = []
    cycle: bool = False

    def answer(self, used: int) -> Answer | None:
        """What the rule answers after it was used that many times before."""
        if not self.sequence:
            return self.script
        place = used % len(self.sequence) if self.cycle else min(used, len(self.sequence) - 1)
        return self.sequence[place]


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Named scripts and how a request picks one.

    `default` answers models whose name means nothing to the simulator; null refuses them as unknown. `refuse` lists, per
    model glob, the request fields that those models don't accept. `require_key` refuses calls without a credential.
    """

    scripts: dict[str, Script] = {}
    rules: list[Rule] = []
    default: Answer | None = "text"
    refuse: dict[str, list[str]] = {}
    require_key: bool = True


class ScenarioError(ValueError):
    """A scenario that can't be used; the message says where and what to do."""


def parse_scenario(data: bytes, name: str = "scenario") -> Scenario:
    """A scenario from the bytes of a YAML or JSON file. Raises ScenarioError."""
    import yaml

    try:
        raw = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe loaders both
        return msgspec.convert({} if raw is None else raw, Scenario)
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError, ValueError) as error:
        raise ScenarioError(f"{name}: {error}. See `modeld simulate --list` for the names of scripts and faults") from error


def split_words(text: str) -> list[str]:
    """Words with the space before them, so that the pieces joined are the text again."""
    pieces: list[str] = []
    start = 0
    for index in range(1, len(text)):
        if text[index] in " \n" and text[index - 1] not in " \n":
            pieces.append(text[start:index])
            start = index
    if text[start:]:
        pieces.append(text[start:])
    return pieces
