"""Scenarios of images, audio and files: as content, as a URL, as the id of an upload, and in tool results."""

import base64
import struct
import zlib
from typing import Any

from tests.conformance.suite.received import digest
from tests.conformance.suite.scenario import scenario
from tests.conformance.suite.tools import ONE_CALL, WEATHER, after, check_pairs, surprises
from tests.conformance.suite.world import Case


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff"))
    + _chunk(b"IEND", b"")
)
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 8_000, 1, 8) + b"data\0\0\0\0"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
NOTE = "Dear diary, 漢.\n".encode()
URLS = {"image": "https://example.org/a.png", "audio": "https://example.org/a.wav", "file": "https://example.org/a.pdf"}


def medium(kind: str, source: str, data: bytes = b"", media_type: str = "image/png", **fields: Any) -> dict[str, Any]:
    sources = {
        "base64": {"kind": "base64", "data": base64.b64encode(data).decode()},
        "url": {"kind": "url", "url": URLS[kind]},
        "data_url": {"kind": "url", "url": f"data:{media_type};base64,{base64.b64encode(data).decode()}"},
        "file_id": {"kind": "file_id", "file_id": "file-abc123"},
    }
    return {"type": kind, "source": sources[source], "media_type": media_type, **fields}


async def sees(case: Case, block: dict[str, Any], *wanted: str) -> None:
    content = [{"type": "text", "text": "What is this?"}, block]
    reply = await case.ask("text", messages=[{"role": "user", "content": content}])
    assert reply.received.media() == [wanted]
    assert reply.received.turns[-1].text == "What is this?"
    assert reply.warned() == []


@scenario("images", "image_sources:base64")
async def image(case: Case) -> None:
    await sees(case, medium("image", "base64", PNG), "image", "base64", digest(PNG))


@scenario("images", "image_sources:base64")
async def image_as_data_url(case: Case) -> None:
    await sees(case, medium("image", "data_url", PNG), "image", "base64", digest(PNG))


@scenario("images", "image_sources:url")
async def image_by_url(case: Case) -> None:
    await sees(case, medium("image", "url"), "image", "url", URLS["image"])


@scenario("images", "image_sources:file_id")
async def image_by_id(case: Case) -> None:
    await sees(case, medium("image", "file_id"), "image", "file_id", "file-abc123")


@scenario("audio", "audio_sources:base64")
async def audio(case: Case) -> None:
    await sees(case, medium("audio", "base64", WAV, "audio/wav"), "audio", "base64", digest(WAV))


@scenario("audio", "audio_sources:url")
async def audio_by_url(case: Case) -> None:
    await sees(case, medium("audio", "url", media_type="audio/wav"), "audio", "url", URLS["audio"])


@scenario("audio", "audio_sources:file_id")
async def audio_by_id(case: Case) -> None:
    await sees(case, medium("audio", "file_id", media_type="audio/wav"), "audio", "file_id", "file-abc123")


@scenario("files", "file_sources:base64")
async def file(case: Case) -> None:
    await sees(case, medium("file", "base64", PDF, "application/pdf", filename="a.pdf"), "file", "base64", digest(PDF))


@scenario("files", "file_sources:base64")
async def file_of_text(case: Case) -> None:
    await sees(case, medium("file", "base64", NOTE, "text/plain", filename="a.txt"), "file", "base64", digest(NOTE))


@scenario("files", "file_sources:url")
async def file_by_url(case: Case) -> None:
    await sees(case, medium("file", "url", media_type="application/pdf"), "file", "url", URLS["file"])


@scenario("files", "file_sources:file_id")
async def file_by_id(case: Case) -> None:
    await sees(case, medium("file", "file_id", media_type="application/pdf"), "file", "file_id", "file-abc123")


@scenario("tools", "tool_result_media", "images")
async def image_as_result(case: Case) -> None:
    """Within the result, or right behind it with a mark in its place and a warning."""
    first = await case.ask(ONE_CALL, tools=[WEATHER])
    content = [{"type": "text", "text": "a map"}, medium("image", "base64", PNG)]
    reply = await case.ask("text", messages=after(first, content), tools=[WEATHER])
    check_pairs(reply)
    assert reply.received.media() == [("image", "base64", digest(PNG))]
    result = reply.received.results()[0]
    assert result.text.startswith("a map")
    if result.media:
        assert surprises(case, reply) == []
        return
    assert reply.received.turns[-1].role == "user"
    assert "attachment 1" in result.text
    assert [code for code, _ in surprises(case, reply)] == ["content_projected"]
