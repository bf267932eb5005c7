"""Files and caches on each wire that has them: requests, answers as the official SDKs read them, pages, rubbish."""

import email.parser
import email.policy
import json
from typing import Any

import msgspec
import pytest

from modeld.providers.catalog import all_rows, facts_of, models_of, row_of, wire_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.link import target_of
from modeld.providers.spec import PLAIN, ModelSpec
from modeld.providers.wire.contract import CacheWire, Encoded, FileWire
from modeld.providers.wire.multipart import FileContent, encode_form, encode_related
from modeld_protocol.content import FileBlock, FileIdSource, ImageBlock, Message, TextBlock
from modeld_protocol.request import CanonicalRequest, Tool
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
        "upload": files.encode_upload(NOTE, PLAIN),
        "list": files.encode_list(None, PLAIN),
        "page": files.encode_list("a/b", PLAIN),
        "delete": files.encode_delete("a/b"),
    }
    for name, one in encoded.items():
        headers = {key: value for key, value in one.headers.items() if key != "content-type"}
        assert (one.method, target_of(BASES[wire], one), headers) == REQUESTS[wire][name]
        assert bool(one.body) == (name == "upload")


def test_an_upload_behind_a_gateway_stays_behind_it() -> None:
    upload = files_of("gemini").encode_upload(NOTE, PLAIN)
    assert target_of("/google/v1beta", upload) == "/google/upload/v1beta/files"


@pytest.mark.parametrize("wire", WIRES)
def test_an_upload_holds_the_file(wire: str) -> None:
    *before, file = parts_of(files_of(wire).encode_upload(NOTE, PLAIN))
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


NOT_NAMED = {"glm", "groq"}
"""Their uploads are for agents and batches."""


def test_who_keeps_files_has_models_that_read_them() -> None:
    """Apart from those whose files are for something else, an upload that no request may name is of no use."""
    for row in all_rows():
        able = facts_of(row, "").capabilities
        named = any(facts_of(row, model.name).capabilities.file_ids for model in models_of(row.type))
        named = named or able.file_ids or facts_of(row, "qwen-long").capabilities.file_ids
        if able.file_uploads:
            assert named == (row.type not in NOT_NAMED), row.type


PURPOSES = [
    ("openai", "application/pdf", "user_data"),
    ("deepseek", "image/png", "user_data"),
    ("kimi", "image/png", "image"),
    ("kimi", "video/mp4", "video"),
    ("kimi", "application/pdf", "file-extract"),
    ("kimi", None, "file-extract"),
    ("qwen", "application/pdf", "file-extract"),
    ("glm", "text/plain", "agent"),
    ("groq", "application/jsonl", "batch"),
    ("openrouter", "application/pdf", None),
]


@pytest.mark.parametrize(("type_name", "media_type", "purpose"), PURPOSES)
def test_what_an_upload_is_for_is_data(type_name: str, media_type: str | None, purpose: str | None) -> None:
    quirks = facts_of(row_of(type_name), "").quirks
    *before, _ = parts_of(files_of("openai_chat").encode_upload(FileContent("a", b"x", media_type), quirks))
    assert [part.get_payload() for part in before] == ([] if purpose is None else [purpose])


def test_pages_of_relatives() -> None:
    files = files_of("openai_chat")
    kimi, deepseek = facts_of(row_of("kimi"), "").quirks, facts_of(row_of("deepseek"), "").quirks
    assert (files.encode_list(None, kimi).path, files.encode_list("a b", kimi).path) == ("/files", "/files?after=a%20b")
    assert files.encode_list("a", deepseek).path == "/files?limit=1000&after=a"
    body = {"data": [anthropic_file("f1")], "has_more": True, "cursor": "c"}  # as a router shows its own
    assert files.decode_list(msgspec.json.encode(body), "p") == ([ProviderFile("f1", "p", "note.txt", 12, "text/plain")], "f1")


def spec_of(type_name: str, wire_name: str) -> ModelSpec:
    facts = facts_of(row_of(type_name), wire_name)
    return ModelSpec("m", "p", type_name, "openai_chat", wire_name, facts.capabilities, facts.limits, facts.quirks)


def asked(type_name: str, wire_name: str, *blocks: Any) -> list[Any]:
    request = CanonicalRequest([Message("user", list(blocks))], system_prompt="Be brief.")
    return json.loads(wire_of("openai_chat").encode(request, spec_of(type_name, wire_name), stream=False).body)["messages"][1:]


def test_an_image_by_id_is_what_its_provider_takes() -> None:
    image = ImageBlock(FileIdSource("f-1"))
    url = {"type": "image_url", "image_url": {"url": "ms://f-1"}}
    assert asked("kimi", "kimi-k3", image) == [{"role": "user", "content": [url]}]
    assert asked("kimi", "kimi-k3", ImageBlock(FileIdSource("ms://f-1"))) == [{"role": "user", "content": [url]}]
    assert asked("deepseek", "deepseek-flash", image) == [{"role": "user", "content": [{"type": "file", "file_id": "f-1"}]}]


def test_documents_by_id_are_named_in_a_system_message() -> None:
    files = [FileBlock(FileIdSource("f-1")), FileBlock(FileIdSource("fileid://f-2"))]
    named = {"role": "system", "content": "fileid://f-1,fileid://f-2"}
    assert asked("qwen", "qwen-long", *files, TextBlock("Compare.")) == [named, {"role": "user", "content": "Compare."}]
    assert asked("qwen", "qwen-long", *files) == [named]


@pytest.mark.parametrize("answer", [{"data": {"total_tokens": 7}}, {"usage": {"prompt_tokens": 7}}, {"total_tokens": 7}])
def test_counts_stand_in_several_places(answer: dict[str, Any]) -> None:
    assert wire_of("openai_chat").decode_count(msgspec.json.encode(answer)) == 7


def test_who_counts_tokens_has_an_address_for_it() -> None:
    """The chat wire has none of its own."""
    for row in all_rows():
        for name in ("", *(model.name for model in models_of(row.type)), "glm-4.6"):
            facts = facts_of(row, name)
            if row.wire == "openai_chat":
                assert facts.capabilities.count_tokens == (facts.quirks.count_path is not None), (row.type, name)
