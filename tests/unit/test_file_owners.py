"""A file belongs to the provider that it was given to: who knows of it, who may read it, what others get in place of it."""

from typing import Any

import msgspec
import pytest

from modeld import limits
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.failure import ProviderFailure
from modeld.providers.file_owners import Owners, SeenFiles, owner_elsewhere
from modeld.providers.spec import ModelSpec
from modeld.routing.capabilities import check
from modeld.routing.fallbacks import fallbacks_of
from modeld.routing.registry import build_registry
from modeld.sessions.files import SessionFiles, project_files
from modeld.sessions.reasoning import Projector, project
from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    Block,
    FileBlock,
    FileIdSource,
    ImageBlock,
    MediaBlock,
    Message,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

EVERYTHING = Capabilities(tool_result_media=True, images=True, audio=True, files=True, file_ids=True)
KEPT_BY_A: Owners = {"f": ("a",)}
NEXT_STEP = "give the file to b too with file/upload, or send its content as base64"


def spec_of(provider: str, **fields: Any) -> ModelSpec:
    return ModelSpec(f"{provider}:m", provider, provider, "w", "m", EVERYTHING, ModelLimits(), **fields)


def file(file_id: str = "f", provider: str | None = None) -> FileBlock:
    return FileBlock(FileIdSource(file_id, provider), filename="report.pdf")


def said(*content: Block) -> Message:
    return Message("user", list(content))


def answer(provider: str | None, *content: Block) -> Message:
    metadata = {"provider": provider, "model": f"{provider}:m"} if provider else None
    return Message("assistant", [*content, TextBlock("ok")], metadata=metadata)


A, B = spec_of("a"), spec_of("b")

# ---- who may read it

ELSEWHERE: list[tuple[str, FileIdSource, Owners, ModelSpec, str | None]] = [
    ("never seen", FileIdSource("f"), {}, B, None),
    ("given to the same", FileIdSource("f"), KEPT_BY_A, A, None),
    ("given to another", FileIdSource("f"), KEPT_BY_A, B, "a"),
    ("named as another's", FileIdSource("f", "a"), {}, B, "a"),
    ("named as its own, whatever was seen", FileIdSource("f", "b"), KEPT_BY_A, B, None),
    ("named as another's, whatever was seen", FileIdSource("f", "a"), {"f": ("b",)}, B, "a"),
    ("given to both under one id", FileIdSource("f"), {"f": ("a", "b")}, B, None),
    ("of the same account by another name", FileIdSource("f"), KEPT_BY_A, spec_of("b", files_with=("a",)), None),
    ("whose provider is gone", FileIdSource("f"), {"f": ()}, B, None),
]


@pytest.mark.parametrize(
    ("source", "owners", "spec", "expected"), [row[1:] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE]
)
def test_who_has_a_file(source: FileIdSource, owners: Owners, spec: ModelSpec, expected: str | None) -> None:
    assert owner_elsewhere(source, owners, spec) == expected


HOLDERS: list[tuple[Block, str]] = [
    (file(), "messages[0].content[0]"),
    (ImageBlock(FileIdSource("f")), "messages[0].content[0]"),
    (AudioBlock(FileIdSource("f")), "messages[0].content[0]"),
    (ToolResultBlock("tu_1", [TextBlock("see"), file()]), "messages[0].content[0].content[1]"),
    (file("other", "a"), "messages[0].content[0]"),
]


@pytest.mark.parametrize(("block", "place"), HOLDERS)
def test_a_request_that_names_another_providers_file_is_refused(block: Block, place: str) -> None:
    asked = CanonicalRequest([said(block)])
    check(asked, A, files=KEPT_BY_A)
    with pytest.raises(ProviderFailure) as caught:
        check(asked, B, files=KEPT_BY_A)
    assert caught.value.error_class == "capability_mismatch"
    assert caught.value.message.startswith(f"b:m (file_ids): {place} names a file that a keeps")
    assert caught.value.message.endswith(NEXT_STEP)


ONE: dict[str, Any] = {"base_url": "https://one.test/v1", "api_key_env": "K"}
ADAPTERS: list[tuple[str, dict[str, Any], bool]] = [
    ("address and key are the same", ONE, True),
    ("a slash at the end means nothing", {**ONE, "base_url": "https://one.test/v1/"}, True),
    ("another address", {**ONE, "base_url": "https://other.test/v1"}, False),
    ("another key", {**ONE, "api_key_env": "L"}, False),
    ("the provider's own address", {"api_key_env": "K"}, False),
]


@pytest.mark.parametrize(("fields", "shared"), [row[1:] for row in ADAPTERS], ids=[row[0] for row in ADAPTERS])
def test_adapters_of_one_account_have_the_same_files(fields: dict[str, Any], shared: bool) -> None:
    adapters = {"a": AdapterConfig("a", "openai", **ONE), "b": AdapterConfig("b", "openai-responses", **fields)}
    models = {f"{name}:m": ModelConfig(f"{name}:m", name, "m") for name in adapters}
    specs = build_registry(Config(adapters, models)).specs
    assert (specs["a:m"].files_with, specs["b:m"].files_with) == ((("b",), ("a",)) if shared else ((), ()))


def test_a_model_without_the_file_stands_in_only_where_it_sees_none() -> None:
    adapters = {name: AdapterConfig(name, "openai", base_url=f"https://{name}.test/v1") for name in "ab"}
    models = {name: ModelConfig(name, name[0], "gpt-4.1", fallbacks=more) for name, more in (("a:m", ("b:m",)), ("b:m", ()))}
    registry = build_registry(Config(adapters, models))
    a, b = registry.specs.values()
    asked = CanonicalRequest([said(file())])
    assert fallbacks_of(registry, a, asked, stream=False) == [b], "nobody knows whose it is"
    assert fallbacks_of(registry, a, asked, stream=False, files=KEPT_BY_A) == []
    plain = fallbacks_of(registry, a, asked, stream=False, files=KEPT_BY_A, project=lambda spec: ([said()], []))
    assert plain == [b]


# ---- what is known of it


def test_ids_are_remembered_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILES_SEEN", 3)
    seen = SeenFiles()
    for file_id, provider in (("1", "a"), ("2", "a"), ("1", "b"), ("1", "b"), ("3", "b"), ("4", "b")):
        seen.note(file_id, provider)
    assert seen.owners == {"1": ("a", "b"), "3": ("b",), "4": ("b",)}, "the one that was not seen for longest is gone"
    seen.forget("b")
    assert seen.owners == {"1": ("a",), "3": (), "4": ()}


LEARNT: list[tuple[str, list[Message], Owners, Owners]] = [
    ("the first to answer has it", [said(file()), answer("a")], {}, {"f": ("a",)}),
    ("the second to answer has not", [said(file()), answer("a"), answer("b")], {}, {"f": ("a",)}),
    ("nobody has answered", [said(file())], {}, {}),
    ("an answer that a client brought tells nothing", [said(file()), answer(None), answer("b")], {}, {"f": ("b",)}),
    ("it was known when it came", [said(file()), answer("b")], KEPT_BY_A, {"f": ("a",)}),
    ("it is named", [said(file("f", "a")), answer("b")], {}, {"f": ("a",)}),
    ("in a tool's result", [said(ToolResultBlock("tu_1", [file()])), answer("a")], {}, {"f": ("a",)}),
    ("in an answer", [answer("a", file())], {}, {"f": ("a",)}),
    ("content that is there is nobody's", [said(FileBlock(Base64Source("aGk="))), answer("a")], {}, {}),
    ("words name none", [Message("user", "file f"), answer("a")], {}, {}),
]


@pytest.mark.parametrize(("messages", "known", "expected"), [row[1:] for row in LEARNT], ids=[row[0] for row in LEARNT])
def test_a_session_learns_whose_its_files_are(messages: list[Message], known: Owners, expected: Owners) -> None:
    at_once, bit_by_bit = SessionFiles(known), SessionFiles(known)
    at_once.learn(messages)
    for message in messages:
        bit_by_bit.learn([message])
    assert at_once.owners == bit_by_bit.owners == expected


def test_only_what_is_new_to_a_session_is_noted() -> None:
    seen: Owners = {"f": ("a",), "g": ("b",), "h": ("b",)}
    assert SessionFiles({"g": ("a",)}).news([said(file("f"), file("g"), file("h", "a"), file("unseen"))], seen) == KEPT_BY_A


# ---- what others get in place of it

CALLED = Message("assistant", [ToolUseBlock("tu_1", "read", {})])
IN_RESULT = said(ToolResultBlock("tu_1", [TextBlock("see"), file(), ImageBlock(Base64Source("aGk="))]))
NOTE = "[A file (report.pdf) was given here. Another provider keeps it, so it can't be read any more.]"
NOTES: list[tuple[MediaBlock, str]] = [
    (file(), NOTE),
    (ImageBlock(FileIdSource("f")), "[An image was given here. Another provider keeps it, so it can't be read any more.]"),
    (AudioBlock(FileIdSource("f")), "[Audio was given here. Another provider keeps it, so it can't be read any more.]"),
]


@pytest.mark.parametrize(("block", "note"), NOTES)
def test_a_note_stands_for_a_file_that_is_elsewhere(block: MediaBlock, note: str) -> None:
    message = said(TextBlock("see"), block)
    assert project_files(message, KEPT_BY_A, B) == (said(TextBlock("see"), TextBlock(note)), 1)
    assert project_files(message, KEPT_BY_A, A)[0] is message
    assert project_files(message, {}, B)[0] is message


def test_the_rest_of_a_tools_result_stays() -> None:
    message, count = project_files(IN_RESULT, KEPT_BY_A, B)
    assert count == 1
    assert isinstance(message.content[0], ToolResultBlock)
    assert message.content[0].content == [TextBlock("see"), TextBlock(NOTE), ImageBlock(Base64Source("aGk="))]


HISTORY = [said(file(), file("g")), answer("a"), CALLED, IN_RESULT, answer("a")]


def test_a_history_goes_without_them_and_says_so() -> None:
    before = msgspec.json.encode(HISTORY)
    sent = project(HISTORY, B, files={"f": ("a",), "g": ("b",)})
    assert msgspec.json.encode(HISTORY) == before
    assert [(warning.code, warning.path, warning.detail) for warning in sent.warnings] == [
        ("content_dropped", "messages", {"count": 2})
    ]
    assert "file/upload" in sent.warnings[0].message
    assert sent.messages[0] == said(TextBlock(NOTE), file("g"))
    back = project(HISTORY, A, files=KEPT_BY_A)
    assert all(new is old for new, old in zip(back.messages, HISTORY, strict=True))
    assert not back.warnings


def test_a_history_that_grows_is_projected_as_a_whole_one() -> None:
    growing = Projector(B, files=KEPT_BY_A)
    for count in range(1, len(HISTORY)):
        sent = growing.project(HISTORY[:count], HISTORY[count:])
        assert sent.messages[:count] == project(HISTORY[:count], B, files=KEPT_BY_A).messages
        assert sent.messages[count:] == HISTORY[count:], "what is new is for a check to refuse"
    assert growing.project(HISTORY) == project(HISTORY, B, files=KEPT_BY_A)
