"""Scenarios of what providers keep for later requests: files, and prompts that are cached by name."""

import base64
from typing import NamedTuple

import pytest
from tests.conformance.suite.media import PDF, PNG
from tests.conformance.suite.scenario import ONCE, scenario
from tests.conformance.suite.tools import WEATHER
from tests.conformance.suite.world import UNKNOWN_MODEL, Case

from modeld.providers.failure import ProviderFailure
from modeld_protocol.content import Message
from modeld_protocol.model import ModelInfo
from modeld_protocol.request import Tool
from modeld_protocol.session import CacheCreateParams, FileUploadParams

NAME = 'Übersicht "2026".pdf'


class Held(NamedTuple):
    """A file, and the model of the row that a request with it may go to, None where no request may name files."""

    content: bytes
    media_type: str
    model: ModelInfo | None
    kind: str = "file"

    def upload(self, provider: str) -> FileUploadParams:
        return FileUploadParams(provider, NAME, base64.b64encode(self.content).decode(), self.media_type)


def held(case: Case) -> Held:
    """What this provider's requests may name."""
    models = case.world.models_of(case.info.provider)
    reader = next((info for info in models if "file_id" in info.capabilities.file_sources), None)
    viewer = next((info for info in models if "file_id" in info.capabilities.image_sources), None)
    if reader is None and viewer is not None:
        return Held(PNG, "image/png", viewer, "image")
    return Held(PDF, "application/pdf", reader)


@scenario("file_uploads", modes=ONCE)
async def files_are_kept(case: Case) -> None:
    """Uploaded, listed, named in a request, forgotten."""
    if case.able.file_uploads and case.info.wire_name != UNKNOWN_MODEL:
        return  # files are the provider's, whatever the model
    runtime, provider = case.world.runtime, case.info.provider
    case.simulator.reset()
    file = held(case)
    kept = await runtime.upload_file(file.upload(provider))
    assert (kept.provider, kept.size_bytes) == (provider, len(file.content))
    assert kept.media_type in (file.media_type, None)
    assert await runtime.list_files(provider) == [kept]
    await runtime.delete_file(provider, kept.file_id)
    assert await runtime.list_files(provider) == []
    with pytest.raises(ProviderFailure, match="file/list") as caught:
        await runtime.delete_file(provider, kept.file_id)
    assert caught.value.error_class == "invalid_request"
    again = await runtime.upload_file(file.upload(provider))
    block = {"type": file.kind, "source": {"kind": "file_id", "file_id": again.file_id}, "media_type": file.media_type}
    messages = [{"role": "user", "content": [block, {"type": "text", "text": "What is this?"}]}]
    if file.model is None:
        with pytest.raises(ProviderFailure) as refused:
            await case.ask("text", messages=messages)
        assert refused.value.error_class == "capability_mismatch"
        return
    reply = await case.ask("text", model=file.model.id, messages=messages)
    assert reply.received.media() == [(file.kind, "file_id", again.file_id.removeprefix("files/"))]


@scenario("file_uploads", modes=ONCE)
async def files_are_listed(case: Case) -> None:
    case.simulator.reset()
    assert await case.world.runtime.list_files(case.info.provider) == []


@scenario("file_uploads", modes=ONCE)
async def files_are_forgotten(case: Case) -> None:
    with pytest.raises(ProviderFailure) as caught:
        await case.world.runtime.delete_file(case.info.provider, "file-gone")
    if not case.able.file_uploads:
        raise caught.value
    assert caught.value.error_class == "invalid_request"


@scenario("explicit_caches", modes=ONCE)
async def caches_are_kept(case: Case) -> None:
    """Made of the beginning of prompts, listed, named in a request that leaves that beginning out, forgotten."""
    runtime, provider = case.world.runtime, case.info.provider
    case.simulator.reset()
    params = CacheCreateParams(
        provider,
        case.info.id,
        [Message("user", "A long book.")],
        "Be brief.",
        [Tool(**WEATHER)] if case.able.tools else [],
        ttl_seconds=300,
    )
    kept = await runtime.create_cache(params)
    sent = case.simulator.requests[-1].body.decode()
    assert all(text in sent for text in ("A long book.", "Be brief.", '"ttl":"300s"'))
    assert (kept.provider, kept.model, bool(kept.tokens)) == (provider, case.info.id, True)
    assert await runtime.list_caches(provider) == [kept]
    await runtime.delete_cache(provider, kept.cache_id)
    assert await runtime.list_caches(provider) == []
    options = {case.info.provider: {"cached_content": kept.cache_id}}
    reply = await case.ask("text", system_prompt="Be brief.", provider_options=options)
    assert f'"cachedContent":"{kept.cache_id}"' in reply.received.raw
    assert reply.received.system == ""


@scenario("explicit_caches", modes=ONCE)
async def caches_are_listed(case: Case) -> None:
    case.simulator.reset()
    assert await case.world.runtime.list_caches(case.info.provider) == []


@scenario("explicit_caches", modes=ONCE)
async def caches_are_forgotten(case: Case) -> None:
    with pytest.raises(ProviderFailure) as caught:
        await case.world.runtime.delete_cache(case.info.provider, "cachedContents/gone")
    if not case.able.explicit_caches:
        raise caught.value
    assert caught.value.error_class == "invalid_request"
