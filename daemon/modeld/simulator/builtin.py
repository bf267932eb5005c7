"""Scripts that need no writing: a model name picks one, its numbers fill it in."""

import re
from collections.abc import Callable

import msgspec

from .ask import Ask, OfferedTool
from .instances import instance_of, object_of
from .script import (
    RedactedThinkingStep,
    RefusalStep,
    Script,
    SimUsage,
    TextStep,
    ThinkingStep,
    ToolCallStep,
)

_LINE = "the quick brown fox jumps over the lazy dog and then writes some code in python "
_WORDS = _LINE.split()
_GREETING = "Hello! This answer comes from the simulator: no model was asked, and nothing left this machine."
_THOUGHT = "The user wants an answer. A simulated one is enough, so I keep it short."
# Each of these has broken a decoder: line separators that end no line, a joined emoji, right-to-left, escapes, a null.
_DIFFICULT = [
    "Zażółć gęślą jaźń. ",
    "漢字 ",
    "👩🏽‍🚀 ",
    "שלום ",
    "a\u2028b\u2029c\u0085d ",
    'tab\t quote" slash\\ ',
    "nul\x00 ",
    "\ufeffend",
]


class Builtin(msgspec.Struct, frozen=True):
    """A script by name. `build` takes the request and the number in the name (`long-5000`), or `number` where it has none."""

    name: str
    summary: str
    build: Callable[[Ask, int], Script]
    number: int | None = None
    number_means: str = ""


def _text(_ask: Ask, _number: int) -> Script:
    return Script([_GREETING])


def _echo(ask: Ask, _number: int) -> Script:
    return Script([TextStep(ask.user_text)])


def _long(_ask: Ask, number: int) -> Script:
    return Script([TextStep(_words(number))])


def _words(count: int) -> list[str]:
    return [(" " if index else "") + _WORDS[index % len(_WORDS)] for index in range(count)]


def _slow(_ask: Ask, number: int) -> Script:
    return Script([_GREETING], pace_ms=number)


def _thinking(_ask: Ask, _number: int) -> Script:
    return Script([ThinkingStep(_THOUGHT), TextStep(_GREETING)])


def _redacted(_ask: Ask, _number: int) -> Script:
    return Script([RedactedThinkingStep(), TextStep(_GREETING)])


def _tool(ask: Ask, _number: int) -> Script:
    return _called(ask, 1) if _may_call(ask) else _after_tools(ask)


def _parallel_tools(ask: Ask, number: int) -> Script:
    return _called(ask, number if ask.parallel else 1) if _may_call(ask) else _after_tools(ask)


def _thinking_tool(ask: Ask, _number: int) -> Script:
    script = _tool(ask, 1)
    return msgspec.structs.replace(script, steps=[ThinkingStep(_THOUGHT), *script.steps])


def _agent(ask: Ask, number: int) -> Script:
    if not ask.tools or ask.tool_choice == "none" or ask.tool_rounds >= number:
        return _after_tools(ask)
    return _called(ask, 1, start=ask.tool_rounds)


def _may_call(ask: Ask) -> bool:
    return bool(ask.tools) and not ask.answered and ask.tool_choice != "none"


def _called(ask: Ask, count: int, start: int = 0) -> Script:
    """Calls of the tools offered, in turn; a forced tool is the only one called."""
    forced = [tool for tool in ask.tools if tool.name == ask.forced_tool]
    tools = forced or ask.tools
    picked = [tools[(start + index) % len(tools)] for index in range(count)]
    return Script([TextStep("Let me look that up."), *(_call(tool) for tool in picked)])


def _call(tool: OfferedTool) -> ToolCallStep:
    return ToolCallStep(tool.name, object_of(tool.schema))


def _after_tools(ask: Ask) -> Script:
    if ask.answered:
        return Script(["The tools have answered, so I am done."])
    return Script(["No tool was offered that I may call, so I answer in text."])


def _refusal(_ask: Ask, _number: int) -> Script:
    return Script([RefusalStep()])


def _content_filter(_ask: Ask, _number: int) -> Script:
    return Script([TextStep("This answer was")], stop="content_filter")


def _max_tokens(ask: Ask, number: int) -> Script:
    count = min(ask.max_tokens or number, number)
    return Script([TextStep(_words(count))], stop="max_tokens", usage=SimUsage(output=count))


def _stop(ask: Ask, _number: int) -> Script:
    if not ask.stop_sequences:
        return Script([_GREETING])
    return Script(["One, two, "], stop="stop_sequence", stop_sequence=ask.stop_sequences[0])


def _pause(_ask: Ask, _number: int) -> Script:
    return Script(["Still at work; send this back to go on."], stop="pause")


def _structured(ask: Ask, _number: int) -> Script:
    value = instance_of(ask.schema) if ask.schema is not None else {"answer": "simulated"}
    text = msgspec.json.encode(value).decode()
    return Script([TextStep([text[start : start + 12] for start in range(0, len(text), 12)])])


def _cached(_ask: Ask, _number: int) -> Script:
    return Script([_GREETING], usage=SimUsage(input=20, cached=1_000, cache_write=300))


def _difficult(_ask: Ask, _number: int) -> Script:
    return Script([TextStep(_DIFFICULT)])


def _empty(_ask: Ask, _number: int) -> Script:
    return Script()


BUILTINS: dict[str, Builtin] = {
    row.name: row
    for row in (
        Builtin("text", "a sentence", _text),
        Builtin("echo", "the text of the last user message", _echo),
        Builtin("long", "many words, one event each", _long, 500, "words"),
        Builtin("slow", "a sentence with a pause between the words", _slow, 200, "milliseconds between events"),
        Builtin("thinking", "reasoning with a signature, then text", _thinking),
        Builtin("redacted", "reasoning that is encrypted, then text", _redacted),
        Builtin("reasoning", "as thinking, from a model that refuses temperature, top_p, stop and max_tokens", _thinking),
        Builtin("tool", "calls the first tool offered; answers in text once a result is there", _tool),
        Builtin("parallel-tools", "calls several tools at once", _parallel_tools, 2, "calls"),
        Builtin("thinking-tool", "reasoning, then a tool call", _thinking_tool),
        Builtin("agent", "calls a tool each turn for some turns, then answers in text", _agent, 3, "turns with a call"),
        Builtin("structured", "JSON that the given schema accepts", _structured),
        Builtin("refusal", "declines", _refusal),
        Builtin("content-filter", "stopped by the provider's filter", _content_filter),
        Builtin("max-tokens", "cut off by the token limit", _max_tokens, 16, "most tokens"),
        Builtin("stop", "ends at the request's first stop sequence", _stop),
        Builtin("pause", "pauses a long turn", _pause),
        Builtin("cached", "usage with cache reads and writes", _cached),
        Builtin("difficult", "text that breaks careless decoders", _difficult),
        Builtin("empty", "an answer without content", _empty),
    )
}
REFUSED_BY_BUILTINS: dict[str, list[str]] = {
    "sim-reasoning*": ["temperature", "top_p", "top_k", "stop", "stop_sequences", "max_tokens"]
}
_MAX_NUMBER = 1_000_000


def build_builtin(name: str, ask: Ask) -> Script | None:
    """The script of a name such as `text` or `long-5000`, None where there is none of that name."""
    row = BUILTINS.get(name)
    if row is not None:
        return row.build(ask, row.number or 0)
    base, _, digits = name.rpartition("-")
    row = BUILTINS.get(base)
    if row is None or row.number is None or not (digits.isascii() and digits.isdigit()):
        return None
    return row.build(ask, min(int(digits), _MAX_NUMBER))


# ---- benchmark profiles

_BENCH = re.compile(r"bench((?:-[nsdfb]\d{1,8})+)")


class BenchProfile(msgspec.Struct, frozen=True):
    """`bench-n<events>-s<characters per event>-d<delay us>-f<first delay us>-b<events per write>`; what is left out keeps
    its default."""

    n: int = 200
    s: int = 20
    d: int = 0
    f: int = 0
    b: int = 1

    def script(self) -> Script:
        """The text in `n` pieces of `s` characters, with usage that is the same for every request."""
        pieces = [_slice(index * 7, self.s) for index in range(self.n)]
        return Script(
            [TextStep(pieces)],
            usage=SimUsage(input=10, output=self.n),
            pace_ms=self.d / 1000,
            first_delay_ms=self.f / 1000,
            batch=max(1, self.b),
        )


def _slice(start: int, size: int) -> str:
    start %= len(_LINE)
    return (_LINE * (2 + size // len(_LINE)))[start : start + size]


def parse_bench(model: str) -> BenchProfile | None:
    """The profile that a model name spells out, None where it is none."""
    found = _BENCH.fullmatch(model)
    if found is None:
        return None
    return BenchProfile(**{part[0]: min(int(part[1:]), _MAX_NUMBER * 60) for part in found[1].strip("-").split("-")})
