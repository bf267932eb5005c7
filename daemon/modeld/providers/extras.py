"""What some providers have besides answers: files that requests may name, and prompts that are cached by name."""

from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from modeld_protocol.model import Capabilities
from modeld_protocol.session import CacheCreateParams, ProviderCache, ProviderFile

from .failure import ProviderFailure
from .link import Link
from .spec import ModelSpec, Quirks
from .wire.contract import CacheWire, Encoded, FileWire
from .wire.multipart import FileContent

Env = Mapping[str, str]
_T = TypeVar("_T")
_MAX_PAGES = 20  # a server that repeats itself ends here
_NOT_THERE = (404, 405, 501)
_NO_FILES = "(file_uploads) keeps no files; send their content with the request"
_NO_CACHES = "(explicit_caches) caches no prompts by name; use `cache` of a request"


class ProviderExtras:
    """Files and caches at one provider. Every method raises ProviderFailure: `capability_mismatch`, with nothing sent, where
    the provider has no such thing."""

    def __init__(self, link: Link, able: Capabilities, quirks: Quirks) -> None:
        self._link = link
        self._able = able
        self._quirks = quirks

    # ---- files

    async def upload(self, file: FileContent, env: Env) -> ProviderFile:
        """Give the provider a file to keep."""
        wire = self._files()
        encoded = wire.encode_upload(file, self._quirks)
        return await self._fetch(encoded, env, lambda body: wire.decode_file(body, self._link.name), _NO_FILES)

    async def list_files(self, env: Env) -> list[ProviderFile]:
        """The files that the provider keeps for this key."""
        wire = self._files()
        decode = wire.decode_list
        return await self._all(
            lambda page: wire.encode_list(page, self._quirks), lambda body: decode(body, self._link.name), env, _NO_FILES
        )

    async def delete_file(self, file_id: str, env: Env) -> None:
        """Have the provider forget a file."""
        await self._delete(self._files().encode_delete(_some_id(file_id, "file_id")), env, "file")

    # ---- caches

    async def create_cache(self, params: CacheCreateParams, model: ModelSpec, env: Env) -> ProviderCache:
        """Have the provider keep the beginning of prompts."""
        wire = self._caches()
        encoded = wire.encode_create(params, model)
        return await self._fetch(encoded, env, lambda body: wire.decode_cache(body, self._link.name), _NO_CACHES)

    async def list_caches(self, env: Env) -> list[ProviderCache]:
        """The caches that the provider keeps for this key."""
        wire = self._caches()
        return await self._all(wire.encode_list, lambda body: wire.decode_list(body, self._link.name), env, _NO_CACHES)

    async def delete_cache(self, cache_id: str, env: Env) -> None:
        """Have the provider forget a cache."""
        await self._delete(self._caches().encode_delete(_some_id(cache_id, "cache_id")), env, "cache")

    # ---- inside

    def _files(self) -> FileWire:
        wire = self._link.wire.files if self._able.file_uploads else None
        return wire or self._mismatch(_NO_FILES)

    def _caches(self) -> CacheWire:
        wire = self._link.wire.caches if self._able.explicit_caches else None
        return wire or self._mismatch(_NO_CACHES)

    def _mismatch(self, problem: str, status: int | None = None) -> NoReturn:
        failure = ProviderFailure("capability_mismatch", f"{self._link.name} {problem}", provider_status=status)
        failure.provider = self._link.name
        raise failure

    async def _fetch(self, encoded: Encoded, env: Env, decode: Callable[[bytes], _T], missing: str) -> _T:
        """What a provider answers. A server that speaks the wire without these addresses, as gateways do, has no such thing."""
        try:
            return await self._link.fetch(encoded, env, decode)
        except ProviderFailure as failure:
            if failure.provider_status in _NOT_THERE:
                self._mismatch(missing, failure.provider_status)
            raise

    async def _delete(self, encoded: Encoded, env: Env, what: str) -> None:
        try:
            await self._link.fetch(encoded, env, _whatever)
        except ProviderFailure as failure:
            if failure.provider_status in _NOT_THERE:
                failure.error_class = "invalid_request"
                failure.message = f"{self._link.name} keeps no such {what}; {what}/list says which there are"
            raise

    async def _all(
        self,
        encode: Callable[[str | None], Encoded],
        decode: Callable[[bytes], tuple[list[_T], str | None]],
        env: Env,
        missing: str,
    ) -> list[_T]:
        found: list[_T] = []
        page: str | None = None
        for _ in range(_MAX_PAGES):
            some, page = await self._fetch(encode(page), env, decode, missing)
            found += some
            if not page:
                break
        return found


def _some_id(id: str, name: str) -> str:
    if not id.strip(". /"):
        raise ProviderFailure("invalid_request", f"{name} is empty; give one of those that are listed")
    return id


def _whatever(_body: bytes) -> None:
    """What a provider says of a deletion beyond that it is done."""
