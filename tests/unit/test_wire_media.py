"""Media types by first bytes, and data: URLs."""

import base64

import pytest

from modeld.providers.wire.media import (
    DataUrl,
    build_data_url,
    decode_base64,
    decode_text,
    media_type_of,
    parse_data_url,
    sniff_media_type,
)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


PNG = b64(b"\x89PNG\r\n\x1a\n" + b"0" * 99)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (PNG, "image/png"),
        (b64(b"\xff\xd8\xff\xe0"), "image/jpeg"),
        (b64(b"GIF89a"), "image/gif"),
        (b64(b"RIFF0000WEBPVP8 "), "image/webp"),
        (b64(b"RIFF0000WAVEfmt "), "audio/wav"),
        (b64(b"%PDF-1.7"), "application/pdf"),
        (b64(b"\xff\xfb\x90\x64"), "audio/mpeg"),
        (b64(b"ID3\x03"), "audio/mpeg"),
        (b64(b"0000ftypavif"), "image/avif"),
        (b64(b"plain words"), None),
        (PNG[:12], "image/png"),
        (PNG[:9], None),
        ("", None),
        ("é!", None),
    ],
)
def test_sniff(data: str, wanted: str | None) -> None:
    assert sniff_media_type(data) == wanted


@pytest.mark.parametrize(
    ("declared", "data", "wanted"),
    [
        ("image/jpeg", PNG, "image/png"),
        ("IMAGE/JPG; q=1", b64(b"unknown"), "image/jpeg"),
        ("text/plain", b64(b"%PDF-1.7 is how a PDF begins"), "text/plain"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", b64(b"PK\x03\x04"), "=declared"),
        (None, PNG, "image/png"),
        (None, b64(b"?"), None),
        ("", PNG, "image/png"),
    ],
)
def test_bytes_win_over_the_declaration_but_containers_do_not(declared: str | None, data: str, wanted: str | None) -> None:
    assert media_type_of(declared, data) == (declared if wanted == "=declared" else wanted)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("data:image/png;base64,AAAA", DataUrl("image/png", "AAAA")),
        ("DATA:image/PNG;name=x;BASE64,AAAA", DataUrl("image/png", "AAAA")),
        ("data:text/plain;charset=utf-8,a%20b", DataUrl("text/plain", b64(b"a b"))),
        ("data:,x", DataUrl(None, b64(b"x"))),
        ("data:image/png;base64", None),
        ("https://example.com/data:x,y", None),
        ("", None),
    ],
)
def test_data_urls(url: str, wanted: DataUrl | None) -> None:
    assert parse_data_url(url) == wanted


def test_data_url_round_trip() -> None:
    assert parse_data_url(build_data_url("image/png", PNG)) == DataUrl("image/png", PNG)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("aGk=", b"hi"), ("aGk", b"hi"), ("aG\nk=", b"hi"), ("_-8=", b"\xff\xef"), ("aGk*", None), ("a", None), ("", b"")],
)
def test_decode_base64(text: str, wanted: bytes | None) -> None:
    assert decode_base64(text) == wanted


def test_decode_text() -> None:
    assert decode_text(b64("Grüße".encode())) == "Grüße"
    assert decode_text(b64(b"\xff\xfe")) is None
    assert decode_text("*") is None
