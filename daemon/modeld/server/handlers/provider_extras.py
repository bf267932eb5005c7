"""`file/*` and `cache/*`: what providers keep for later requests, where they do."""

from collections.abc import Awaitable
from typing import TypeVar

from modeld_protocol.errors import REQUEST_FAILED
from modeld_protocol.session import (
    CacheCreateParams,
    CacheDeleteParams,
    CacheListParams,
    CacheListResult,
    DeleteResult,
    FileDeleteParams,
    FileListParams,
    FileListResult,
    FileUploadParams,
    ProviderCache,
    ProviderFile,
)

from ...providers.failure import ProviderFailure
from ...runtime import Runtime
from ..errors import RpcError
from ..requests import CallContext
from ..router import Router

_T = TypeVar("_T")


class ProviderExtraHandlers:
    """The handlers of `file/*` and `cache/*` over one runtime; -32803 `capability_mismatch` where a provider has neither."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("file/upload", self.upload)
        router.add("file/list", self.list_files)
        router.add("file/delete", self.delete_file)
        router.add("cache/create", self.create_cache)
        router.add("cache/list", self.list_caches)
        router.add("cache/delete", self.delete_cache)

    async def upload(self, context: CallContext, params: FileUploadParams) -> ProviderFile:
        """Give a provider a file to keep."""
        return await _answered(self._runtime.upload_file(params, context.client.env))

    async def list_files(self, context: CallContext, params: FileListParams) -> FileListResult:
        """The files that a provider keeps."""
        return FileListResult(await _answered(self._runtime.list_files(params.provider, context.client.env)))

    async def delete_file(self, context: CallContext, params: FileDeleteParams) -> DeleteResult:
        """Have a provider forget a file."""
        await _answered(self._runtime.delete_file(params.provider, params.file_id, context.client.env))
        return DeleteResult(True)

    async def create_cache(self, context: CallContext, params: CacheCreateParams) -> ProviderCache:
        """Have a provider keep the beginning of prompts."""
        return await _answered(self._runtime.create_cache(params, context.client.env))

    async def list_caches(self, context: CallContext, params: CacheListParams) -> CacheListResult:
        """The caches that a provider keeps."""
        return CacheListResult(await _answered(self._runtime.list_caches(params.provider, context.client.env)))

    async def delete_cache(self, context: CallContext, params: CacheDeleteParams) -> DeleteResult:
        """Have a provider forget a cache."""
        await _answered(self._runtime.delete_cache(params.provider, params.cache_id, context.client.env))
        return DeleteResult(True)


async def _answered(work: Awaitable[_T]) -> _T:
    try:
        return await work
    except ProviderFailure as failure:
        raise RpcError(REQUEST_FAILED, failure.message, failure.data()) from failure
