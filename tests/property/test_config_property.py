"""Any bytes give problems with places inside the text, never an exception; any tree is the one that YAML means."""

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modeld.config import yaml_nodes
from modeld.config.check import check
from modeld.config.schema import ADAPTER_FIELDS, MODEL_FIELDS
from modeld.config.yaml_nodes import Mapping, Node, Scalar, Sequence, YamlError, compose

FAST = settings(max_examples=150, deadline=None)
TYPES = ("openai", "openai-compatible")

FIELDS = st.sampled_from(["adapters", "models", "default_model", *ADAPTER_FIELDS, *MODEL_FIELDS, "above", "openai", "a:m"])
MARKS = st.sampled_from([*": - ? [ ] { } , &a *a << !!str !x ' | > # @ `".split(), '"', "\\"])  # noqa: SIM905
SCALARS = st.sampled_from(["null", "true", "5", "-1", ".inf", "1e999", "https://h", "http://u:p@h?q", "$X", "é"])
SPACES = [" ", ": ", "\n", "\n  ", "\n    ", "- ", "\t", "\r\n", "\r", "---\n", "...\n", "%YAML 1.1\n"]
ODD = ["\u2028", "\x85", "\ufeff", "\U0001f600", "\x00"]
PIECES = st.one_of(FIELDS, MARKS, SCALARS, st.sampled_from(SPACES), st.sampled_from(ODD))
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@FAST
@given(st.one_of(TEXTS.map(str.encode), st.binary(max_size=60)))
@example(b"adapters: {openai: {extra_headers: {? [x] : y}}}")
@example(b"adapters: {openai: }\nmodels: {a:m: {pricing: {above: [{}, *a, 3, []]}, limits: []}}")
@example(b"? {adapters: 1}\n: 2")
@example("adapters: \ufeff{openai: }".encode())
def test_check_takes_any_bytes(data: bytes) -> None:
    config, problems = check(data, "f", TYPES, {})
    lines = data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        assert 1 <= problem.line <= problem.end_line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert (problem.line, problem.column) <= (problem.end_line, problem.end_column)
        assert problem.message
    assert (config is None) == any(problem.severity == "error" for problem in problems)
    assert problems == sorted(problems, key=lambda problem: (problem.line, problem.column))


# YAML folds these three into spaces, unless they are escaped, which its own writer leaves out.
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=12)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False), LINES),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(LINES, inner, max_size=4)),
    max_leaves=12,
)


def plain(node: Node | None) -> object:
    if isinstance(node, Scalar):
        return node.value()
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key.text if isinstance(key, Scalar) else None: plain(value) for key, value in node.pairs}


@FAST
@given(VALUES, st.booleans())
def test_what_is_written_is_read(value: object, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    assert plain(compose(text).root) == value


@FAST
@given(
    st.lists(st.tuples(st.text("aé\U0001f600\u2028 ", min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\r"])), max_size=8)
)
def test_positions_are_those_of_an_editor(lines: list[tuple[str, str]]) -> None:
    text = "".join(content + end for content, end in lines)
    document = yaml_nodes.empty_document(text)
    index = 0
    for number, (content, end) in enumerate(lines, 1):
        assert document.position(index) == (number, 1)
        assert document.position(index + len(content)) == (number, len(content) + 1)
        assert document.line_end(index) == index + len(content)
        index += len(content) + len(end)


def root_of(text: str) -> Node | None:
    try:
        return compose(text).root
    except YamlError:
        return None


@FAST
@given(TEXTS)
def test_nodes_cover_their_text(text: str) -> None:
    text = text.lstrip("\ufeff")
    root = root_of(text)
    nodes = [root] if root is not None else []
    while nodes:
        node = nodes.pop()
        assert 0 <= node.start <= node.end <= len(text)
        if isinstance(node, Scalar) and node.plain and "\n" not in node.text and node.text:
            assert text[node.start : node.end].endswith(node.text[-1])
        if isinstance(node, Sequence):
            nodes.extend(node.items)
        if isinstance(node, Mapping):
            nodes.extend(part for pair in node.pairs for part in pair)
