"""What goes with a request of the Messages wire: headers, markers for the prompt cache; counting and the list of models."""

import json
from typing import Any

import msgspec
import pytest
from tests.harness.messages_blocks import HI, TOOL, assistant, file, text, user
from tests.harness.messages_wire import ADAPTIVE, BUDGET, checked_body, encode, spec

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld.providers.wire.anthropic_messages import WIRE
from modeld_protocol.model import Capabilities, ModelLimits, TokenCountParams

# ---- headers


@pytest.mark.parametrize(
    ("request_", "quirks", "version", "betas"),
    [
        ({}, BUDGET, "2023-06-01", None),
        ({}, Quirks(api_version="2026-10-21"), "2026-10-21", None),
        ({"provider_options": {"anthropic": {"betas": ["b", "a", "b"]}}}, BUDGET, "2023-06-01", "b,a"),
        (
            {"provider_options": {"anthropic": {"speed": "fast", "context_management": {"edits": []}}}},
            BUDGET,
            "2023-06-01",
            "context-management-2025-06-27,fast-mode-2026-02-01",
        ),
        ({"messages": [user(file({"kind": "file_id", "file_id": "f"}))]}, BUDGET, "2023-06-01", "files-api-2025-04-14"),
        ({"messages": [user(file({"kind": "file_id", "file_id": "f"}))]}, Quirks(api_version="2026-10-21"), "2026-10-21", None),
    ],
)
def test_headers(request_: dict[str, Any], quirks: Quirks, version: str, betas: str | None) -> None:
    encoded = encode(request_, spec(quirks), stream=True)
    assert encoded.path == "/v1/messages"
    assert encoded.headers.get("anthropic-version") == version
    assert encoded.headers.get("anthropic-beta") == betas
    assert json.loads(encoded.body)["stream"] is True


# ---- prompt cache

LONG = "word " * 2_000  # 10 kB: above 1,024 tokens
LONG_TOOL = {**TOOL, "description": LONG}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def _marks(body: dict[str, Any]) -> list[str]:
    """Where the markers are, in the order of the prefix."""
    found = [f"tools[{at}]" for at, tool in enumerate(body.get("tools") or []) if "cache_control" in tool]
    system = body.get("system")
    found += ["system"] if isinstance(system, list) and "cache_control" in system[-1] else []
    for number, message in enumerate(body["messages"]):
        blocks = [] if isinstance(message["content"], str) else message["content"]
        found += [f"messages[{number}][{at}]" for at, block in enumerate(blocks) if "cache_control" in block]
    return found


def _asking(*words: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": word, "metadata": {"cache": True}} for at, word in enumerate(words)]


@pytest.mark.parametrize(
    ("request_", "marks"),
    [
        ({"tools": [LONG_TOOL, TOOL], "system_prompt": "x"}, ["tools[1]", "system"]),
        ({"tools": [TOOL], "system_prompt": LONG}, ["system"]),
        ({"tools": [TOOL], "system_prompt": "x"}, []),
        ({"system_prompt": LONG, "cache": {"mode": "off"}}, []),
        ({"system_prompt": LONG, "messages": _asking("a"), "cache": {"mode": "auto"}}, ["system"]),
        ({"system_prompt": LONG, "messages": _asking("a"), "cache": {"mode": "explicit"}}, ["system", "messages[0][0]"]),
        ({"messages": _asking("a", LONG, "c"), "cache": {"mode": "explicit"}}, ["messages[1][0]", "messages[2][0]"]),
        (
            {"tools": [LONG_TOOL], "system_prompt": "x", "messages": _asking("a", "b", "c"), "cache": {"mode": "explicit"}},
            ["tools[0]", "system", "messages[1][0]", "messages[2][0]"],
        ),
        (
            {
                "messages": [HI, {**assistant(text(LONG), {"type": "thinking", "text": "x"}), "metadata": {"cache": True}}, HI],
                "cache": {"mode": "explicit"},
            },
            ["messages[1][0]"],
        ),
    ],
)
def test_cache_markers(request_: dict[str, Any], marks: list[str]) -> None:
    encoded = encode(request_)
    assert _marks(checked_body(encoded)) == marks
    assert encoded.cache_breakpoints == len(marks) <= 4
    assert encoded.cache_ttl == ("5m" if marks else None)


def test_cache_marker_says_its_time() -> None:
    encoded = encode({"tools": [LONG_TOOL], "system_prompt": "x", "cache": {"mode": "auto", "ttl": "1h"}})
    body = checked_body(encoded)
    assert body["tools"][0]["cache_control"] == body["system"][0]["cache_control"] == HOUR
    assert encoded.cache_ttl == "1h"
    assert checked_body(encode({"tools": [LONG_TOOL]}))["tools"][0]["cache_control"] == MARK


@pytest.mark.parametrize(
    ("minimum", "able", "marks"),
    [(512, "explicit", 1), (4_096, "explicit", 0), (None, "explicit", 1), (512, "none", 0)],
)
def test_cache_markers_where_the_model_caches(minimum: int | None, able: Any, marks: int) -> None:
    model = spec(limits=ModelLimits(min_cache_tokens=minimum), capabilities=Capabilities(thinking=True, prompt_cache=able))
    assert encode({"system_prompt": LONG}, model).cache_breakpoints == marks


def test_markers_move_and_nothing_else_does() -> None:
    """The next turn's request, markers aside, begins with the bytes of this turn's."""
    history = _asking("a", LONG, "c")
    first = checked_body(encode({"messages": history, "system_prompt": LONG, "tools": [TOOL]}))
    second = checked_body(encode({"messages": [*history, *_asking("d", "e")[1:]], "system_prompt": LONG, "tools": [TOOL]}))
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert (first["system"], first["tools"]) == (second["system"], second["tools"])


@pytest.mark.parametrize(("cache", "warned"), [({"mode": "explicit"}, ["cache.mode"]), ({"key": "k"}, ["cache.key"])])
def test_cache_wishes_that_come_to_nothing_are_told(cache: dict[str, Any], warned: list[str]) -> None:
    encoded = encode({"cache": cache}, spec(capabilities=Capabilities(prompt_cache="none")))
    assert [warning.path for warning in encoded.warnings] == warned


# ---- counting and discovery


def test_counting_asks_for_the_same_prefix() -> None:
    params = msgspec.convert({"messages": [HI], "system_prompt": "S", "tools": [TOOL]}, TokenCountParams)
    encoded = WIRE.encode_count(params, spec(ADAPTIVE))
    assert encoded is not None
    assert encoded.path == "/v1/messages/count_tokens"
    assert json.loads(encoded.body) == {"model": "m-1", "system": "S", "tools": [TOOL], "messages": [HI]}
    assert WIRE.decode_count(b'{"input_tokens": 12, "new": 1}') == 12


def test_discovery_goes_on_page_by_page() -> None:
    first, next_ = WIRE.encode_discover(None), WIRE.encode_discover("a/b&c")
    assert first is not None
    assert next_ is not None
    assert (first.method, first.path, first.body) == ("GET", "/v1/models?limit=1000", b"")
    assert next_.path.endswith("&after_id=a%2Fb%26c")
    page = {
        "data": [{"id": "m-2", "display_name": "M 2", "max_input_tokens": 5, "max_tokens": 3, "line": "m"}, {"id": "m-3"}],
        "has_more": True,
        "last_id": "m-3",
    }
    models, token = WIRE.decode_discover(json.dumps(page).encode(), "claude")
    assert [(model.id, model.wire_name, model.display_name) for model in models] == [
        ("claude:m-2", "m-2", "M 2"),
        ("claude:m-3", "m-3", None),
    ]
    assert models[0].limits == ModelLimits(5, 3)
    assert token == "m-3"
    assert WIRE.decode_discover(b'{"data": []}', "claude") == ([], None)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 1}', b"<html>"])
def test_lists_and_counts_that_are_none(body: bytes) -> None:
    for decode in (WIRE.decode_count, lambda data: WIRE.decode_discover(data, "claude")):
        with pytest.raises(ProviderFailure) as caught:
            decode(body)
        assert caught.value.error_class == "server_error"
