"""Scripts, scenarios and the choice between them: pure functions, tables of cases."""

from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.simulator.ask import Ask, Call, OfferedTool, Refused
from modeld.simulator.builtin import BUILTINS, BenchProfile, build_builtin, parse_bench
from modeld.simulator.choose import HEADER, Chooser, Pushed
from modeld.simulator.faults import FAULTS, FaultError, parse_fault
from modeld.simulator.instances import instance_of
from modeld.simulator.script import (
    Scenario,
    ScenarioError,
    Script,
    TextStep,
    ToolCallStep,
    parse_scenario,
    split_words,
)


def call(headers: dict[str, str] | None = None) -> Call:
    return Call("POST", "/v1/messages", "", headers or {}, b"")


@given(st.text())
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


SCHEMAS: list[Any] = [
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
    {"type": "string", "enum": ["a", "b"]},
    {"const": {"x": [1]}},
    {"type": "integer", "minimum": 10, "maximum": 12},
    {"type": "integer", "exclusiveMinimum": 10, "multipleOf": 7},
    {"type": "integer", "minimum": 1.5},
    {"type": "integer", "exclusiveMaximum": 0},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 2},
    {"type": "string", "format": "date-time"},
    {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "maxItems": 0, "items": {"type": "null"}},
    {"type": ["null", "boolean"]},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"k": {"type": "number"}}, "required": ["k"]}]},
    {"allOf": [{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}, {"required": ["b"]}]},
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}},
                "required": ["v"],
            }
        },
        "$ref": "#/$defs/node",
    },
    {"type": "object", "additionalProperties": {"type": "integer"}, "required": ["a", "b"]},
    {"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "boolean"}}, "additionalProperties": False},
    {},
    True,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_an_instance_obeys_its_schema(schema: Any) -> None:
    jsonschema.validate(instance_of(schema), schema)


BOUNDS = st.integers(-50, 50)


@given(low=BOUNDS, span=st.integers(0, 40), step=st.one_of(st.none(), st.integers(1, 5)))
def test_integers_stay_in_bounds(low: int, span: int, step: int | None) -> None:
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": low + span}
    if step is not None and span >= step:
        schema["multipleOf"] = step
    jsonschema.validate(instance_of(schema), schema)


TOOLS = [OfferedTool("first", SCHEMAS[0]), OfferedTool("second")]


@pytest.mark.parametrize(
    ("name", "ask", "tools", "stop"),
    [
        ("tool", Ask("m", tools=TOOLS), ["first"], "tool_use"),
        ("tool", Ask("m", tools=TOOLS, forced_tool="second"), ["second"], "tool_use"),
        ("tool", Ask("m", tools=TOOLS, answered=True), [], "end_turn"),
        ("tool", Ask("m", tools=TOOLS, tool_choice="none"), [], "end_turn"),
        ("tool", Ask("m"), [], "end_turn"),
        ("parallel-tools", Ask("m", tools=TOOLS), ["first", "second"], "tool_use"),
        ("parallel-tools-3", Ask("m", tools=TOOLS), ["first", "second", "first"], "tool_use"),
        ("parallel-tools", Ask("m", tools=TOOLS, parallel=False), ["first"], "tool_use"),
        ("agent-2", Ask("m", tools=TOOLS, answered=True, tool_rounds=1), ["second"], "tool_use"),
        ("agent-2", Ask("m", tools=TOOLS, answered=True, tool_rounds=2), [], "end_turn"),
        ("refusal", Ask("m"), [], "refusal"),
        ("max-tokens", Ask("m", max_tokens=5), [], "max_tokens"),
    ],
)
def test_built_in_scripts_follow_the_request(name: str, ask: Ask, tools: list[str], stop: str) -> None:
    script = build_builtin(name, ask)
    assert script is not None
    assert [step.name for step in script.plain_steps() if isinstance(step, ToolCallStep)] == tools
    assert script.stop_reason() == stop


@pytest.mark.parametrize(("name", "words"), [("long", 500), ("long-7", 7), ("long-0", 0)])
def test_the_number_in_a_name_counts(name: str, words: int) -> None:
    script = build_builtin(name, Ask("m"))
    assert script is not None
    assert sum(len(step.chunks()) for step in script.plain_steps() if isinstance(step, TextStep)) == words


@pytest.mark.parametrize("name", ["", "nothing", "text-3", "long-", "long-x", "long--1", "long-³"])
def test_other_names_are_no_scripts(name: str) -> None:
    assert build_builtin(name, Ask("m")) is None


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("bench-n200-s20-d0-f0-b1", BenchProfile()),
        ("bench-n5-s3-d40000-f7-b10", BenchProfile(5, 3, 40_000, 7, 10)),
        ("bench-n5", BenchProfile(5)),
        ("bench", None),
        ("bench-x5", None),
        ("bench-n5-", None),
    ],
)
def test_benchmark_profiles(model: str, profile: BenchProfile | None) -> None:
    assert parse_bench(model) == profile
    if profile is not None:
        (step,) = profile.script().plain_steps()
        assert isinstance(step, TextStep)
        assert [len(piece) for piece in step.chunks()] == [profile.s] * profile.n


@pytest.mark.parametrize(
    ("written", "params"),
    [
        ("rate_limit", {"times": 0, "retry_after": 1}),
        ("rate_limit-2", {"times": 2, "retry_after": 1}),
        ("rate_limit-2-0.5", {"times": 2, "retry_after": 0.5}),
        ("rate_limit-retry_after=3", {"times": 0, "retry_after": 3}),
        ("retry_after_hostile--5", {"value": "-5", "times": 0}),
        ("redirect-http://127.0.0.1:9-x", {"origin": "http://127.0.0.1:9-x", "status": 307, "times": 0}),
        ("error_event_mid_stream-2-rate_limit", {"after": 2, "kind": "rate_limit", "times": 0}),
        ({"name": "rate_limit", "times": 1}, {"times": 1, "retry_after": 1}),
    ],
)
def test_faults_are_read_with_their_parameters(written: Any, params: dict[str, Any]) -> None:
    assert parse_fault(written).params == params


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("nothing", "no fault named 'nothing'"),
        ("rate_limit-x", "times of the fault rate_limit is a number"),
        ({"name": "rate_limit", "when": 1}, "no parameter 'when'; it has times, retry_after"),
        ("error_event_first-nonsense", "no kind of failure 'nonsense'"),
        ({}, "no fault named"),
    ],
)
def test_unknown_faults_say_what_there_is(written: Any, says: str) -> None:
    with pytest.raises(FaultError, match=says):
        parse_fault(written)


SCENARIO = b"""
scripts:
  weather:
    steps:
      - Let me look.
      - {type: tool_call, name: get_weather, input: {city: Rome}}
    usage: {input: 10, output: 5, cached: 3}
  slow-weather: {steps: [Wait.], pace_ms: 50, fault: {name: hang_mid_stream, after: 1}}
rules:
  - {text: storm, script: slow-weather}
  - {header: {x-case: flaky}, sequence: [fault-rate_limit, text]}
  - {header: {x-case: cycle}, sequence: [text, echo], cycle: true}
  - {model: "gpt-*", wire: openai-chat, script: long-3}
  - {tool_result: true, script: {steps: [Thanks.]}}
default: null
"""


@pytest.mark.parametrize(
    ("ask", "headers", "wire", "names"),
    [
        (Ask("sim-weather"), {}, "w", ["weather", "weather"]),
        (Ask("weather"), {}, "w", ["weather"]),
        (Ask("sim-weather", user_text="A STORM is coming"), {}, "w", ["slow-weather"]),
        (Ask("sim-text"), {"x-case": "flaky"}, "w", ["fault-rate_limit", "text", "text"]),
        (Ask("sim-text"), {"x-case": "cycle"}, "w", ["text", "echo", "text"]),
        (Ask("gpt-5"), {}, "openai-chat", ["long-3"]),
        (Ask("sim-text", answered=True), {}, "w", ["inline"]),
        (Ask("sim-text"), {HEADER: '"echo"'}, "w", ["echo"]),
        (Ask("sim-text"), {HEADER: '{"steps": ["Hi."]}'}, "w", ["inline"]),
        (Ask("sim-text+mine"), {}, "w", ["text"]),
    ],
)
def test_a_request_picks_its_script(ask: Ask, headers: dict[str, str], wire: str, names: list[str]) -> None:
    chooser = Chooser(parse_scenario(SCENARIO))
    assert [chooser.choose(wire, call(headers), ask).name for _ in names] == names


def test_what_is_pushed_comes_first_and_once() -> None:
    chooser = Chooser(Scenario())
    chooser.push(Pushed("refusal", times=2, model="sim-t*"))
    chooser.push(Pushed(Script(["Hi."]), wire="other"))
    names = [chooser.choose("w", call(), Ask(model)).name for model in ("sim-echo", "sim-text", "sim-text", "sim-text")]
    assert names == ["echo", "refusal", "refusal", "text"]
    assert chooser.choose("other", call(), Ask("sim-text")).name == "inline"


def test_faults_pass_after_so_many_requests() -> None:
    chooser = Chooser(Scenario())

    def hits(model: str) -> bool:
        return chooser.choose("w", call(), Ask(model)).fault is not None

    assert [hits("sim-fault-rate_limit-2") for _ in range(4)] == [True, True, False, False]
    assert [hits("sim-fault-rate_limit-1+other") for _ in range(2)] == [True, False]
    assert all(hits("sim-fault-rate_limit") for _ in range(5))
    chooser.reset()
    assert hits("sim-fault-rate_limit-2")


def test_the_header_changes_what_the_model_picks() -> None:
    headers = {HEADER: '{"fault": {"name": "overloaded"}, "pace_ms": 5, "batch": 3}'}
    choice = Chooser(Scenario()).choose("w", call(headers), Ask("sim-text"))
    assert (choice.name, choice.script.pace_ms, choice.script.batch) == ("text", 5, 3)
    assert choice.fault is not None
    assert choice.fault.fault is FAULTS["overloaded"]


@pytest.mark.parametrize(
    ("model", "headers"),
    [
        ("sim-nothing", {}),
        ("sim-fault-nothing", {}),
        ("gpt-5", {}),
        ("sim-text", {HEADER: "{"}),
        ("sim-text", {HEADER: '{"x": 1}'}),
    ],
)
def test_what_there_isn_t_is_refused(model: str, headers: dict[str, str]) -> None:
    with pytest.raises(Refused):
        Chooser(Scenario(default=None)).choose("w", call(headers), Ask(model))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"scripts: {a: {stops: 1}}", "unknown field `stops`"),
        (b"scripts: [", "scenario:"),
        (b"rules: [{model: 1}]", r"\$.rules\[0\].model"),
        (b"\xff\xfe\x00", "scenario:"),
        (b"[" * 5000, "scenario:"),
    ],
)
def test_a_bad_scenario_is_named(data: bytes, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        parse_scenario(data)


def test_a_json_scenario_is_read_as_well() -> None:
    scenario = parse_scenario(SCENARIO)
    assert parse_scenario(msgspec.json.encode(scenario)) == scenario


def test_every_builtin_renders_for_an_empty_request() -> None:
    assert all(build_builtin(name, Ask("m")) is not None for name in BUILTINS)
