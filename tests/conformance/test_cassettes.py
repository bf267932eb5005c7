"""Every wire against the cassettes: what is sent, what comes of what is said, however it is cut; and nothing secret in them."""

import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest

from modeld.cassettes.develop import leaks_of
from modeld.cassettes.folder import cassette_folders, read_cassette, read_cassettes
from modeld.cassettes.format import Cassette, CassetteInvalid, render_cassette
from modeld.cassettes.golden import GoldenRun
from modeld.cassettes.update import main as update
from modeld.providers.catalog import all_rows, known_types

ROOT = Path(__file__).parents[2] / "cassettes"
CASSETTES = read_cassettes(ROOT)
STREAMS = [cassette for cassette in CASSETTES if cassette.request.stream]
MEND = "if this is what you meant: python -m modeld.cassettes.update"


def each(cassettes: list[Cassette]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cassette", cassettes, ids=[cassette.name for cassette in cassettes])


# ---- what is sent, and what comes of it


@pytest.mark.anyio
@each(CASSETTES)
async def test_request_and_answer(cassette: Cassette) -> None:
    run = GoldenRun(cassette)
    outcome = await run.play()
    sent, request = run.sent, cassette.request
    assert sent is not None
    assert (sent.method, sent.path, sent.headers) == (request.method, request.path, request.headers), MEND
    assert sent.body == msgspec.json.encode(request.body), MEND  # member for member, in the same order
    assert msgspec.to_builtins(outcome) == cassette.expected, MEND


@pytest.mark.anyio
@each(STREAMS)
async def test_any_cut_gives_the_same(cassette: Cassette) -> None:
    """Byte by byte, which cuts everywhere at once, and in two pieces at places all over the body."""
    run, body = GoldenRun(cassette), cassette.body
    ways = [[body[at : at + size] for at in range(0, len(body), size)] for size in (1, 7, 64, len(body))]
    step = -(-len(body) // 40)
    ways += [[body[:at], body[at:]] for at in range(1, len(body), step)]
    for pieces in ways:
        assert msgspec.to_builtins(await run.play(pieces)) == cassette.expected


@each(STREAMS)
def test_expected_streams_keep_their_promises(cassette: Cassette) -> None:
    """The expectations themselves: a start, one terminal event, the deltas are the content."""
    assert cassette.expected is not None
    events: list[dict[str, Any]] = cassette.expected["events"]
    assert [event["type"] for event in events].count("message.complete") == 1
    assert (events[0]["type"], events[-1]["type"]) == ("message.start", "message.complete")
    places = [event["content_block_index"] for event in events if "content_block_index" in event]
    assert places == sorted(places)
    content: list[dict[str, Any]] = cassette.expected.get("response", {}).get("content", [])
    for kind, types in (("text.delta", ("text", "refusal")), ("thinking.delta", ("thinking",))):
        said = "".join(event["text"] for event in events if event["type"] == kind)
        assert said == "".join(block.get("text", "") for block in content if block["type"] in types)
    ends = [event["final_input"] for event in events if event["type"] == "tool.use_end"]
    calls = [block["input"] for block in content if block["type"] == "tool_use"]
    assert calls == ends[: len(calls)]


def test_nothing_to_update(capsys: pytest.CaptureFixture[str]) -> None:
    """Files as `update` would write them, line for line."""
    for folder, cassette in zip(cassette_folders(ROOT), CASSETTES, strict=True):
        for name, data in render_cassette(cassette).items():
            assert (folder / name).read_bytes() == data, f"{cassette.name}/{name}: {MEND}"
    assert update([str(ROOT / CASSETTES[0].name), "--check"]) == 0
    assert "0 would change" in capsys.readouterr().out


def test_update_makes_a_cassette_of_what_was_written_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = read_cassette(ROOT / "openai" / "usage-without-choices")
    folder = tmp_path / "openai" / "by-hand"
    folder.mkdir(parents=True)
    fields = {name: msgspec.to_builtins(getattr(source.request, name)) for name in ("adapter", "model", "canonical", "stream")}
    (folder / "request.json").write_bytes(msgspec.json.encode(fields))
    (folder / "response.json").write_bytes(msgspec.json.encode({"headers": source.response.headers, "chunks": [[1, 0]]}))
    (folder / "body.sse").write_bytes(source.body)
    with pytest.raises(CassetteInvalid, match="--recut"):
        read_cassette(folder)
    assert update([str(folder), "--recut"]) == 0
    made = read_cassette(folder)
    assert made.expected == source.expected
    assert made.request == source.request
    assert len(made.response.chunks) == source.body.count(b"\n\n")
    assert "+  " in capsys.readouterr().out
    (folder / "body.sse").write_bytes(source.body.replace(b"Ahoy", b"Ahem"))
    assert update([str(folder), "--check"]) == 1
    assert '-    {"type": "text.delta", "content_block_index": 0, "text": "Ahoy"}' in capsys.readouterr().out


# ---- nothing secret

# Where providers and their documentation are; a cassette may name no other host.
HOSTS = {
    host
    for row in all_rows()
    for url in (row.base_url, row.documentation, *(rule.source for rule in row.rules))
    if (host := urlsplit(url).hostname)
} | {"ai.google.dev", "console.groq.com", "inference-docs.cerebras.ai", "api-docs.deepseek.com", "platform.minimax.io"}
HOSTS |= {"platform.openai.com", "openrouter.ai", "www.alibabacloud.com", "platform.moonshot.ai", "docs.ollama.com", "docs.z.ai"}
TYPE_URLS = {"type.googleapis.com"}  # names of types, in Google's error details


@each(CASSETTES)
def test_nothing_looks_like_a_secret(cassette: Cassette) -> None:
    assert leaks_of(cassette, HOSTS | TYPE_URLS) == []


@each(CASSETTES)
def test_says_what_it_is_about(cassette: Cassette) -> None:
    """In one line: the rule, and where it is documented, or that it was seen, with a date."""
    quirk = cassette.response.quirk
    assert re.fullmatch(r"[^\n]{20,200} \((https://\S+|seen in traffic), 20\d\d-\d\d-\d\d\)", quirk), quirk


# ---- a cassette for every quirk


class QuirkRow(NamedTuple):
    """A way in which providers surprise, and the cases that show it."""

    surprise: str
    cases: dict[str, tuple[str, ...]]


_OVERFLOWING = ("anthropic", "openai", "openai-compatible", "openai-responses", "gemini", "openrouter")
_OVERFLOW = {**dict.fromkeys(_OVERFLOWING, ("context-overflow",)), "deepseek": ("octet-stream-error",)}
ROWS = (
    QuirkRow("comments between events", {"openrouter": ("comments-between-events",)}),
    QuirkRow("a JSON body that begins with blank lines", {"openrouter": ("padded-json",)}),
    QuirkRow("CRLF between events", {"gemini": ("crlf-events",)}),
    QuirkRow("a JSON array in place of a stream", {"gemini": ("array-instead-of-events",)}),
    QuirkRow(
        "no end marker on success",
        {"cerebras": ("no-end-marker",), "minimax": ("think-tags",), "openai-compatible": ("no-end-marker",)},
    ),
    QuirkRow("an end marker where none belongs", {"anthropic-compatible": ("done-after-message-stop",)}),
    QuirkRow("a content type that lies", {"openai": ("error-as-event-stream",), "deepseek": ("octet-stream-error",)}),
    QuirkRow("a null finish after the finish", {"openrouter": ("finish-null-after-finish",)}),
    QuirkRow("a finish that comes twice", {"glm": ("finish-twice",), "openrouter": ("error-and-end-marker",)}),
    QuirkRow(
        "usage in its own chunk, in the finish chunk, three times, in the choice",
        {
            "openai": ("usage-without-choices",),
            "deepseek": ("usage-in-finish-chunk",),
            "groq": ("usage-three-times",),
            "kimi": ("usage-in-choice", "cached-tokens-at-top"),
        },
    ),
    QuirkRow("no choices first, a choice without delta", {"openai": ("filter-results-first", "choice-without-delta")}),
    QuirkRow(
        "absent keys",
        {"cerebras": ("no-end-marker",), "glm": ("whole-call-in-one-delta",), "qwen": ("reasoning-content",)}
        | {"minimax": ("think-tags",)},
    ),
    QuirkRow("a stop in the middle", {"gemini": ("stop-in-the-middle",)}),
    QuirkRow("cumulative usage", {"anthropic": ("cumulative-usage",)}),
    QuirkRow("retry-after on success", {"anthropic": ("retry-after-on-success",)}),
    QuirkRow("empty ids and null arguments in later fragments", {"qwen": ("empty-ids-in-fragments",)}),
    QuirkRow("a whole call in one delta", {"glm": ("whole-call-in-one-delta",)}),
    QuirkRow(
        "calls that end with stop",
        {
            "openai": ("forced-call-says-stop",),
            "gemini": ("signature-on-first-of-parallel-calls",),
            "ollama": ("arguments-as-object",),
        },
    ),
    QuirkRow("arguments that are an object, calls without id", {"ollama": ("arguments-as-object", "call-with-id")}),
    QuirkRow(
        "a call that the limit cut",
        {"anthropic": ("call-cut-by-limit",), "openai": ("call-cut-by-limit",), "deepseek": ("call-without-arguments",)},
    ),
    QuirkRow("an empty first fragment, a ping in between", {"anthropic": ("ping-and-empty-first-fragment",)}),
    QuirkRow("a signature on the first call alone", {"gemini": ("signature-on-first-of-parallel-calls", "signature-replayed")}),
    QuirkRow("an index in whole calls, odd ids", {"glm": ("index-and-odd-ids",)}),
    QuirkRow(
        "where reasoning comes",
        {
            "deepseek": ("usage-in-finish-chunk",),
            "glm": ("whole-call-in-one-delta",),
            "qwen": ("reasoning-content",),
            "groq": ("reasoning-field", "think-tags"),
            "cerebras": ("reasoning-field",),
            "openai-compatible": ("reasoning-field",),
            "ollama": ("thinking-field",),
            "openrouter": ("reasoning-details", "reasoning-details-stream"),
            "minimax": ("think-tags", "reasoning-details"),
            "kimi": ("cached-tokens-at-top",),
            "anthropic": ("thinking-signature",),
            "gemini": ("thought-summaries",),
        },
    ),
    QuirkRow(
        "how reasoning goes back",
        {
            "anthropic": ("thinking-replayed",),
            "openai-responses": ("reasoning-replayed",),
            "gemini": ("signature-replayed",),
            "deepseek": ("reasoning-replayed",),
            "openrouter": ("reasoning-replayed",),
            "minimax": ("reasoning-replayed",),
            "kimi": ("reasoning-replayed",),
            "qwen": ("reasoning-left-out",),
        },
    ),
    QuirkRow("details of reasoning, mixed", {"openrouter": ("reasoning-details", "reasoning-details-stream")}),
    QuirkRow("a signature on an empty text", {"gemini": ("signature-on-empty-text",)}),
    QuirkRow("a limit while thinking", {"openai-responses": ("limit-while-thinking",), "openai": ("limit-while-thinking",)}),
    QuirkRow(
        "empty summaries, phases, redacted thinking alone",
        {
            "openai-responses": ("empty-summary-and-phase",),
            "anthropic": ("redacted-thinking-alone", "redacted-thinking-stream"),
        },
    ),
    QuirkRow("a paused turn", {"anthropic": ("pause-turn",)}),
    QuirkRow("an error event in a stream", {"groq": ("error-event-mid-stream", "error-event-first")}),
    QuirkRow(
        "an error beside choices, with an end marker, alone",
        {"openrouter": ("error-beside-choices", "error-and-end-marker", "error-alone")},
    ),
    QuirkRow("an error in a 200", {"openrouter": ("error-in-200",), "minimax": ("base-resp-error",)}),
    QuirkRow("a retry delay in the body", {"gemini": ("retry-delay-in-body",), "openrouter": ("reset-in-metadata",)}),
    QuirkRow("a prompt that is too long, in other words each", _OVERFLOW),
    QuirkRow(
        "shapes of errors",
        {
            "ollama": ("error-as-string", "error-line-mid-stream"),
            "gemini": ("unknown-model",),
            "openai": ("error-as-event-stream", "null-error-code", "unknown-model"),
            "openai-responses": ("unknown-model", "failed-mid-stream"),
            "deepseek": ("unknown-model",),
            "anthropic": ("unknown-model", "overloaded-mid-stream"),
            "openrouter": ("html-throttle-page",),
        },
    ),
    QuirkRow(
        "no content where content belongs",
        {
            "gemini": ("blocked-prompt", "malformed-call-without-content", "numeric-finish-reason"),
            "openai": ("filtered-without-message",),
        },
    ),
    QuirkRow(
        "refusals",
        {
            "openai": ("refusal", "refusal-stream"),
            "openrouter": ("refusal-as-content-filter",),
            "openai-responses": ("refusal",),
            "anthropic": ("refusal",),
        },
    ),
    QuirkRow("a connection that breaks", {"anthropic": ("cut-mid-stream",), "openai": ("cut-mid-stream",)}),
    QuirkRow("a cost that the provider reports", {"openrouter": ("cost-reported",)}),
)


@pytest.mark.parametrize("row", ROWS, ids=[row.surprise for row in ROWS])
def test_every_quirk_has_a_cassette(row: QuirkRow) -> None:
    there = {cassette.name for cassette in CASSETTES}
    wanted = {f"{provider}/{case}" for provider, cases in row.cases.items() if provider in known_types() for case in cases}
    assert wanted <= there


def test_every_provider_has_a_cassette() -> None:
    assert {cassette.request.adapter.type for cassette in CASSETTES} == set(known_types())
