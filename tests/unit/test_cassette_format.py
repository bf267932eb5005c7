"""Cassettes as files: what is written is read, what is wrong is named, and JSON is laid out for people."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.cassettes.folder import read_cassette, write_cassette
from modeld.cassettes.format import (
    Cassette,
    CassetteAdapter,
    CassetteInvalid,
    CassetteModel,
    CassetteRequest,
    CassetteResponse,
    chunks_of,
    kind_of,
    parse_cassette,
    recut,
    render_cassette,
)
from modeld.cassettes.layout import WIDTH, lay_out_json
from modeld.cassettes.names import free_case, slug
from modeld_protocol.request import CanonicalRequest

PIECES = [(b"data: 1\r\n", 0.0), (b"\r\n", 3.26), (b"data: \xff\r\n\r\n", 20.0)]
CASSETTE = Cassette(
    "some.provider",
    "case",
    CassetteRequest(
        CassetteAdapter("openai", "/v2", {"end_marker": False}),
        CassetteModel("m", {"tools": False}, {"max_output_tokens": 5}),
        CanonicalRequest("Hi", model="some.provider:m"),
        True,
        path="/v2/x",
        body={"b": 1, "a": [1.5, None]},
    ),
    CassetteResponse(203, {"content-type": "x"}, "odd", chunks_of(PIECES), "cut"),
    b"".join(piece for piece, _ in PIECES),
    {"events": []},
)


def test_round_trip(tmp_path: Path) -> None:
    folder = write_cassette(tmp_path, CASSETTE)
    assert sorted(file.name for file in folder.iterdir()) == ["body.sse", "expected.json", "request.json", "response.json"]
    read = read_cassette(folder)
    assert read == CASSETTE
    assert read.pieces() == [(b"data: 1\r\n", 0.0), (b"\r\n", 3.3), (b"data: \xff\r\n\r\n", 20.0)]


def test_a_body_of_another_kind_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_cassette(tmp_path, CASSETTE)
    changed = msgspec.structs.replace(CASSETTE, body=b"{}", response=CassetteResponse())
    folder = write_cassette(tmp_path, changed)
    assert [file.name for file in folder.glob("body.*")] == ["body.json"]
    assert read_cassette(folder) == changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request.json": None}, "no request.json"),
        ({"request.json": b"{"}, "p/c/request.json: "),
        ({"request.json": b'{"adapter": {}}'}, "missing required field `type`"),
        ({"response.json": b'{"status": "no"}'}, r"p/c/response.json: .*status"),
        ({"response.json": b'{"chunks": [[1, 0]]}'}, "the chunks are 1 bytes, body.sse has"),
        ({"body.json": b"{}"}, r"one file body\.\*, there are 2"),
        ({"body.sse": None}, "there are 0"),
        ({"expected.json": b"[]"}, "p/c/expected.json"),
        ({"request.json": b"\xff"}, "p/c/request.json"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, bytes | None], words: str) -> None:
    files = {name: data for name, data in {**render_cassette(CASSETTE), **change}.items() if data is not None}
    with pytest.raises(CassetteInvalid, match=words):
        parse_cassette("p", "c", files)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"data: x\n\n", "sse"),
        (b"\n: comment\n\n", "sse"),
        (b"\xef\xbb\xbfevent: x\n\n", "sse"),
        (b'{"a": 1}', "json"),
        (b"\n  \n[1]", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "ndjson"),
        (b" <html>", "html"),
        (b"", "txt"),
        (b"gone", "txt"),
        (b'"gone"', "txt"),
    ],
)
def test_kinds(body: bytes, kind: str) -> None:
    assert kind_of(body) == kind


@pytest.mark.parametrize(
    ("body", "sizes"),
    [
        (b"data: 1\n\ndata: 22\n\n", [9, 10]),
        (b"data: 1\r\n\r\ndata: 22\r\n\r\n", [11, 12]),
        (b"data: 1\n\ndata: 2", [9, 7]),
        (b'{"a":1}\n{"a":2}', [8, 7]),
        (b'{"a":1}', []),
        (b"", []),
    ],
)
def test_recut(body: bytes, sizes: list[int]) -> None:
    chunks = recut(body)
    assert [size for size, _ in chunks] == sizes
    assert [at for _, at in chunks] == [20.0 * place for place in range(len(sizes))]


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


@given(_JSON)
def test_layout_says_the_same(value: Any) -> None:
    text = lay_out_json(value)
    assert json.loads(text) == value
    assert text.endswith("\n")


def test_layout_is_for_people() -> None:
    chunks = [[number, number * 20.0] for number in range(100)]
    text = lay_out_json({"short": {"a": [1, 2]}, "long": ["x" * 70, "y" * 70], "chunks": chunks})
    assert '  "short": {"a": [1, 2]},\n' in text
    assert f'  "long": [\n    "{"x" * 70}",\n' in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) < 25


def test_names(tmp_path: Path) -> None:
    assert slug("GPT-5.1/Mini stream") == "gpt-5-1-mini-stream"
    assert slug("../..") == "case"
    assert free_case(tmp_path, "a b") == "a-b"
    (tmp_path / "a-b").mkdir()
    assert free_case(tmp_path, "a b") == "a-b-2"
