"""Hypothesis strategies for the canonical model: whole requests with histories that hang together."""

import base64
from typing import Any

from hypothesis import strategies as st

from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    Block,
    FileBlock,
    FileIdSource,
    ImageBlock,
    JsonBlock,
    Message,
    OpaqueBlock,
    RedactedThinkingBlock,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from modeld_protocol.request import Cache, CanonicalRequest, ResponseFormat, Thinking, Tool, ToolChoice

TEXT = st.one_of(st.sampled_from(["", " ", "Hello", 'say "hi"\n', "ü 日本 😀", "\u2028\x00"]), st.text(max_size=20))
NAMES = st.sampled_from(["get_weather", "search", "run-2"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(TEXT, JSON, max_size=3)
PROVIDERS = st.sampled_from(["anthropic", "openai", "openai-responses", "gemini"])

_BYTES = {
    "image/png": b"\x89PNG\r\n\x1a\n0000",
    "image/jpeg": b"\xff\xd8\xff\xe00000",
    "application/pdf": b"%PDF-1.7\n0000",
    "text/plain": "Grüße".encode(),
}


def _inline(media_type: str) -> Base64Source:
    return Base64Source(base64.b64encode(_BYTES[media_type]).decode())


def raws(key: str, value: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Opaque state of some provider, with `key`."""
    return PROVIDERS.map(lambda provider: {"provider": provider, "model": "m", key: value})


IMAGES = st.sampled_from(["image/png", "image/jpeg"]).flatmap(
    lambda kind: st.sampled_from(
        [
            ImageBlock(_inline(kind), kind),
            ImageBlock(_inline(kind)),
            ImageBlock(UrlSource("https://example.com/a.png")),
            ImageBlock(UrlSource(f"data:{kind};base64,{_inline(kind).data}")),
            ImageBlock(FileIdSource("file_1"), detail="high"),
        ]
    )
)
FILES = st.sampled_from(
    [
        FileBlock(_inline("application/pdf"), "application/pdf", "a.pdf"),
        FileBlock(_inline("text/plain"), "text/plain"),
        FileBlock(UrlSource("https://example.com/a.pdf")),
        FileBlock(FileIdSource("file_2")),
    ]
)
AUDIO = st.just(AudioBlock(Base64Source(base64.b64encode(b"ID300000").decode()), "audio/mpeg"))
WORDS = st.one_of(TEXT.map(TextBlock), JSON.map(JsonBlock))
USER_BLOCKS: st.SearchStrategy[Block] = st.one_of(WORDS, IMAGES, FILES)
REASONING: st.SearchStrategy[Block] = st.one_of(
    st.builds(ThinkingBlock, TEXT, st.none() | raws("signature", "c2ln")),
    raws("data", "ZGF0YQ==").map(RedactedThinkingBlock),
)
ASSISTANT_BLOCKS: st.SearchStrategy[Block] = st.one_of(
    WORDS,
    TEXT.map(RefusalBlock),
    raws("block", {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}).map(
        OpaqueBlock
    ),
)
RESULTS = TEXT | st.lists(st.one_of(WORDS, IMAGES, FILES), max_size=3)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """A conversation that starts and ends with the user; every call has its result in the next message or messages."""
    messages: list[Message] = draw(st.lists(TEXT.map(lambda text: Message("system", text)), max_size=2))
    for turn in range(draw(st.integers(0, 3))):
        messages.append(Message("user", draw(TEXT | st.lists(USER_BLOCKS, max_size=3))))
        blocks: list[Any] = draw(st.lists(REASONING, max_size=1)) + draw(st.lists(ASSISTANT_BLOCKS, max_size=2))
        calls = [f"tu_{turn}_{number}" for number in range(draw(st.integers(0, 2)))]
        blocks += [ToolUseBlock(call, draw(NAMES), draw(OBJECTS), "grp_1") for call in calls]
        messages.append(Message("assistant", blocks))
        results = [ToolResultBlock(call, draw(RESULTS), draw(st.booleans())) for call in calls]
        if draw(st.booleans()):
            messages += [Message("tool", [result]) for result in results]
        else:
            messages.append(Message("user", [*draw(st.lists(WORDS, max_size=1)), *results]))
        if draw(st.integers(0, 5)) == 0:
            messages.append(Message("system", draw(TEXT)))
    messages.append(Message("user", "Go on." + draw(TEXT), metadata=draw(st.sampled_from([None, {}, {"cache": True}]))))
    return messages


TOOLS = st.lists(
    st.builds(
        Tool,
        NAMES,
        st.none() | TEXT,
        st.sampled_from([{"type": "object", "properties": {}}, {"type": "object", "properties": {"city": {"type": "string"}}}]),
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@st.composite
def requests(draw: st.DrawFn) -> CanonicalRequest:
    """A valid request, with every field now and then."""
    tools = draw(TOOLS)
    choices = [None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("auto", parallel=False)]
    if tools:
        choices += [ToolChoice("required"), ToolChoice("tool", tools[0].name)]
    return CanonicalRequest(
        draw(st.one_of(histories(), st.just("Hello"))),
        system_prompt=draw(st.none() | TEXT),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)),
        response_format=draw(st.sampled_from([None, ResponseFormat("text"), ResponseFormat("json_schema", "out", SCHEMA)])),
        max_output_tokens=draw(st.sampled_from([None, 1, 1_024, 4_096])),
        temperature=draw(st.sampled_from([None, 0.0, 0.5, 1.0, 2.0])),
        top_p=draw(st.sampled_from([None, 0.1, 1.0])),
        stop_sequences=draw(st.sampled_from([[], ["END"], ["a", "b"]])),
        thinking=draw(THINKING),
        cache=draw(st.sampled_from([None, Cache("off"), Cache("explicit", "1h"), Cache("auto", "5m", "key")])),
        metadata=draw(st.sampled_from([None, {"user": "u"}])),
    )


THINKING = st.one_of(
    st.none(),
    st.builds(
        Thinking,
        st.sampled_from(["off", "on", "adaptive"]),
        st.sampled_from([None, 1, 2_000, 100_000]),
        st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        st.sampled_from([None, "summarized", "omitted"]),
    ),
)
