"""An editor with one document open, over the raw peer."""

from typing import Any

from tests.harness.peer import Peer

Spot = dict[str, dict[str, int]]
URI = "file:///somewhere/models.yaml"


def at(line: int, character: int) -> dict[str, int]:
    """LSP's position."""
    return {"line": line, "character": character}


def spot(line: int, start: int, end: int) -> Spot:
    """LSP's range within one line."""
    return {"start": at(line, start), "end": at(line, end)}


def spots_of(marked: str, encoding: str) -> tuple[str, list[Spot]]:
    """The text without its `«…»` marks, and where they were in units of `encoding`."""
    places: list[Spot] = []
    width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    for number, line in enumerate(marked.replace("\r\n", "\n").replace("\r", "\n").split("\n")):
        while "«" in line:
            start, line = line.index("«"), line.replace("«", "", 1)
            end, line = line.index("»"), line.replace("»", "", 1)
            units = [len(line[:index].encode(f"{encoding}-le" if width > 1 else encoding)) // width for index in (start, end)]
            places.append(spot(number, units[0], units[1]))
    plain = marked.replace("«", "").replace("»", "")
    return plain, places


class Editor:
    """What an editor does with a document, and what it is told about it."""

    def __init__(self, peer: Peer, uri: str = URI) -> None:
        self.peer = peer
        self.uri = uri
        self.version = 0

    def open(self, text: str, language: str = "yaml") -> None:
        """didOpen."""
        self.version += 1
        item = {"uri": self.uri, "languageId": language, "version": self.version, "text": text}
        self.peer.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, *changes: dict[str, Any]) -> None:
        """didChange, with every edit in one."""
        self.version += 1
        params = {"textDocument": {"uri": self.uri, "version": self.version}, "contentChanges": list(changes)}
        self.peer.notify("textDocument/didChange", params)

    def close(self) -> None:
        """didClose."""
        self.peer.notify("textDocument/didClose", {"textDocument": {"uri": self.uri}})

    def published(self) -> list[dict[str, Any]]:
        """Every publishDiagnostics of this document so far."""
        return [one for one in self.peer.notifications("textDocument/publishDiagnostics") if one["uri"] == self.uri]

    async def diagnostics(self) -> list[dict[str, Any]]:
        """Those of the version that was sent last."""
        await self.peer.until(lambda: any(one.get("version") == self.version for one in self.published()), 30)
        return next(one["diagnostics"] for one in self.published() if one.get("version") == self.version)

    async def ask(self, method: str, line: int, character: int, **more: Any) -> Any:
        """A request about a position."""
        params = {"textDocument": {"uri": self.uri}, "position": at(line, character), **more}
        return (await self.peer.call(f"textDocument/{method}", params, 30)).ok()

    async def symbols(self) -> Any:
        """documentSymbol."""
        return (await self.peer.call("textDocument/documentSymbol", {"textDocument": {"uri": self.uri}}, 30)).ok()

    async def actions(self, where: Spot, **context: Any) -> Any:
        """codeAction."""
        params = {"textDocument": {"uri": self.uri}, "range": where, "context": {"diagnostics": [], **context}}
        return (await self.peer.call("textDocument/codeAction", params, 30)).ok()
