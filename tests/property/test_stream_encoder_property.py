"""The stream encoder's bytes are those of the plain Structs, for any ids and texts."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.server.stream_encoder import StreamEncoder
from modeld_protocol.content import TextBlock
from modeld_protocol.events import Event, MessageComplete, MessageStart, StreamEvent, TextDelta, ThinkingDelta, ToolUseEnd
from modeld_protocol.framing import frame
from modeld_protocol.jsonrpc import Notification
from modeld_protocol.usage import Usage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["%d", "%%", '"', "\\", "\u2028", "%b\r\n"]
)
IDS = st.sampled_from(["m1", "m2"]) | TEXT
INDEX = st.integers(0, 3)
EVENTS = st.lists(
    st.builds(TextDelta, IDS, INDEX, TEXT)
    | st.builds(ThinkingDelta, IDS, INDEX, TEXT)
    | st.builds(MessageStart, IDS, TEXT, TEXT)
    | st.builds(ToolUseEnd, IDS, INDEX, TEXT, st.just({"a": 1}))
    | st.just(MessageComplete("m1", "end_turn", [TextBlock("x")], Usage(1, 2))),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, IDS, IDS, st.none() | IDS, st.none() | IDS, st.integers(0, 10**9), st.integers(1, 12))
def test_same_bytes_as_the_structs(
    events: list[Event], request_id: str, epoch: str, session_id: str | None, turn_id: str | None, cursor: int, batch: int
) -> None:
    encoder = StreamEncoder(request_id, epoch, session_id, turn_id, cursor)
    encoded = b"".join(encoder.encode(events[at : at + batch]) for at in range(0, len(events), batch))
    plain = [
        frame(
            msgspec.json.encode(Notification("stream/event", StreamEvent(request_id, epoch, number, event, session_id, turn_id)))
        )
        for number, event in enumerate(events, cursor)
    ]
    assert encoded == b"".join(plain)
    assert encoder.cursor == cursor + len(events)
