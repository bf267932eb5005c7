"""Checks before dispatch: what is refused, with which words, and what passes."""

import time
from typing import Any

import msgspec
import pytest

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.routing.capabilities import check, validate_history
from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    FileBlock,
    FileIdSource,
    ImageBlock,
    Message,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest, ResponseFormat, Thinking, Tool, ToolChoice

EVERYTHING = Capabilities(
    tool_result_media=True, thinking=True, json_object=True, images=True, audio=True, files=True, file_ids=True, count_tokens=True
)
PNG = ImageBlock(Base64Source("aGk="), "image/png")
CALL = ToolUseBlock("tu_1", "add", {})
SCHEMA = {"type": "object"}


def spec(**lacks: Any) -> ModelSpec:
    able = msgspec.structs.replace(EVERYTHING, **lacks)
    return ModelSpec("p:m", "p", "t", "w", "m", able, ModelLimits(), Quirks())


def request(*content: Any, **fields: Any) -> CanonicalRequest:
    return CanonicalRequest([Message("user", list(content))] if content else "hi", **fields)


def result(*content: Any) -> ToolResultBlock:
    return ToolResultBlock("tu_1", list(content))


MISMATCHES: list[tuple[str, dict[str, Any], CanonicalRequest]] = [
    ("tools", {"tools": False}, request(tools=[Tool("add")])),
    ("tools", {"tools": False}, request(CALL)),
    ("tools", {"tools": False}, request(ToolResultBlock("tu_1", "3"))),
    ("forced_tool_choice", {"forced_tool_choice": False}, request(tools=[Tool("add")], tool_choice=ToolChoice("required"))),
    ("forced_tool_choice", {"forced_tool_choice": False}, request(tools=[Tool("add")], tool_choice=ToolChoice("tool", "add"))),
    (
        "tool_choices",
        {"tool_choices": ["auto", "tool"]},
        request(tools=[Tool("a"), Tool("b")], tool_choice=ToolChoice("required")),
    ),
    ("stop_sequences", {"stop_sequences": False}, request(stop_sequences=["x"])),
    ("image_sources", {"image_sources": ["base64"]}, request(ImageBlock(UrlSource("https://example.org/a")))),
    ("image_media_types", {"image_media_types": ["image/png"]}, request(ImageBlock(UrlSource("data:image/bmp;base64,aGk=")))),
    ("audio_media_types", {"audio_media_types": ["audio/wav"]}, request(AudioBlock(Base64Source("aGk="), "audio/flac"))),
    ("file_sources", {"file_sources": ["url"]}, request(FileBlock(FileIdSource("file_1")))),
    ("json_object", {"json_object": False}, request(response_format=ResponseFormat("json_object"))),
    ("structured_output", {"structured_output": False}, request(response_format=ResponseFormat("json_schema", schema=SCHEMA))),
    ("thinking", {"thinking": False}, request(thinking=Thinking("on"))),
    ("thinking", {"thinking": False}, request(thinking=Thinking("on", effort="high"))),
    ("thinking_off", {"thinking_off": False}, request(thinking=Thinking("off"))),
    ("thinking_off", {"thinking_off": False}, request(thinking=Thinking("on", effort="none"))),
    ("streaming", {"streaming": False}, request()),
    ("system_prompt", {"system_prompt": False}, request(system_prompt="be kind")),
    ("system_prompt", {"system_prompt": False}, CanonicalRequest([Message("system", "be kind"), Message("user", "hi")])),
    ("images", {"images": False}, request(TextBlock("see"), PNG)),
    ("images", {"images": False}, request(result(TextBlock("see"), PNG))),
    ("audio", {"audio": False}, request(AudioBlock(Base64Source("aGk=")))),
    ("files", {"files": False}, request(FileBlock(UrlSource("https://example.org/a.pdf")))),
    ("files", {"files": False}, request(result(FileBlock(Base64Source("aGk="))))),
    ("tool_result_media", {"tool_result_media": False}, request(result(PNG))),
    ("file_ids", {"file_ids": False}, request(FileBlock(FileIdSource("file_1")))),
    ("image_media_types", {"image_media_types": ["image/jpeg"]}, request(PNG)),
]


@pytest.mark.parametrize(("capability", "lacks", "asked"), MISMATCHES)
def test_what_the_model_lacks_is_refused_by_name(capability: str, lacks: dict[str, Any], asked: CanonicalRequest) -> None:
    check(asked, spec(), stream=True)
    with pytest.raises(ProviderFailure) as caught:
        check(asked, spec(**lacks), stream=True)
    assert caught.value.error_class == "capability_mismatch"
    assert caught.value.message.startswith(f"p:m ({capability}): ")
    assert ";" in caught.value.message  # the next step


@pytest.mark.parametrize(
    ("says", "asked"),
    [
        ("tool_choice: type tool needs the `name`", request(tools=[Tool("add")], tool_choice=ToolChoice("tool"))),
        (
            "tool_choice: no tool is called sub; there are: add",
            request(tools=[Tool("add")], tool_choice=ToolChoice("tool", "sub")),
        ),
        ("tool_choice: type required needs `tools`", request(tool_choice=ToolChoice("required"))),
        ("tool_choice: type tool needs `tools`", request(tool_choice=ToolChoice("tool", "add"))),
        ("response_format: type json_schema needs a `schema`", request(response_format=ResponseFormat("json_schema"))),
    ],
)
def test_a_request_that_contradicts_itself_is_invalid_on_every_model(says: str, asked: CanonicalRequest) -> None:
    for model in (spec(), spec(tools=False, structured_output=False, forced_tool_choice=False)):
        if asked.tools and not model.capabilities.tools:
            continue
        with pytest.raises(ProviderFailure) as caught:
            check(asked, model)
        assert (caught.value.error_class, caught.value.message[: len(says)]) == ("invalid_request", says)


@pytest.mark.parametrize(
    ("lacks", "asked"),
    [
        ({"forced_tool_choice": False}, request(tools=[Tool("add")], tool_choice=ToolChoice("auto"))),
        ({"tools": False}, request(tool_choice=ToolChoice("none"))),
        ({"thinking": False}, request(thinking=Thinking("off"))),
        ({"thinking": False}, request(thinking=Thinking("adaptive"))),
        ({"thinking_off": False}, request(thinking=Thinking("on", effort="low"))),
        ({"efforts": ["low"]}, request(thinking=Thinking("on", effort="max"))),
        ({"structured_output": False, "json_object": False}, request(response_format=ResponseFormat("text"))),
        ({"streaming": False}, request()),
        ({"sampling": False}, request(temperature=1, max_output_tokens=10**9)),
        ({"tool_choices": ["auto", "tool"]}, request(tools=[Tool("add")], tool_choice=ToolChoice("required"))),
        ({"image_media_types": ["image/png"]}, request(ImageBlock(UrlSource("data:image/png;base64,aGk=")))),
        ({"file_media_types": ["text/*"]}, request(FileBlock(Base64Source("aGk="), "text/markdown"))),
        ({"images": False}, request(TextBlock("see"), ThinkingBlock("hm"))),
        ({"tool_result_media": False}, request(CALL, result(TextBlock("see")))),
        ({"image_media_types": ["image/jpeg"]}, request(ImageBlock(UrlSource("https://example.org/a"), "image/png"))),
        ({"image_media_types": ["image/jpeg"]}, request(ImageBlock(Base64Source("aGk=")))),
        ({"file_ids": False}, request(PNG)),
    ],
)
def test_what_the_model_or_the_wire_can_do_passes(lacks: dict[str, Any], asked: CanonicalRequest) -> None:
    check(asked, spec(**lacks))


def test_the_place_is_named() -> None:
    history = [Message("user", "hi"), Message("tool", [ToolResultBlock("tu_1", "3"), result(TextBlock("a"), PNG)])]
    with pytest.raises(ProviderFailure, match=r"messages\[1\]\.content\[1\]\.content\[1\] holds an image"):
        check(CanonicalRequest(history), spec(images=False))


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ("hi", None),
        ([], None),
        ([Message("user", "hi")], None),
        ([Message("assistant", [CALL]), Message("tool", [ToolResultBlock("tu_1", "3")])], None),
        ([Message("assistant", [CALL]), Message("tool", [ToolResultBlock("1", "3")])], None),
        ([Message("assistant", [CALL])], None),
        ([Message("assistant", [CALL]), Message("user", "never mind")], None),
        ([Message("tool", [ToolResultBlock("tu_1", "3")])], "messages[0].content[0]"),
        ([Message("tool", [ToolResultBlock("tu_1", "3")]), Message("assistant", [CALL])], "messages[0].content[0]"),
        (
            [
                Message("user", "hi"),
                Message("assistant", [CALL]),
                Message("user", [TextBlock("so"), ToolResultBlock("tu_2", "3")]),
            ],
            "messages[2].content[1]",
        ),
    ],
)
def test_a_result_without_its_call_is_refused(messages: Any, place: str | None) -> None:
    if place is None:
        validate_history(CanonicalRequest(messages))
        return
    with pytest.raises(ProviderFailure) as caught:
        validate_history(CanonicalRequest(messages))
    assert caught.value.error_class == "invalid_request"
    assert caught.value.message.startswith(f"{place}: the tool result answers tu_")
    held = {"any-type": {"previous_response_id": "resp_1"}}  # the call may be in what the provider holds
    validate_history(CanonicalRequest(messages, provider_options=held))


@pytest.mark.parametrize("content", ["some words", [TextBlock("some words")]])
def test_long_histories_are_checked_in_passing(content: Any) -> None:
    asked = CanonicalRequest([Message("user", content) for _ in range(200)])
    model = spec(images=False)

    def once_s() -> float:
        start = time.perf_counter()
        check(asked, model)
        validate_history(asked)
        return time.perf_counter() - start

    assert min(once_s() for _ in range(50)) < 300e-6  # ten times what it takes, for slow machines
