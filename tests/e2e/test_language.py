"""models.yaml as a language over the wire: what an editor sends and what it is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess
from tests.harness.peer import Peer

pytestmark = pytest.mark.anyio

URI = "file:///somewhere/models.yaml"
CONFIG = "adapters:\n  openai: {api_key_env: MODELD_TEST_KEY}\n"


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess(CONFIG, env={"OTHER_API_KEY": "x"}) as daemon:
        yield daemon


class Editor:
    """An editor with one document open."""

    def __init__(self, peer: Peer, uri: str = URI) -> None:
        self.peer = peer
        self.uri = uri
        self.version = 0

    def open(self, text: str, language: str = "yaml") -> None:
        self.version += 1
        item = {"uri": self.uri, "languageId": language, "version": self.version, "text": text}
        self.peer.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, *changes: dict[str, Any]) -> None:
        self.version += 1
        params = {"textDocument": {"uri": self.uri, "version": self.version}, "contentChanges": list(changes)}
        self.peer.notify("textDocument/didChange", params)

    def close(self) -> None:
        self.peer.notify("textDocument/didClose", {"textDocument": {"uri": self.uri}})

    def published(self) -> list[dict[str, Any]]:
        return [one for one in self.peer.notifications("textDocument/publishDiagnostics") if one["uri"] == self.uri]

    async def diagnostics(self) -> list[dict[str, Any]]:
        """Those of the version that was sent last."""
        await self.peer.until(lambda: any(one.get("version") == self.version for one in self.published()))
        return next(one["diagnostics"] for one in self.published() if one.get("version") == self.version)

    async def ask(self, method: str, line: int, character: int, **more: Any) -> Any:
        params = {"textDocument": {"uri": self.uri}, "position": {"line": line, "character": character}, **more}
        return (await self.peer.call(f"textDocument/{method}", params)).ok()


@pytest.fixture
async def editor(daemon: DaemonProcess) -> AsyncIterator[Editor]:
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        yield Editor(peer)


def spot(line: int, start: int, end: int) -> dict[str, Any]:
    return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}


async def test_smoke(editor: Editor) -> None:
    editor.open("adapters:\n  openai: {typ: openai}\nmodels:\n  openai:gpt-5: {adapter: openai, aliases: [g]}\ndefault_model: \n")
    for one in await editor.diagnostics():
        print(one)
    print(await editor.ask("hover", 1, 4))
    print(await editor.ask("hover", 3, 4))
    print((await editor.ask("completion", 4, 15))["items"])
    print((await editor.ask("completion", 1, 12))["items"])
