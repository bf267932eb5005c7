"""Decoding of providers' JSON: one error whatever the bytes, and repair that changes nothing else."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld import limits
from modeld.upstream.json import InvalidJson, decode, is_deep, repair


class Shape(msgspec.Struct):
    text: str = ""
    raw: msgspec.Raw = msgspec.Raw(b"null")


SHAPE = msgspec.json.Decoder(Shape)
ANY = msgspec.json.Decoder(Any)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"text":"a"}', "a"),
        (b'{"text":"\\ud83d"}', "\ufffd"),
        (b'{"text":"\\ude00\\ud83d"}', "\ufffd\ufffd"),
        (b'{"text":"\\ud83d\\ud83d\\ude00"}', "\ufffd😀"),
        (b'{"text":"\\\\ud83d \\ud83d"}', "\\ud83d \ufffd"),
        (b'{"text":"\\\\\\ud83d"}', "\\\ufffd"),
        (b'{"text":"\\uD83D\\uDE00 \\uDbFf"}', "😀 \ufffd"),
        (b'{"text":"a\xffb\xc3"}', "a\ufffdb\ufffd"),
        (b'{"text":"\xed\xa0\xbd"}', "\ufffd\ufffd\ufffd"),
        (b'{"text":"a","other":"\xff"}', "a"),
        (b'{"text":"a","other":"\\ud83d"}', "a"),
        ('{"text":"\u2028"}'.encode(), "\u2028"),
        (b' \n {"text":"a"} \n', "a"),
    ],
)
def test_decode_repairs(data, text):
    assert decode(data, SHAPE).text == text


def test_what_is_kept_raw_is_utf8_too():
    value = decode(b'{"raw":{"a":"\xff \\ud83d"}}', SHAPE)
    assert json.loads(bytes(value.raw).decode()) == {"a": "\ufffd \ufffd"}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b'{"text":1}', b"\xff", b"nul", b'{"text":"\n"}', b"<html>", b"[" * 5_000, b'{"a":' * 5_000, b"[" * 300_000),
        b'{"raw":' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"x":' + b'{"a":' * 200 + b"1" + b"}" * 201 + b" " * 1_024,
    ],
)
def test_decode_has_one_error(data):
    with pytest.raises(InvalidJson):
        decode(data, SHAPE)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text('{}[]",:\\ud83de01a nl', max_size=60).map(str.encode)))
def test_decode_raises_nothing_else(data):
    for decoder in (SHAPE, ANY):
        try:
            value = decode(data, decoder)
        except InvalidJson:
            continue
        msgspec.json.encode(value).decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.sampled_from(["\\", '"', "[{", "\\u"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON, st.booleans())
def test_repair_leaves_good_json_alone(value, ascii_only):
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert repair(data) == data
    assert decode(data, ANY) == value


def depth(value):
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@settings(max_examples=200, deadline=None)
@given(JSON, st.integers(120, 132))
def test_is_deep_counts_what_is_nested_outside_strings(value, around):
    data = b"[" * around + json.dumps(value).encode() + b"]" * around
    assert is_deep(data) == (around + depth(value) > limits.MAX_JSON_DEPTH)


def test_is_deep_refuses_what_would_stall_the_daemon():
    assert is_deep(b"[" + b"{}," * limits.MAX_JSON_CONTAINERS + b"{}]")
    assert not is_deep(b'["' + b"{}" * limits.MAX_JSON_CONTAINERS + b'"]')
