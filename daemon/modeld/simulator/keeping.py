"""What the simulated providers keep for later requests: files, and prompts that are cached by name. In memory, no IO.

Files at `/v1/files` (of either provider that has them there, told apart by the version header), below the path of a relative of
the chat wire, and at `/v1beta/files`; caches at `/v1beta/cachedContents`.
"""

import email.message
import email.parser
import email.policy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs

import msgspec

from .ask import Call, Refused
from .wires.contract import Rendered, credential_of, encode_json

Json = dict[str, Any]
_PATH = re.compile(
    r"(?:/(?P<relative>[a-z]+))??(?P<upload>/upload)?/(?P<version>v1|v1beta)/(?P<collection>files|cachedContents)(?:/(?P<id>[^/]+))?"
)
_MAX_KEPT = 1_000


class Kept(msgspec.Struct):
    """A file, or a cache whose `content` is its request."""

    number: int
    name: str
    media_type: str
    content: bytes
    purpose: str = ""


class _Dialect(NamedTuple):
    """How one provider names, shows and lists what it keeps. `wire` is the wire that says its refusals, `deleted` what it says
    of a deletion beside the id, None where it says nothing; `purposes` are those that an upload may have, none where there is no
    such field."""

    wire: str
    id_form: str
    show: Callable[[str, Kept], Json]
    page: Callable[[Sequence[Json], str | None], Json]
    deleted: Json | None
    cursor: str
    first_page: int
    purposes: tuple[str, ...] = ()


class Shelf:
    """Everything that is kept, by collection."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Kept]] = {}
        self._number = 0

    def clear(self) -> None:
        """Forget all of it."""
        self.kept.clear()

    def answer(self, call: Call, *, require_key: bool) -> tuple[str, Rendered] | None:
        """The wire and the answer, None for a path that is none of these. Raises Refused."""
        found = _PATH.fullmatch(call.path)
        if found is None:
            return None
        dialect = _dialect_of(found, call.headers)
        if dialect is None:
            return None
        if require_key and credential_of(call.headers) is None:
            raise Refused("auth", "")
        return dialect.wire, Rendered(200, encode_json(self._done(dialect, found, call)))

    def _done(self, dialect: _Dialect, found: re.Match[str], call: Call) -> Json:
        shelf = self.kept.setdefault(f"{dialect.wire}/{found['collection']}", {})
        id = found["id"]
        match call.method, id is not None:
            case "POST", False:
                return self._kept(dialect, shelf, found, call)
            case "GET", False:
                return _listed(dialect, shelf, call)
            case (("GET" | "DELETE"), True):
                if id not in shelf:
                    raise Refused("route_not_found", f"No such File object: {id}")
                if call.method == "GET":
                    return dialect.show(id, shelf[id])
                del shelf[id]
                return {} if dialect.deleted is None else {"id": id, **dialect.deleted}
            case _:
                raise Refused("route_not_found", f"{call.method} is not known here")

    def _kept(self, dialect: _Dialect, shelf: dict[str, Kept], found: re.Match[str], call: Call) -> Json:
        if len(shelf) >= _MAX_KEPT:
            raise Refused("too_large", "The simulator keeps no more than a thousand of these")
        self._number += 1
        purpose = ""
        if found["collection"] == "files":
            name, media_type, content = _uploaded(call)
            purpose = _field(call, "purpose")
            if purpose not in (dialect.purposes or ("",)):
                raise Refused("bad_request", f"purpose must be one of: {', '.join(dialect.purposes) or 'none'}")
        else:
            name, media_type, content = "", "application/json", call.body
            if not _object(call.body).get("model"):
                raise Refused("bad_request", "* CreateCachedContentRequest.model: model is required")
        id = dialect.id_form.format(self._number)
        shelf[id] = Kept(self._number, name, media_type, content, purpose)
        shown = dialect.show(id, shelf[id])
        return {"file": shown} if found["upload"] else shown


def _listed(dialect: _Dialect, shelf: Mapping[str, Kept], call: Call) -> Json:
    ids = list(shelf)
    query = parse_qs(call.query)
    after = query.get(dialect.cursor, [""])[0]
    start = ids.index(after) + 1 if after in ids else 0
    asked = next((query[name][0] for name in ("limit", "pageSize") if name in query), str(dialect.first_page))
    shown = ids[start : start + int(asked)]
    more = shown[-1] if shown and shown[-1] != ids[-1] else None
    return dialect.page([dialect.show(id, shelf[id]) for id in shown], more)


def _parts(call: Call) -> list[email.message.EmailMessage]:
    head = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode("latin-1")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + call.body)
    return cast("list[email.message.EmailMessage]", list(message.iter_parts())) if message.is_multipart() else []


def _field(call: Call, name: str) -> str:
    """A plain field of a form, "" where it has none of that name."""
    named = (part for part in _parts(call) if part.get_param("name", header="content-disposition") == name)
    return next((str(part.get_payload()) for part in named), "")


def _uploaded(call: Call) -> tuple[str, str, bytes]:
    """Name, media type and content of the file in a multipart body of either kind."""
    parts = _parts(call)
    if not parts:
        raise Refused("bad_request", "The body is no multipart form with a file in it")
    file = parts[-1]
    said: Json = _object(bytes(parts[0].get_payload(decode=True))) if len(parts) > 1 else {}
    name = file.get_filename() or cast(Json, said.get("file") or {}).get("displayName") or "file"
    return str(name), file.get_content_type(), _content_of(call)


def _content_of(call: Call) -> bytes:
    """The last part's bytes as they came: a parser of mails may change the ends of lines."""
    boundary = re.search(r"boundary=\"?([^\";]+)", call.headers.get("content-type", ""))
    assert boundary is not None
    last = call.body.split(b"\r\n--" + boundary[1].encode())[-2]
    return last.partition(b"\r\n\r\n")[2]


def _object(body: bytes) -> Json:
    try:
        return msgspec.json.decode(body, type=Json)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}


# ---- how each of them says it


def wire_of_keeping(call: Call) -> str:
    """The wire whose words a refusal takes."""
    found = _PATH.fullmatch(call.path)
    dialect = None if found is None else _dialect_of(found, call.headers)
    return _OPENAI.wire if dialect is None else dialect.wire


def _dialect_of(found: re.Match[str], headers: Mapping[str, str]) -> _Dialect | None:
    if found["relative"] is not None:
        return _RELATIVES.get(found["relative"]) if found["version"] == "v1" and found["collection"] == "files" else None
    if found["version"] == "v1beta":
        return _GEMINI_FILES if found["collection"] == "files" else _GEMINI_CACHES
    if found["collection"] != "files" or found["upload"]:
        return None
    return _ANTHROPIC if "anthropic-version" in headers else _OPENAI


def _openai_file(id: str, kept: Kept) -> Json:
    return {
        **{"id": id, "object": "file", "bytes": len(kept.content), "created_at": 1_767_225_600, "filename": kept.name},
        **{"purpose": kept.purpose, "status": "processed"},
    }


def _anthropic_file(id: str, kept: Kept) -> Json:
    return {
        **{"id": id, "type": "file", "filename": kept.name, "mime_type": kept.media_type, "size_bytes": len(kept.content)},
        **{"created_at": "2026-01-01T00:00:00Z", "downloadable": False, "expires_at": None},
    }


def _gemini_file(id: str, kept: Kept) -> Json:
    uri = f"https://generativelanguage.googleapis.com/v1beta/files/{id}"
    return {
        **{"name": f"files/{id}", "displayName": kept.name, "mimeType": kept.media_type, "sizeBytes": str(len(kept.content))},
        **{"createTime": "2026-01-01T00:00:00Z", "expirationTime": "2026-01-03T00:00:00Z", "uri": uri, "state": "ACTIVE"},
    }


def _gemini_cache(id: str, kept: Kept) -> Json:
    return {
        **{"name": f"cachedContents/{id}", "model": _object(kept.content).get("model"), "expireTime": "2026-01-01T01:00:00Z"},
        "usageMetadata": {"totalTokenCount": max(1, len(kept.content) // 4)},
    }


def _anthropic_relative(id: str, kept: Kept) -> Json:
    shown = _anthropic_file(id, kept)
    del shown["expires_at"]
    return shown


def _openai_page(shown: Sequence[Json], more: str | None) -> Json:
    return {"object": "list", "data": list(shown), "has_more": more is not None}


def _relative_page(shown: Sequence[Json], more: str | None) -> Json:
    return {"data": list(shown), "has_more": more is not None, "cursor": more}


def _anthropic_page(shown: Sequence[Json], more: str | None) -> Json:
    return {"data": list(shown), "next_page": more}


def _gemini_page(collection: str) -> Callable[[Sequence[Json], str | None], Json]:
    """What is empty is left out."""

    def page(shown: Sequence[Json], more: str | None) -> Json:
        return {name: value for name, value in {collection: list(shown), "nextPageToken": more}.items() if value}

    return page


_OPENAI = _Dialect(
    "openai-chat",
    "file-sim{:06d}",
    _openai_file,
    _openai_page,
    {"object": "file", "deleted": True},
    "after",
    10_000,
    ("user_data", "batch", "vision", "assistants", "fine-tune", "evals"),
)
_ANTHROPIC = _Dialect(
    "anthropic-messages", "file_sim{:06d}", _anthropic_file, _anthropic_page, {"type": "file_deleted"}, "page", 20
)
_GEMINI_FILES = _Dialect("gemini", "sim{:06d}", _gemini_file, _gemini_page("files"), None, "pageToken", 10)
_GEMINI_CACHES = _Dialect("gemini", "sim{:06d}", _gemini_cache, _gemini_page("cachedContents"), None, "pageToken", 50)


def _relative(name: str, *purposes: str) -> _Dialect:
    return _OPENAI._replace(wire=f"openai-chat-{name}", purposes=purposes)


_RELATIVES = {
    "deepseek": _relative("deepseek", "user_data"),
    "qwen": _relative("qwen", "file-extract", "batch"),
    "glm": _relative("glm", "agent", "batch"),
    "kimi": _relative("kimi", "file-extract", "image", "video", "batch"),
    "groq": _relative("groq", "batch"),
    "openrouter": _relative("openrouter")._replace(
        id_form="file_sim{:06d}", show=_anthropic_relative, page=_relative_page, deleted={"type": "file_deleted"}, first_page=100
    ),
}
