"""Tools as text: what the prompt and the history say, what is read out of an answer, and when a model gets it."""

from typing import Any

import msgspec
import pytest

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.assembler import Assembler
from modeld.providers.catalog import facts_of, row_of, with_capabilities, with_quirks
from modeld.providers.dialects import DIALECTS, DialectAssembler, assembler_for, in_dialect
from modeld.providers.spec import ModelSpec, Quirks
from modeld.routing.registry import build_registry
from modeld_protocol.events import ToolUseInputDelta
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import StopReason

WEATHER = {
    "name": "weather",
    "description": "Now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TAGGED, FENCED = DIALECTS["tagged"], DIALECTS["fenced"]


def spec(dialect: Any = "tagged") -> ModelSpec:
    return ModelSpec("p:m", "p", "t", "w", "m", Capabilities(), ModelLimits(), Quirks(tool_dialect=dialect))


def request(**fields: Any) -> CanonicalRequest:
    return msgspec.convert({"messages": "Hi", "tools": [WEATHER], **fields}, CanonicalRequest)


def rendered(dialect: str = "tagged", **fields: Any) -> CanonicalRequest:
    return in_dialect(request(**fields), spec(dialect))[0]


# ---- answers


def answered(text: str, dialect: str = "tagged", stop: StopReason = "end_turn") -> DialectAssembler:
    assembler = DialectAssembler(DIALECTS[dialect], "msg_1", "p:m", "p")
    for char in text:
        assembler.text(char)
    assembler.complete(stop)
    return assembler


def said(assembler: Assembler) -> list[Any]:
    """The content in short: text as it is, calls as (name, input)."""
    blocks = msgspec.to_builtins(assembler.content)
    return [block["text"] if "text" in block else (block["name"], block["input"]) for block in blocks]


def codes(assembler: Assembler) -> list[str]:
    return [warning.code for warning in assembler.warnings]


ROME = ("weather", {"city": "Rome"})
OSLO = ("weather", {"city": "Oslo"})
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
FENCE = '```tool_call\n{"name": "weather", "arguments": {"city": "Rome"}}\n```'
SECOND = CALL.replace("Rome", "Oslo")

# name: (dialect, the answer's text, content, codes of warnings)
ANSWERS: dict[str, tuple[str, str, list[Any], list[str]]] = {
    "text alone": ("tagged", "Just text.\n", ["Just text.\n"], []),
    "a call alone": ("tagged", CALL, [ROME], []),
    "text before and after": ("tagged", f"Let me see.\n\n{CALL}\n\nWait.\n", ["Let me see.", ROME, "Wait.\n"], []),
    "two calls": ("tagged", f"{CALL}\n{SECOND}", [ROME, OSLO], []),
    "text between calls": ("tagged", f"{CALL} and {SECOND}", [ROME, "and", OSLO], []),
    "two objects in one tag": (
        "tagged",
        CALL.replace("\n</", '\n{"name":"weather","arguments":{"city":"Oslo"}}</'),
        [ROME, OSLO],
        [],
    ),
    "a list of calls": ("tagged", '<tool_call>[{"name": "weather", "arguments": {"city": "Rome"}}]</tool_call>', [ROME], []),
    "no arguments": ("tagged", '<tool_call>{"name": "now"}</tool_call>', [("now", {})], []),
    "null arguments": ("tagged", '<tool_call>{"name": "now", "arguments": null}</tool_call>', [("now", {})], []),
    "other words for the members": (
        "tagged",
        '<tool_call>{"tool": "weather", "parameters": {"city": "Rome"}}</tool_call>',
        [ROME],
        [],
    ),
    "arguments first": ("tagged", '<tool_call>{"arguments": {"city": "Rome"}, "name": "weather"}</tool_call>', [ROME], []),
    "arguments as text": (
        "tagged",
        '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}</tool_call>',
        [ROME],
        [],
    ),
    "more members": (
        "tagged",
        '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}, "id": "a}"}</tool_call>!',
        [ROME, "!"],
        [],
    ),
    "a missing brace": ("tagged", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}</tool_call>.', [ROME, "."], []),
    "a missing brace, no arguments": ("tagged", '<tool_call>{"name": "now"</tool_call>', [("now", {})], []),
    "a missing end": ("tagged", CALL.removesuffix("\n</tool_call>"), [ROME], []),
    "a missing end, then another": ("tagged", CALL.removesuffix("</tool_call>") + SECOND, [ROME, OSLO], []),
    "a missing end, then text": ("tagged", CALL.replace("</tool_call>", "Done."), [ROME, "Done."], []),
    "the end's mark in a string": (
        "tagged",
        '<tool_call>{"name": "write", "arguments": {"text": "a </tool_call> b"}}</tool_call>ok',
        [("write", {"text": "a </tool_call> b"}), "ok"],
        [],
    ),
    "escapes": (
        "tagged",
        '<tool_call>{"name": "write", "arguments": {"text": "\\"}</tool_call>\\\\"}}</tool_call>',
        [("write", {"text": '"}</tool_call>\\'})],
        [],
    ),
    "about the tag": ("tagged", "The tag <tool_call> begins a call.", ["The tag <tool_call> begins a call."], []),
    "half a tag": ("tagged", "if a <tool_c", ["if a <tool_c"], []),
    "a comparison": ("tagged", "a < b <\n", ["a < b <\n"], []),
    "no JSON": (
        "tagged",
        "Write\n<tool_call>{json}</tool_call>",
        ["Write\n<tool_call>{json}</tool_call>"],
        ["tool_arguments_invalid"],
    ),
    "no name": (
        "tagged",
        '<tool_call>{"city": 1}</tool_call>',
        ['<tool_call>{"city": 1}</tool_call>'],
        ["tool_arguments_invalid"],
    ),
    "members without arguments": (
        "tagged",
        '<tool_call>{"name": "weather", "city": "Rome"}</tool_call>',
        ['<tool_call>{"name": "weather", "city": "Rome"}</tool_call>'],
        ["tool_arguments_invalid"],
    ),
    "unfinished, without arguments": ("tagged", '<tool_call>{"na', ['<tool_call>{"na'], ["tool_arguments_invalid"]),
    "arguments that are no JSON": (
        "tagged",
        '<tool_call>{"name": "weather", "arguments": {city: Rome}}</tool_call>After.',
        [("weather", {}), "After."],
        ["tool_arguments_invalid"],
    ),
    "a line end in a string": (
        "tagged",
        '<tool_call>{"name": "write", "arguments": {"text": "a\nb"}}</tool_call>After.',
        [("write", {}), "After."],
        ["tool_arguments_invalid"],
    ),
    "an open string": (
        "tagged",
        '<tool_call>{"name": "write", "arguments": {"text": "a}}</tool_call>\nAfter.',
        [("write", {}), "After."],
        ["tool_arguments_invalid"],
    ),
    "arguments that are a list": (
        "tagged",
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        [("f", {})],
        ["tool_arguments_invalid"],
    ),
    "fences": ("fenced", f"Look:\n{FENCE}\n{FENCE.replace('Rome', 'Oslo')}\n", ["Look:", ROME, OSLO], []),
    "fences of other languages": ("fenced", "```json\n{}\n```\n", ["```json\n{}\n```\n"], []),
    "fences with a longer name": ("fenced", "```tool_calls\n{}\n```", ["```tool_calls\n{}\n```"], []),
    "a fence in a string": (
        "fenced",
        '```tool_call\n{"name": "write", "arguments": {"text": "```py\\n```"}}\n```\nok',
        [("write", {"text": "```py\n```"}), "ok"],
        [],
    ),
    "a fence without its end": ("fenced", FENCE.removesuffix("```") + FENCE.replace("Rome", "Oslo"), [ROME, OSLO], []),
    "the other dialect's call": ("fenced", CALL, [CALL], []),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name: str) -> None:
    dialect, text, content, warned = ANSWERS[name]
    assembler = answered(text, dialect)
    assert said(assembler) == content
    assert codes(assembler) == warned
    assert assembler.stop_reason == ("tool_use" if any(isinstance(part, tuple) for part in content) else "end_turn")


CUT: dict[str, tuple[str, list[Any], list[str]]] = {
    "in the mark": ("Well.<tool_ca", ["Well."], ["tool_call_truncated"]),
    "before the name": ('Well.\n<tool_call>\n{"na', ["Well."], ["tool_call_truncated"]),
    "in the arguments": (
        '<tool_call>{"name": "weather", "arguments": {"city": "Ro',
        [],
        ["tool_arguments_invalid", "tool_call_truncated"],
    ),
    "behind the arguments": ('<tool_call>{"name": "weather", "arguments": {"city": "Rome"}', [ROME], []),
    "in text": ("Well, a ", ["Well, a "], []),
}


@pytest.mark.parametrize("name", CUT)
def test_what_the_limit_cut_is_never_shown_as_whole(name: str) -> None:
    text, content, warned = CUT[name]
    assembler = answered(text, stop="max_tokens")
    assert said(assembler) == content
    assert codes(assembler) == warned
    assert assembler.stop_reason == "max_tokens"


def test_a_call_streams_as_it_is_written() -> None:
    assembler = DialectAssembler(TAGGED, "msg_1", "p:m", "p")
    assembler.text('So: <tool_call>{"name": "weather", "arguments": {"ci')
    assembler.text('ty": "Ro')
    kinds = [type(event).__name__ for event in assembler.take()]
    assert kinds == ["MessageStart", "TextDelta", "ToolUseStart", "ToolUseInputDelta", "ToolUseInputDelta"]
    assembler.text('me"}')
    last = assembler.take()
    assert [type(event).__name__ for event in last] == ["ToolUseInputDelta", "ToolUseEnd"]
    assert isinstance(last[0], ToolUseInputDelta)
    assert last[0].partial_json == 'me"}'


def test_other_verbs_end_the_text_before_them() -> None:
    assembler = DialectAssembler(TAGGED, "msg_1", "p:m", "p", provider_type="t")
    assembler.text("a <", 0, explicit=True)
    assembler.thinking("hm")
    assembler.text("b <tool", 1, explicit=True)
    assembler.close(1)
    assembler.tool(2, "native", "f")
    assembler.tool_arguments(2, "{}")
    assembler.text("c", 3)
    assembler.refusal("no")
    assembler.complete("end_turn")
    assembler.text("late")
    assert said(assembler) == ["a <", "hm", "b <tool", ("f", {}), "c", "no"]
    assert assembler.content[3].id == "tu_native"  # type: ignore[union-attr]


def test_an_answer_that_begins_again() -> None:
    assembler = DialectAssembler(TAGGED, "msg_1", "p:m", "p")
    assembler.text(CALL + '<tool_call>{"name": "weather", "arguments": {"ci')
    assembler.restart()
    assembler.text("Anew.")
    assembler.complete("end_turn")
    assert said(assembler) == [ROME, "Anew."]
    assert codes(assembler) == ["tool_arguments_invalid", "tool_call_truncated"]


# ---- requests


@pytest.mark.parametrize("dialect", ["tagged", "fenced"])
def test_tools_go_into_the_prompt(dialect: str) -> None:
    given = request(system_prompt="You are terse.")
    found, warnings = in_dialect(given, spec(dialect))
    prompt = found.system_prompt or ""
    assert prompt.startswith("You are terse.\n\n# Tools")
    assert (
        '{"name":"weather","description":"Now.","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}' in prompt
    )
    assert DIALECTS[dialect].opening in prompt
    assert (found.tools, found.tool_choice, found.messages) == ([], None, given.messages)
    assert given.tools, "the client's own request is left as it is"
    assert [(warning.code, warning.path) for warning in warnings] == [("content_projected", "tools")]


@pytest.mark.parametrize(
    ("choice", "words", "warned"),
    [
        ({"type": "auto"}, "", ["tools"]),
        ({"type": "auto", "parallel": False}, "Call at most one tool in each answer.", ["tools"]),
    ],
)
def test_the_choice_is_put_into_words(choice: dict[str, Any], words: str, warned: list[str]) -> None:
    found, warnings = in_dialect(request(tool_choice=choice), spec())
    assert (found.system_prompt or "").endswith(words or "Never write a result yourself.")
    assert [warning.path for warning in warnings] == warned


def test_no_tools_no_prompt() -> None:
    for given in (request(tools=[]), request(tool_choice={"type": "none"})):
        found, warnings = in_dialect(given, spec())
        assert (found.system_prompt, found.tools, warnings) == (None, [], [])
        assert type(assembler_for(given, spec(), "msg_1", "p")) is Assembler


def test_a_format_leaves_no_room_for_calls() -> None:
    _, warnings = in_dialect(request(response_format={"type": "json_object"}), spec())
    assert [warning.path for warning in warnings] == ["tools", "response_format"]


HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "text": "hm"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "tu_1", "name": "weather", "input": {"city": "Rome"}},
            {"type": "tool_use", "id": "tu_2", "name": "map", "input": {}},
            {"type": "text", "text": "Wait."},
        ],
    },
    {
        "role": "tool",
        "content": [
            {"type": "tool_result", "tool_use_id": "tu_1", "content": "sunny"},
            {
                "type": "tool_result",
                "tool_use_id": "2",
                "is_error": True,
                "content": [
                    {"type": "json", "value": {"no": 1}},
                    {"type": "image", "source": {"kind": "base64", "data": "aGk="}, "media_type": "image/png"},
                ],
            },
        ],
    },
]
WRITTEN = {
    "tagged": (
        'Let me see.\n<tool_call>\n{"name":"weather","arguments":{"city":"Rome"}}\n</tool_call>\n'
        '<tool_call>\n{"name":"map","arguments":{}}\n</tool_call>',
        '<tool_response name="weather">\nsunny\n</tool_response>',
        '<tool_response name="map" error="true">\n{"no":1}\n\n[1 attached]\n</tool_response>',
    ),
    "fenced": (
        'Let me see.\n```tool_call\n{"name":"weather","arguments":{"city":"Rome"}}\n```\n'
        '```tool_call\n{"name":"map","arguments":{}}\n```',
        '```tool_response\n{"name":"weather","content":"sunny"}\n```',
        '```tool_response\n{"name":"map","content":"{\\"no\\":1}\\n\\n[1 attached]","is_error":true}\n```',
    ),
}


@pytest.mark.parametrize("dialect", WRITTEN)
@pytest.mark.parametrize("tools", [[], [WEATHER]])
def test_calls_and_results_of_the_history_are_text(dialect: str, tools: list[Any]) -> None:
    given = request(messages=HISTORY, tools=tools)
    before = msgspec.json.encode(given)
    messages = msgspec.to_builtins(rendered(dialect, messages=HISTORY, tools=tools).messages)
    answer, first, second = WRITTEN[dialect]
    assert messages[0] == HISTORY[0]
    assert messages[1]["content"] == [
        {"type": "thinking", "text": "hm"},
        {"type": "text", "text": answer},
        {"type": "text", "text": "\nWait."},
    ]
    assert messages[2]["role"] == "user"
    assert [block.get("text") for block in messages[2]["content"]] == [first, second, None]
    assert msgspec.json.encode(given) == before


def test_a_call_in_the_history_reads_as_the_model_wrote_it() -> None:
    for dialect in DIALECTS.values():
        again = answered(dialect.write_call("weather", {"city": "Rome"}), dialect.name)
        assert said(again) == [ROME]


# ---- when


def test_a_model_with_tools_is_left_alone() -> None:
    given = request()
    assert in_dialect(given, spec("native")) == (given, [])
    assert type(assembler_for(given, spec("native"), "msg_1", "p")) is Assembler
    assert type(assembler_for(given, spec("fenced"), "msg_1", "p")) is DialectAssembler


def test_the_quirk_gives_tools_and_takes_the_force() -> None:
    row = row_of("openai")
    without = facts_of(row, "gpt-5-chat-latest")
    assert not without.capabilities.tools
    able = with_quirks(without, {"tool_dialect": "fenced"}).capabilities
    assert (able.tools, able.parallel_tools, able.forced_tool_choice) == (True, True, False)
    denied = with_capabilities(with_quirks(without, {"tool_dialect": "fenced"}), row, {"tools": False})
    assert not denied.capabilities.tools, "what the user denies is refused"
    with pytest.raises(msgspec.ValidationError):
        with_quirks(without, {"tool_dialect": "smoke"})


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        *(("gemma3:1b", "tagged"), ("llama3", "tagged"), ("llava:7b", "tagged"), ("library/phi3:mini", "tagged")),
        *(
            ("llama3.1", "native"),
            ("qwen3:4b", "native"),
            ("gpt-oss:20b", "native"),
            ("me/gemma3:tools", "native"),
            ("x", "native"),
        ),
    ],
)
def test_models_that_are_known_to_have_none(name: str, dialect: str) -> None:
    facts = facts_of(row_of("ollama"), name)
    assert facts.quirks.tool_dialect == dialect
    assert facts.capabilities.tools


@pytest.mark.parametrize(
    ("adapter", "model", "dialect"),
    [
        ({}, {}, "native"),
        ({"tool_dialect": "tagged"}, {}, "tagged"),
        ({"tool_dialect": "tagged"}, {"tool_dialect": "fenced"}, "fenced"),
        ({"tool_dialect": "fenced"}, {"tool_dialect": "native"}, "native"),
    ],
)
def test_the_config_chooses_for_an_adapter_and_over_it_for_a_model(
    adapter: dict[str, Any], model: dict[str, Any], dialect: str
) -> None:
    config = Config(
        {"local": AdapterConfig("local", "openai-compatible", base_url="http://127.0.0.1:1/v1", options=adapter)},
        {"local:m": ModelConfig("local:m", "local", "m", options=model)},
    )
    assert build_registry(config).specs["local:m"].quirks.tool_dialect == dialect


@pytest.mark.parametrize("options", [{"tool_dialect": "smoke"}, {"tool_dialct": "tagged"}])
def test_an_option_that_is_none_is_a_fault_of_the_config(options: dict[str, Any]) -> None:
    adapters = {"local": AdapterConfig("local", "openai-compatible", base_url="http://127.0.0.1:1/v1")}
    with pytest.raises(ValueError, match=r"local:m: .*(tool_dialect|options)"):
        build_registry(Config(adapters, {"local:m": ModelConfig("local:m", "local", "m", options=options)}))
