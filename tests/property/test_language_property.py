"""No text and no position makes a language request fail, and every edit that is offered is one of the text."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.language import analysis_of, apply_edits

from modeld.language.actions import actions
from modeld.language.completion import complete
from modeld.language.hover import hover
from modeld.language.navigation import definition, prepare_rename, references, symbols
from modeld.language.text import ENCODINGS, Position, Range

PIECES = (
    *(
        "adapters:",
        "models:",
        "default_model:",
        "openai",
        "ollama",
        "type",
        "api_key",
        "aliases",
        "fallbacks",
        "pricing",
        "above",
    ),
    *(
        ":",
        ": ",
        "- ",
        ",",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "#",
        " # ",
        "&a ",
        "*a",
        "!t ",
        "|",
        ">",
        "---",
        "\n",
        "\n  ",
        "\n    ",
    ),
    *("\r\n", "\r", "\t", "\u2028", "\u0085", "😀", "é", "a:b", "1", "true", "~", "\ufeff", "\0", "$X", "<<", "?"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.integers(0, 6), st.integers(0, 30), st.sampled_from(ENCODINGS))
def test_no_text_and_no_position_fails(text: str, line: int, character: int, encoding: str) -> None:
    analysis = analysis_of(text, encoding)  # type: ignore[arg-type]
    at = Position(line, character)
    index = analysis.index(at)
    for item in complete(analysis, at).items:
        place = item.text_edit.range
        assert place.start.line == place.end.line
        assert analysis.index(place.start) <= index <= analysis.index(place.end)
    hover(analysis, at)
    definition(analysis, "u", at)
    references(analysis, "u", at, declaration=True)
    prepare_rename(analysis, at)
    symbols(analysis)
    for one in analysis.diagnostics():
        assert one.range.start <= one.range.end
    everything = Range(Position(0, 0), Position(99, 0))
    for action in actions(analysis, "u", everything):
        apply_edits(text, action.edit.changes["u"], encoding)  # type: ignore[arg-type]
