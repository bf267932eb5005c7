"""What the Gemini API keeps for later requests: files (48 hours), and prompts that are cached by name.

https://ai.google.dev/api/files, https://ai.google.dev/api/caching (2026-11-20)
"""

from typing import Any
from urllib.parse import quote

import msgspec

from modeld_protocol.request import CanonicalRequest
from modeld_protocol.session import CacheCreateParams, ProviderCache, ProviderFile

from ...failure import ProviderFailure
from ...spec import ModelSpec, Quirks
from ..contract import Encoded
from ..loose_json import whole_number
from ..multipart import FileContent, encode_related
from ..notes import Notes
from .body import dump_body
from .listing import read_object
from .loose import is_object, objects
from .request import encode_prompt

_FILES, _CACHES = "files", "cachedContents"
_FILES_PER_PAGE, _CACHES_PER_PAGE = 100, 1_000


class GeminiFiles:
    """See FileWire. A file's id is its name (`files/abc`)."""

    def encode_upload(self, file: FileContent, quirks: Quirks) -> Encoded:
        """See FileWire."""
        said = msgspec.json.encode({"file": {"displayName": file.filename}})
        whole = encode_related(said, file)
        headers = {"content-type": whole.content_type, "x-goog-upload-protocol": "multipart"}
        return Encoded(f"/{_FILES}", whole.body, headers, upload=True)

    def decode_file(self, body: bytes, provider: str) -> ProviderFile:
        """See FileWire."""
        answer = read_object(body)
        held = answer.get("file")
        found = _file(held if is_object(held) else answer, provider)
        if found is None:
            raise ProviderFailure("server_error", "the provider's answer names no file; list the files to see if it is there")
        return found

    def encode_list(self, page: str | None, quirks: Quirks) -> Encoded:
        """See FileWire."""
        return _listed(_FILES, _FILES_PER_PAGE, page)

    def decode_list(self, body: bytes, provider: str) -> tuple[list[ProviderFile], str | None]:
        """See FileWire."""
        page = read_object(body)
        found = [_file(entry, provider) for entry in objects(page.get(_FILES))]
        return [file for file in found if file is not None], _text(page, "nextPageToken")

    def encode_delete(self, file_id: str) -> Encoded:
        """See FileWire."""
        return _deleted(_FILES, file_id)


class GeminiCaches:
    """See CacheWire. A cache's id is its name (`cachedContents/abc`), which requests give as `cached_content`."""

    def encode_create(self, params: CacheCreateParams, model: ModelSpec) -> Encoded:
        """See CacheWire. The system prompt, tools and messages that later requests are not to repeat."""
        request = CanonicalRequest(params.messages, system_prompt=params.system_prompt, tools=params.tools)
        notes = Notes()
        body = encode_prompt(request, model, notes, may_be_empty=True)
        if not (body.contents or body.system_instruction or body.tools):
            raise ProviderFailure("invalid_request", "there is nothing to cache; give messages, a system_prompt or tools")
        members: dict[str, Any] = {
            "model": model.wire_name if "/" in model.wire_name else f"models/{model.wire_name}",
            "systemInstruction": body.system_instruction,
            "tools": body.tools,
            "contents": body.contents,
            "ttl": f"{params.ttl_seconds}s" if params.ttl_seconds is not None else None,
        }
        given = {name: value for name, value in members.items() if value}
        return Encoded(f"/{_CACHES}", dump_body(given), warnings=notes.warnings())

    def decode_cache(self, body: bytes, provider: str) -> ProviderCache:
        """See CacheWire."""
        found = _cache(read_object(body), provider)
        if found is None:
            raise ProviderFailure("server_error", "the provider's answer names no cache; list the caches to see if it is there")
        return found

    def encode_list(self, page: str | None) -> Encoded:
        """See CacheWire."""
        return _listed(_CACHES, _CACHES_PER_PAGE, page)

    def decode_list(self, body: bytes, provider: str) -> tuple[list[ProviderCache], str | None]:
        """See CacheWire."""
        page = read_object(body)
        found = [_cache(entry, provider) for entry in objects(page.get(_CACHES))]
        return [cache for cache in found if cache is not None], _text(page, "nextPageToken")

    def encode_delete(self, cache_id: str) -> Encoded:
        """See CacheWire."""
        return _deleted(_CACHES, cache_id)


def _listed(collection: str, size: int, page: str | None) -> Encoded:
    token = f"&pageToken={quote(page, safe='')}" if page else ""
    return Encoded(f"/{collection}?pageSize={size}{token}", b"", method="GET")


def _deleted(collection: str, id: str) -> Encoded:
    return Encoded(f"/{collection}/{quote(id.removeprefix(f'{collection}/'), safe='')}", b"", method="DELETE")


def _file(entry: dict[str, Any], provider: str) -> ProviderFile | None:
    name = _text(entry, "name")
    if name is None:
        return None
    size = whole_number(entry.get("sizeBytes"))
    return ProviderFile(name, provider, _text(entry, "displayName"), size, _text(entry, "mimeType"))


def _cache(entry: dict[str, Any], provider: str) -> ProviderCache | None:
    name, model, usage = _text(entry, "name"), _text(entry, "model"), entry.get("usageMetadata")
    if name is None:
        return None
    tokens = whole_number(usage.get("totalTokenCount")) if is_object(usage) else None
    known = f"{provider}:{model.removeprefix('models/')}" if model else None
    return ProviderCache(name, provider, known, _text(entry, "expireTime"), tokens)


def _text(entry: dict[str, Any], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) and value else None
