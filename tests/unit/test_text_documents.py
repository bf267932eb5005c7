"""The handlers of textDocument/* by themselves: pauses in the typing, checks that fail, connections that go."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from blockbuster import blockbuster_ctx

from modeld.cli.surroundings import surroundings
from modeld.config.locations import config_place
from modeld.language import lsp
from modeld.language.text import Change, Position, Range
from modeld.server.errors import RpcError
from modeld.server.handlers import text_document
from modeld.server.handlers.text_document import CAPABILITIES, TextDocumentHandlers
from modeld.server.requests import CallContext, ClientState
from modeld.server.router import Router

pytestmark = pytest.mark.anyio
URI = "file:///models.yaml"
START = Range(Position(0, 0), Position(0, 0))


class FakeConnection:
    """A connection that keeps what it is told."""

    def __init__(self) -> None:
        self.client = ClientState(1, "test")
        self.told: list[tuple[str, Any]] = []
        self.closing: list[Callable[[], None]] = []

    def notify(self, method: str, params: Any) -> None:
        self.told.append((method, params))

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.closing.append(callback)
        return lambda: None


class Desk:
    """Handlers, one connection, and how often a text was checked."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.checked: list[bytes] = []
        self.fault = fault
        real = surroundings()
        counting = msgspec.structs.replace(real, verify=self._count)
        self.handlers = TextDocumentHandlers(SimpleNamespace(surroundings=counting, place=config_place("/c", {})))  # type: ignore[arg-type]
        self.connection = FakeConnection()
        self.context = CallContext(self.connection, None)  # type: ignore[arg-type]

    def _count(self, _config: Any) -> None:
        self.checked.append(b"")
        if self.fault is not None:
            raise self.fault

    def open(self, text: str) -> None:
        self.handlers.did_open(self.context, lsp.OpenParams(lsp.DocumentItem(URI, text, "yaml", 1)))

    def type(self, text: str, version: int) -> None:
        self.handlers.did_change(self.context, lsp.ChangeParams(lsp.DocumentId(URI, version), [Change(text, START)]))

    async def published(self, version: int) -> list[lsp.Diagnostic]:
        async with asyncio.timeout(10):
            while True:
                for _, params in self.connection.told:
                    if params.version == version:
                        return params.diagnostics
                await asyncio.sleep(0.005)


async def test_typing_is_checked_at_its_pause() -> None:
    desk = Desk()
    desk.open("adapters: {ollama: }\n")
    assert await desk.published(1) == []
    for number in range(2, 40):
        desk.type("# x\n", number)
        await asyncio.sleep(0)
    await desk.published(39)
    assert len(desk.checked) == 2
    assert [params.version for _, params in desk.connection.told] == [1, 39]


async def test_edits_beyond_the_limit_are_made_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_document, "MAX_PENDING_CHANGES", 5)
    monkeypatch.setattr(text_document, "DIAGNOSTICS_PAUSE_S", 3_600)
    desk = Desk()
    desk.open("adapters: {ollama: }\n")
    await desk.published(1)
    for number in range(2, 8):
        desk.type("#\n", number)
    assert await desk.published(7) == []


async def test_a_check_that_fails_is_an_error_without_words(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(RuntimeError("words of the text"))
    with caplog.at_level(logging.ERROR):
        desk.open("adapters: {ollama: }\n")
        with pytest.raises(RpcError, match="Internal error"):
            await desk.handlers.hover(desk.context, lsp.PositionParams(lsp.DocumentId(URI), Position(0, 1)))
    (record,) = caplog.records
    assert vars(record)["fields"]["exception"] == "RuntimeError"
    assert "words of the text" not in caplog.text + str(vars(record))
    desk.fault = None
    desk.type("# 1\n", 2)
    assert await desk.published(2) == []
    found = await desk.handlers.hover(desk.context, lsp.PositionParams(lsp.DocumentId(URI), Position(1, 1)))
    assert found is not None


async def test_a_connection_that_goes_takes_its_documents_along() -> None:
    desk = Desk()
    desk.open("adapters: []\n")
    desk.type("#\n", 2)
    for callback in desk.connection.closing:
        callback()
    assert await desk.handlers.document_symbol(desk.context, lsp.DocumentParams(lsp.DocumentId(URI))) is None
    await asyncio.sleep(0.3)
    assert desk.connection.told == []


async def test_nothing_of_it_blocks_the_loop() -> None:
    """The first document too, with which modules are imported and the catalog is read."""
    desk = Desk()
    with blockbuster_ctx(scanned_modules=["modeld"]):
        desk.open("adapters:\n  openai:\nmodels:\n  openai:a: {adapter: openai, aliases: [x]}\n")
        await desk.published(1)
        place = lsp.PositionParams(lsp.DocumentId(URI), Position(3, 4))
        for ask in ("hover", "completion", "definition", "prepare_rename"):
            await getattr(desk.handlers, ask)(desk.context, place)
        await desk.handlers.code_action(desk.context, lsp.ActionParams(lsp.DocumentId(URI), START))
        await desk.handlers.rename(desk.context, lsp.RenameParams(lsp.DocumentId(URI), Position(3, 4), "openai:b"))


def test_what_is_announced_is_served() -> None:
    router = Router()
    TextDocumentHandlers(SimpleNamespace()).register(router)  # type: ignore[arg-type]
    for name in CAPABILITIES:
        if name.endswith("Provider"):
            router.request(f"textDocument/{name.removesuffix('Provider')}")
    for name in ("didOpen", "didChange", "didClose"):
        assert router.notification(f"textDocument/{name}") is not None
