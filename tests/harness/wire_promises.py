"""What the property tests of all wires share: odd values, streams that are played, and the promises that hold of any of them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded, Wire
from modeld_protocol.content import FileBlock, FileIdSource, ImageBlock, ToolResultBlock, UrlSource
from modeld_protocol.events import MessageStart, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.request import CanonicalRequest

Frames = Iterable[tuple[str, bytes]]


class WireCase(msgspec.Struct, kw_only=True):
    """One wire in the table. `check_body` looks at what goes out, `items` is where its messages are; `grown_with` are the
    quirks under which a history grows, `system_later` whether system messages may come late without moving what was sent. A
    body that may be a stream may also be one that was cut short."""

    name: str
    wire: Wire
    requests: st.SearchStrategy[CanonicalRequest]
    quirks: st.SearchStrategy[Quirks]
    encode: Callable[[CanonicalRequest, Quirks], Encoded]
    check_body: Callable[[Encoded, Quirks], None]
    items: str
    bodies: st.SearchStrategy[bytes]
    new_assembler: Callable[[Quirks], Assembler]
    grown_with: st.SearchStrategy[Quirks] = st.just(Quirks())
    system_later: bool = False
    read_with: st.SearchStrategy[Quirks] = st.just(Quirks())
    body_may_be_stream: bool = False

    def __repr__(self) -> str:
        return f"WireCase({self.name})"


# ---- odd values


def odd(*names: str) -> st.SearchStrategy[Any]:
    """Any small JSON value; its objects have members of these names."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(names), inner, max_size=3),
        max_leaves=4,
    )


def mostly(strategy: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is right, and every sixth time something else."""
    return st.one_of(strategy, strategy, strategy, strategy, strategy, other)


# ---- requests


def without(request: CanonicalRequest, expressible: Callable[[Any], bool]) -> CanonicalRequest:
    """The request without the media that a wire has no form for; a tool's result with such keeps its place."""
    if isinstance(request.messages, str):
        return request
    for message in request.messages:
        if not isinstance(message.content, str):
            kept = (_with_plain_result(block, expressible) for block in message.content)
            message.content = [block for block in kept if isinstance(block, ToolResultBlock) or expressible(block)]
    return request


def _with_plain_result(block: Any, expressible: Callable[[Any], bool]) -> Any:
    if not isinstance(block, ToolResultBlock) or isinstance(block.content, str) or all(map(expressible, block.content)):
        return block
    return ToolResultBlock(block.tool_use_id, "x", block.is_error)


def is_remote(block: ImageBlock | FileBlock) -> bool:
    """Whether the provider would have to fetch it."""
    return isinstance(block.source, UrlSource) and block.source.url.startswith("http")


def is_by_id(block: ImageBlock | FileBlock) -> bool:
    """Whether the provider would have to have it."""
    return isinstance(block.source, FileIdSource)


def attempted(call: Callable[[], Encoded]) -> Encoded | ProviderFailure:
    """What an encoding gives, or why it is refused."""
    try:
        return call()
    except ProviderFailure as failure:
        return failure


# ---- answers


def play(wire: Wire, assembler: Assembler, model: ModelSpec, frames: Frames) -> ProviderFailure | None:
    """The frames of a stream through a wire; why it failed."""
    decoder = wire.stream_decoder(assembler, model)
    try:
        for name, data in frames:
            assert isinstance(decoder.feed(name, data), bool)
        decoder.end()
    except ProviderFailure as failure:
        assembler.complete("error")
        return failure
    return None


def check_stream(assembler: Assembler) -> None:
    """The promises of every stream: order, one end per start, deltas that are the content."""
    events, content = assembler.events, assembler.content
    assert [index for index, e in enumerate(events) if isinstance(e, MessageStart)] == [0]
    indexes = [e.content_block_index for e in events if not isinstance(e, MessageStart)]
    assert indexes == sorted(indexes)
    opened: list[str] = []
    closed: list[str] = []
    texts: dict[int, str] = {}
    for found in events:
        if isinstance(found, ToolUseStart):
            assert found.tool_use_id not in opened
            opened.append(found.tool_use_id)
        elif isinstance(found, ToolUseInputDelta):
            assert opened[-1] == found.tool_use_id not in closed
        elif isinstance(found, ToolUseEnd):
            assert opened[-1] == found.tool_use_id not in closed
            closed.append(found.tool_use_id)
        elif isinstance(found, TextDelta | ThinkingDelta):
            texts[found.content_block_index] = texts.get(found.content_block_index, "") + found.text
    assert opened == closed
    kept = {at: block.text for at, block in enumerate(content) if hasattr(block, "text")}  # type: ignore[union-attr]
    assert {at: text for at, text in texts.items() if text} == {at: text for at, text in kept.items() if text}
