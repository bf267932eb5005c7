"""Hover, definitions, references, rename and symbols of models.yaml, each at a mark in the text."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.language import ENV, analysis_of, apply_edits, knowledge, without_mark

from modeld.language import CannotRename
from modeld.language.hover import about_field, hover
from modeld.language.navigation import definition, prepare_rename, references, rename, symbols
from modeld.language.shape import shape_at
from modeld.language.text import Position

TEXT = """\
adapters:
  openai: {api_key_env: OPENAI_API_KEY}
  box: # ours
    type: openai-compatible
    base_url: http://127.0.0.1:1/v1
  locked: {type: openai, api_key: sk-proj-0123456789abcdef}
models:
  openai:gpt-5: {adapter: openai, aliases: [big, 'large'], tier: deep}
  box:mini:
    adapter: box
    limits: {max_context_tokens: 4096}
    pricing: {input: 1.5, currency: EUR}
    fallbacks: [big]

default_model: big
budgets: {day: {limit: 5}}
"""


def at(marked: str) -> tuple[Any, Position]:
    text, index = without_mark(marked)
    analysis = analysis_of(text)
    return analysis, analysis.range(index, index).start


def mark(before: str, number: int = 0) -> str:
    """TEXT with a mark one letter into an occurrence of `before`."""
    index = -1
    for _ in range(number + 1):
        index = TEXT.index(before, index + 1)
    return TEXT[: index + 1] + "¦" + TEXT[index + 1 :]


HOVERS: list[tuple[str, list[str]]] = [
    (mark("type"), ["**type**: one of ", "What the adapter speaks to."]),
    (mark("base_url"), ["Where the provider is"]),
    (mark("default_model"), ["The model of a request that names none"]),
    (mark("limit:"), ["The most that may be spent"]),
    (mark("max_context_tokens"), ["a whole number", "The most that a prompt and its answer"]),
    (
        mark("openai:"),
        ["of type **openai**", "from the environment variable OPENAI_API_KEY, which is set", "Models in this file: 1"],
    ),
    (mark("box"), ["of type **openai-compatible**", "Key: none is needed", "Models in this file: 1"]),
    (mark("locked"), ["Key: stands in this file in plain text"]),
    (mark("OPENAI_API_KEY"), ["which is set where the daemon runs"]),
    (mark("openai-compatible"), ["**openai-compatible** speaks the wire", "https://"]),
    (
        mark("openai:gpt-5"),
        ["**openai:gpt-5**", "context 400,000", "USD per million tokens: input 1.25", "Can: tools", "Tier: deep"],
    ),
    (mark("box:mini"), ["context 4,096", "EUR per million tokens: input 1.5"]),
    (mark("big"), ["**openai:gpt-5**", "Aliases: `big`, `large`"]),
    (mark("large"), ["**openai:gpt-5**"]),
    (mark("big", 1), ["**openai:gpt-5**"]),
    (mark("big", 2), ["**openai:gpt-5**"]),
    (mark("box\n"), ["Adapter `box`"]),
]


@pytest.mark.parametrize(("marked", "words"), HOVERS)
def test_hover(marked: str, words: list[str]) -> None:
    analysis, position = at(marked)
    found = hover(analysis, position)
    assert found is not None
    assert [word for word in words if word not in found.contents.value] == []
    assert found.range is not None
    assert found.range.start <= position <= found.range.end
    assert ENV["OPENAI_API_KEY"] not in found.contents.value
    assert "sk-proj" not in found.contents.value


@pytest.mark.parametrize(
    "marked", ["¦\n", "# ¦x\n", "x¦y: 1\n", mark("# ours"), mark("http"), mark("4096"), "adapters: {a: {type: nop¦e}}"]
)
def test_no_hover(marked: str) -> None:
    assert hover(*at(marked)) is None


def test_hover_in_a_text_with_errors() -> None:
    """A line that is no YAML leaves the rest alone, and errors elsewhere leave what the catalog knows."""
    for broken in ("  openai:x: {\n", "    ty\n", "foo: bar: baz\n", "x: 'open\n"):
        analysis, position = at(mark("openai:gpt-5") + broken)
        found = hover(analysis, position)
        assert found is not None, broken
        assert "context 400,000" in found.contents.value


def places(found: list[Any]) -> list[tuple[int, int, int]]:
    return [(one.range.start.line, one.range.start.character, one.range.end.character) for one in found]


ALIAS, MODEL, OPENAI, BOX = (7, 44, 47), (7, 2, 14), (1, 2, 8), (2, 2, 5)


@pytest.mark.parametrize(
    ("marked", "defined", "named"),
    [
        (mark("big", 2), [ALIAS], [ALIAS, (12, 16, 19), (14, 15, 18)]),
        (mark("big"), [ALIAS], [ALIAS, (12, 16, 19), (14, 15, 18)]),
        (mark("openai:gpt-5"), [MODEL], [MODEL, ALIAS, (7, 49, 56), (12, 16, 19), (14, 15, 18)]),
        (mark("openai", 2), [], []),  # the type of an adapter is no reference
        (mark("box\n"), [BOX], [BOX, (9, 13, 16)]),
        (mark("box"), [BOX], [BOX, (9, 13, 16)]),
        (mark("base_url"), [], []),
    ],
)
def test_definitions_and_references(marked: str, defined: list[Any], named: list[Any]) -> None:
    analysis, position = at(marked)
    assert places(definition(analysis, "u", position)) == defined
    assert places(references(analysis, "u", position, declaration=True)) == named
    assert places(references(analysis, "u", position, declaration=False)) == [one for one in named if one[0] in (9, 12, 14)]


@pytest.mark.parametrize(
    ("marked", "name", "changed"),
    [
        (mark("big", 1), "huge", [("big", "huge")]),
        (mark("large"), "wide", [("'large'", "'wide'")]),
        (mark("box"), "shed", [("  box: #", "  shed: #"), ("adapter: box", "adapter: shed")]),
        (mark("openai:gpt-5"), "openai:five", [("openai:gpt-5:", "openai:five:")]),
    ],
)
def test_rename(marked: str, name: str, changed: list[tuple[str, str]]) -> None:
    analysis, position = at(marked)
    prepared = prepare_rename(analysis, position)
    assert prepared is not None
    edit = rename(analysis, "u", position, name)
    assert edit is not None
    after = TEXT
    for old, new in changed:
        after = after.replace(old, new)
    assert apply_edits(TEXT, edit.changes["u"]) == after
    assert not [one for one in analysis_of(after).problems if one.severity == "error"]


@pytest.mark.parametrize(
    ("marked", "name"),
    [(mark("box"), "openai"), (mark("box"), "a b"), (mark("big"), "openai:gpt-5"), (mark("openai:gpt-5"), "five")],
)
def test_names_that_are_refused(marked: str, name: str) -> None:
    analysis, position = at(marked)
    with pytest.raises(CannotRename, match="choose another"):
        rename(analysis, "u", position, name)


def test_what_cannot_be_renamed() -> None:
    for marked in (mark("base_url"), mark("# ours"), "default_model: no¦pe\n"):
        analysis, position = at(marked)
        assert prepare_rename(analysis, position) is None
        assert rename(analysis, "u", position, "x") is None


def test_symbols() -> None:
    found = symbols(analysis_of(TEXT))
    tree = [
        (one.name, [(child.name, child.detail, [below.name for below in child.children]) for child in one.children])
        for one in found
    ]
    assert tree == [
        ("adapters", [("openai", "openai", []), ("box", "openai-compatible", []), ("locked", "openai", [])]),
        ("models", [("openai:gpt-5", "openai", ["big", "large"]), ("box:mini", "box", [])]),
        ("default_model", []),
        ("budgets", []),
    ]
    box = found[0].children[1]
    assert (box.range.start, box.range.end) == (Position(2, 2), Position(4, 35))
    for one in [*found, *(child for section in found for child in section.children)]:
        assert one.range.start <= one.selection_range.start <= one.selection_range.end <= one.range.end


def test_symbols_hide_what_may_be_a_key() -> None:
    text = "adapters: {sk-proj-0123456789abcdef0123: {type: sk-proj-0123456789abcdef0123}}\n"
    assert "sk-proj" not in repr(symbols(analysis_of(text)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_a_byte_order_mark_counts_in_the_first_line_alone(encoding: Any) -> None:
    analysis = analysis_of("\ufeffadapters:\n  openai: {typ: x}\n", encoding)
    margin = 3 if encoding == "utf-8" else 1
    assert places(symbols(analysis))[0][:2] == (0, margin)
    found = hover(analysis, Position(0, margin + 1))
    assert found is not None
    assert found.range is not None
    assert found.range.start.character == margin
    assert [
        (one.range.start.line, one.range.start.character) for one in analysis.diagnostics() if one.code == "unknown_field"
    ] == [(1, 11)]


def every_field() -> Iterator[tuple[str | None, ...]]:
    """The path of every field that the schema knows, with `x` for names of one's own."""
    open_paths: list[tuple[str | None, ...]] = [()]
    while open_paths:
        path = open_paths.pop()
        shape = shape_at(knowledge().schema, path)
        assert shape is not None
        yield path
        if shape.fields:
            open_paths += [(*path, name) for name in shape.fields]
        elif shape.is_list and shape.inner(None) is not None:
            open_paths.append((*path, None))
        elif shape.is_mapping and shape.inner("x") is not None:
            open_paths.append((*path, "x"))


def test_every_field_has_words_and_hover_says_them() -> None:
    count = 0
    for path in every_field():
        shape = shape_at(knowledge().schema, path)
        assert shape is not None
        if not path or path[-1] in (None, "x"):
            continue
        assert shape.description.endswith("."), path
        assert shape.description in (about_field(analysis_of("a: 1"), path) or ""), path
        count += 1
    assert count > 60


def nested(path: tuple[str | None, ...]) -> str:
    """A text in which an unknown field stands at a path."""
    inner = "{nonsense_: 1}"
    for name in reversed(path):
        inner = f"[{inner}]" if name is None else f"{{{name}: {inner}}}"
    return inner


def test_the_checker_knows_the_fields_that_the_schema_knows() -> None:
    """What the checker lists for an unknown field is what hover and completion are made from."""
    compared = 0
    for path in every_field():
        shape = shape_at(knowledge().schema, path)
        if shape is None or not shape.fields or path[-1:] == ("options",):
            continue
        told = [one.message for one in analysis_of(nested(path)).problems if "'nonsense_'" in one.message]
        assert told, path
        names = set(told[0].rpartition("the fields are: ")[2].split(", "))
        fields = set(shape.fields)
        assert names == fields or ("…" in names and names - {"…"} < fields), path
        compared += 1
    assert compared > 8
