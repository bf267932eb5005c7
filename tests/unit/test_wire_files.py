"""Files and caches on each wire that has them: requests, answers as the official SDKs read them, pages, rubbish."""

import email.parser
import email.policy
import json
from typing import Any

import msgspec
import pytest

from modeld.providers.catalog import all_rows, facts_of, row_of, wire_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.link import target_of
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.contract import CacheWire, Encoded, FileWire
from modeld.providers.wire.multipart import FileContent, encode_form, encode_related
from modeld_protocol.content import Message
from modeld_protocol.request import Tool
from modeld_protocol.session import CacheCreateParams, ProviderCache, ProviderFile

NOTE = FileContent("note.txt", b"Dear\r\ndiary\n", "text/plain")
WIRES = ("anthropic_messages", "gemini", "openai_chat", "openai_responses")


def files_of(wire: str) -> FileWire:
    files = wire_of(wire).files
    assert files is not None
    return files


def caches() -> CacheWire:
    found = wire_of("gemini").caches
    assert found is not None
    return found


def parts_of(encoded: Encoded) -> list[Any]:
    """The parts of a multipart body, as the standard library reads them."""
    head = f"Content-Type: {encoded.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + encoded.body)
    assert message.is_multipart() and not message.defects
    return list(message.iter_parts())


# ---- multipart


@pytest.mark.parametrize(
    ("name", "shown"), [("a.txt", "a.txt"), ('a"b.txt', "a%22b.txt"), ("a\r\nX-Evil: 1", "a%0D%0AX-Evil: 1"), ("", "file")]
)
def test_names_stay_inside_their_quotes(name: str, shown: str) -> None:
    form = encode_form({}, FileContent(name, b"x"))
    assert f'filename="{shown}"'.encode() in form.body
    assert form.body.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("given", [None, "", "text", "text/plain\r\nX-Evil: 1", "té/xt"])
def test_what_is_no_media_type_is_any(given: str | None) -> None:
    for encoded in (encode_form({}, FileContent("a", b"x", given)), encode_related(b"{}", FileContent("a", b"x", given))):
        assert b"Content-Type: application/octet-stream\r\n" in encoded.body


@pytest.mark.parametrize("data", [b"", b"--", b"\r\n", b"--modeld-\r\n", bytes(range(256)), b"\r\n--x--\r\n" * 9])
def test_any_bytes_come_through(data: bytes) -> None:
    form = encode_form({"purpose": "user_data"}, FileContent("a", data))
    boundary = form.content_type.partition("boundary=")[2].encode()
    assert boundary not in data
    assert form == encode_form({"purpose": "user_data"}, FileContent("a", data))
    last = form.body.split(b"--" + boundary)[2]
    assert last.partition(b"\r\n\r\n")[2] == data + b"\r\n"


# ---- requests

Sent = tuple[str, str, dict[str, str]]
VERSION = {"anthropic-version": "2026-10-21"}
REQUESTS: dict[str, dict[str, Sent]] = {
    "anthropic_messages": {
        "upload": ("POST", "/v1/files", VERSION),
        "list": ("GET", "/v1/files?limit=1000", VERSION),
        "page": ("GET", "/v1/files?limit=1000&page=a%2Fb", VERSION),
        "delete": ("DELETE", "/v1/files/a%2Fb", VERSION),
    },
    "gemini": {
        "upload": ("POST", "/upload/v1beta/files", {"x-goog-upload-protocol": "multipart"}),
        "list": ("GET", "/v1beta/files?pageSize=100", {}),
        "page": ("GET", "/v1beta/files?pageSize=100&pageToken=a%2Fb", {}),
        "delete": ("DELETE", "/v1beta/files/a%2Fb", {}),
    },
    "openai_chat": {
        "upload": ("POST", "/v1/files", {}),
        "list": ("GET", "/v1/files?limit=1000", {}),
        "page": ("GET", "/v1/files?limit=1000&after=a%2Fb", {}),
        "delete": ("DELETE", "/v1/files/a%2Fb", {}),
    },
}
REQUESTS["openai_responses"] = REQUESTS["openai_chat"]
BASES = {"anthropic_messages": "", "gemini": "/v1beta", "openai_chat": "/v1", "openai_responses": "/v1"}


@pytest.mark.parametrize("wire", WIRES)
def test_requests(wire: str) -> None:
    files = files_of(wire)
    encoded = {
        "upload": files.encode_upload(NOTE),
        "list": files.encode_list(None),
        "page": files.encode_list("a/b"),
        "delete": files.encode_delete("a/b"),
    }
    for name, one in encoded.items():
        headers = {key: value for key, value in one.headers.items() if key != "content-type"}
        assert (one.method, target_of(BASES[wire], one), headers) == REQUESTS[wire][name]
        assert bool(one.body) == (name == "upload")


def test_an_upload_behind_a_gateway_stays_behind_it() -> None:
    upload = files_of("gemini").encode_upload(NOTE)
    assert target_of("/google/v1beta", upload) == "/google/upload/v1beta/files"


@pytest.mark.parametrize("wire", WIRES)
def test_an_upload_holds_the_file(wire: str) -> None:
    *before, file = parts_of(files_of(wire).encode_upload(NOTE))
    assert file.get_content_type() == "text/plain"
    assert file.get_payload(decode=True) == NOTE.data
    if wire == "gemini":
        assert json.loads(before[0].get_payload(decode=True)) == {"file": {"displayName": "note.txt"}}
        return
    assert file.get_filename() == "note.txt"
    fields = [(part.get_param("name", header="content-disposition"), part.get_payload()) for part in before]
    assert fields == ([] if wire == "anthropic_messages" else [("purpose", "user_data")])


# ---- answers


def anthropic_file(id: str = "file_1") -> dict[str, Any]:
    return {
        **{"id": id, "type": "file", "filename": "note.txt", "mime_type": "text/plain", "size_bytes": 12},
        **{"created_at": "2026-11-20T10:00:00Z", "downloadable": False},
    }


def openai_file(id: str = "file-1") -> dict[str, Any]:
    return {
        **{"id": id, "object": "file", "bytes": 12, "created_at": 1_763_640_000, "filename": "note.txt"},
        **{"purpose": "user_data", "status": "processed"},
    }


def gemini_file(name: str = "files/1") -> dict[str, Any]:
    return {"name": name, "displayName": "note.txt", "mimeType": "text/plain", "sizeBytes": "12", "state": "ACTIVE"}


ANSWERS: dict[str, tuple[dict[str, Any], ProviderFile]] = {
    "anthropic_messages": (anthropic_file(), ProviderFile("file_1", "p", "note.txt", 12, "text/plain")),
    "gemini": ({"file": gemini_file()}, ProviderFile("files/1", "p", "note.txt", 12, "text/plain")),
    "openai_chat": (openai_file(), ProviderFile("file-1", "p", "note.txt", 12)),
    "openai_responses": (openai_file(), ProviderFile("file-1", "p", "note.txt", 12)),
}
PAGES: dict[str, tuple[dict[str, Any], list[str], str | None]] = {
    "anthropic_messages": ({"data": [anthropic_file("a")], "next_page": "page_2"}, ["a"], "page_2"),
    "gemini": ({"files": [gemini_file("files/a")], "nextPageToken": "t"}, ["files/a"], "t"),
    "openai_chat": ({"object": "list", "data": [openai_file("a"), openai_file("b")], "has_more": True}, ["a", "b"], "b"),
    "openai_responses": ({"object": "list", "data": [openai_file("a")], "has_more": False}, ["a"], None),
}
EMPTY = {
    "anthropic_messages": {"data": [], "next_page": None},
    "gemini": {},
    "openai_chat": {"data": [], "has_more": False},
    "openai_responses": {"data": []},
}


@pytest.mark.parametrize("wire", WIRES)
def test_answers(wire: str) -> None:
    files = files_of(wire)
    answer, file = ANSWERS[wire]
    assert files.decode_file(msgspec.json.encode(answer), "p") == file
    page, ids, token = PAGES[wire]
    found, following = files.decode_list(msgspec.json.encode(page), "p")
    assert ([one.file_id for one in found], following) == (ids, token)
    assert files.decode_list(msgspec.json.encode(EMPTY[wire]), "p") == ([], None)


def test_the_sdks_read_what_we_read() -> None:
    anthropic = pytest.importorskip("anthropic.types")
    openai = pytest.importorskip("openai.types")
    google = pytest.importorskip("google.genai.types")
    assert anthropic.FileMetadata.model_validate(anthropic_file()).size_bytes == 12
    assert openai.FileObject.model_validate(openai_file()).bytes == 12
    assert google.File.model_validate(gemini_file()).size_bytes == 12


RUBBISH = [b"", b"null", b"[]", b"{", b"<html></html>", b"\xff\xfe", b'{"error": {"message": "no", "code": 500}}', b'{"id": 7}']


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("body", RUBBISH)
def test_rubbish_is_a_failure(wire: str, body: bytes) -> None:
    with pytest.raises(ProviderFailure) as caught:
        files_of(wire).decode_file(body, "p")
    assert caught.value.error_class == "server_error"


# ---- caches


def gemini(name: str = "gemini-3.8-flash") -> ModelSpec:
    facts = facts_of(row_of("gemini"), name)
    return ModelSpec(f"g:{name}", "g", "gemini", "gemini", name, facts.capabilities, facts.limits, facts.quirks)


def test_a_cache_is_made_of_what_requests_begin_with() -> None:
    params = CacheCreateParams("g", "x", [Message("user", "A book.")], "Be brief.", [Tool("add")], 600)
    encoded = caches().encode_create(params, gemini())
    assert (encoded.method, encoded.path) == ("POST", "/cachedContents")
    assert json.loads(encoded.body) == {
        "model": "models/gemini-3.8-flash",
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {"functionDeclarations": [{"name": "add", "parametersJsonSchema": {"type": "object", "properties": {}}}]},
        ],
        "contents": [{"role": "user", "parts": [{"text": "A book."}]}],
        "ttl": "600s",
    }


def test_a_cache_of_a_system_prompt_alone() -> None:
    encoded = caches().encode_create(CacheCreateParams("g", "x", system_prompt="Be brief."), gemini())
    assert set(json.loads(encoded.body)) == {"model", "systemInstruction"}
    with pytest.raises(ProviderFailure, match="nothing to cache") as caught:
        caches().encode_create(CacheCreateParams("g", "x"), gemini())
    assert caught.value.error_class == "invalid_request"


def test_answers_about_caches() -> None:
    made = {
        **{"name": "cachedContents/abc", "model": "models/gemini-3.8-flash", "expireTime": "2026-11-20T11:00:00Z"},
        "usageMetadata": {"totalTokenCount": 4_321},
    }
    wanted = ProviderCache("cachedContents/abc", "g", "g:gemini-3.8-flash", "2026-11-20T11:00:00Z", 4_321)
    assert caches().decode_cache(msgspec.json.encode(made), "g") == wanted
    assert caches().decode_list(msgspec.json.encode({"cachedContents": [made]}), "g") == ([wanted], None)
    assert caches().decode_list(b"{}", "g") == ([], None)
    assert caches().encode_list("t").path == "/cachedContents?pageSize=1000&pageToken=t"
    assert caches().encode_delete("cachedContents/abc").path == "/cachedContents/abc"
    google = pytest.importorskip("google.genai.types")
    assert google.CachedContent.model_validate(made).usage_metadata.total_token_count == 4_321


# ---- rows


def test_what_a_row_declares_its_wire_has() -> None:
    for row in all_rows():
        wire, able = wire_of(row.wire), facts_of(row, "").capabilities
        assert not able.file_uploads or wire.files is not None
        assert not able.explicit_caches or wire.caches is not None
        assert able.file_uploads <= able.file_ids, "an upload that no request may name is of no use"
