"""`textDocument/*`: the daemon as a language server for models.yaml. Documents belong to the connection that opened them."""

import asyncio
import contextlib
from collections import ChainMap
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from ...config.locations import CONFIG_NAME
from ...config.reload import ConfigSource
from ...language import CannotRename, lsp
from ...language.text import Change, Encoding, Text, apply, chosen_encoding, text_of
from ...limits import (
    DIAGNOSTICS_PAUSE_S,
    LARGE_DOCUMENT_CHARS,
    MAX_DOCUMENT_CHARS,
    MAX_OPEN_DOCUMENTS,
    MAX_PENDING_CHANGES,
)
from ...observe.log import logger
from ..errors import RpcError, internal_error, invalid_params
from ..requests import CallContext, ClientConnection
from ..router import Router

if TYPE_CHECKING:
    from ...language.analysis import Analysis, Knowledge

T = TypeVar("T")

_log = logger("language")
_OWN_LANGUAGES = ("modeld", "modeld-models")
_OWN_NAMES = (CONFIG_NAME, "models.yml")

CAPABILITIES: dict[str, Any] = {
    "textDocumentSync": {"openClose": True, "change": 2},
    "hoverProvider": True,
    "completionProvider": {"triggerCharacters": [":", " ", "[", ",", '"', "'"], "resolveProvider": False},
    "codeActionProvider": {"codeActionKinds": [lsp.QUICK_FIX]},
    "definitionProvider": True,
    "referencesProvider": True,
    "documentSymbolProvider": True,
    "renameProvider": {"prepareProvider": True},
}
"""LSP's server capabilities, as `initialize` announces them."""


class _Document:
    """One open text of one client. Edits are kept as they come and made in a thread, together with the check: the loop never
    does what takes longer the longer a text is."""

    def __init__(self, connection: ClientConnection, uri: str, encoding: Encoding, version: int, text: str) -> None:
        self.connection = connection
        self.uri = uri
        self.encoding: Encoding = encoding
        self.version = version
        self.text = Text("", [0])
        self.changes: list[Change] = [Change(text)]
        self.analysis: Analysis | None = None
        self.work: asyncio.Task[bool] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.open = True

    def close(self) -> None:
        """Nothing is to be told about it any more."""
        self.open = False
        if self.timer is not None:
            self.timer.cancel()


class TextDocumentHandlers:
    """The handlers of `textDocument/*`. The modules that do the work are imported with the first document."""

    def __init__(self, source: ConfigSource) -> None:
        self._source = source
        self._documents: dict[ClientConnection, dict[str, _Document]] = {}
        self._knowledge: Knowledge | None = None
        self._one_large = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add_notification("textDocument/didOpen", self.did_open, lsp.OpenParams)
        router.add_notification("textDocument/didChange", self.did_change, lsp.ChangeParams)
        router.add_notification("textDocument/didClose", self.did_close, lsp.DocumentParams)
        router.add("textDocument/hover", self.hover, lsp.PositionParams)
        router.add("textDocument/completion", self.completion, lsp.PositionParams)
        router.add("textDocument/codeAction", self.code_action, lsp.ActionParams)
        router.add("textDocument/definition", self.definition, lsp.PositionParams)
        router.add("textDocument/references", self.references, lsp.ReferenceParams)
        router.add("textDocument/documentSymbol", self.document_symbol, lsp.DocumentParams)
        router.add("textDocument/prepareRename", self.prepare_rename, lsp.PositionParams)
        router.add("textDocument/rename", self.rename, lsp.RenameParams)

    # ---- documents

    def did_open(self, context: CallContext, params: lsp.OpenParams) -> None:
        """Take a text up and check it. Texts that are no models.yaml are none of our business."""
        item = params.text_document
        if not is_config(item.uri, item.language_id, self._source.place.path):
            return
        documents = self._documents.get(context.connection)
        if documents is None:
            documents = self._documents[context.connection] = {}
            context.connection.on_close(lambda connection=context.connection: self._forget(connection))
        if before := documents.pop(item.uri, None):
            before.close()
        if len(documents) >= MAX_OPEN_DOCUMENTS:
            return
        encoding = chosen_encoding(context.client.position_encodings)
        document = _Document(context.connection, item.uri, encoding, item.version, item.text)
        documents[item.uri] = document
        self._check(document)

    def did_change(self, context: CallContext, params: lsp.ChangeParams) -> None:
        """Note the edits; the check waits for a pause in them."""
        document = self._document(context, params.text_document.uri)
        if document is None:
            return
        document.changes += params.content_changes
        document.version = params.text_document.version or document.version
        if document.timer is not None:
            document.timer.cancel()
        pause_s = DIAGNOSTICS_PAUSE_S if len(document.changes) < MAX_PENDING_CHANGES else 0
        document.timer = asyncio.get_running_loop().call_later(pause_s, self._check, document)

    def did_close(self, context: CallContext, params: lsp.DocumentParams) -> None:
        """Let go of a text; its diagnostics go with it."""
        uri = params.text_document.uri
        document = self._documents.get(context.connection, {}).pop(uri, None)
        if document is not None:
            document.close()
            context.notify("textDocument/publishDiagnostics", lsp.PublishDiagnostics(uri, []))

    def _document(self, context: CallContext, uri: str) -> _Document | None:
        return self._documents.get(context.connection, {}).get(uri)

    def _forget(self, connection: ClientConnection) -> None:
        for document in self._documents.pop(connection, {}).values():
            document.close()

    # ---- looking at a text

    def _check(self, document: _Document) -> None:
        task = asyncio.get_running_loop().create_task(self._publish(document))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, document: _Document) -> None:
        """Tell the client what is wrong with the text, unless it has changed meanwhile: then another check is under way."""
        version = document.version
        try:
            analysis = await self._analysis(document)
        except RpcError:
            return  # reported
        diagnostics = await asyncio.to_thread(analysis.diagnostics)
        if document.open and document.version == version:
            found = lsp.PublishDiagnostics(document.uri, diagnostics, version)
            document.connection.notify("textDocument/publishDiagnostics", found)

    async def _analysis(self, document: _Document) -> "Analysis":
        """What there is to know of the text as it stands now."""
        while document.changes or document.analysis is None:
            if document.work is None:
                document.work = asyncio.get_running_loop().create_task(self._look(document))
            # Whoever waits may be cancelled; the others still want the answer.
            if not await asyncio.shield(document.work):
                raise internal_error()
        return document.analysis

    async def _look(self, document: _Document) -> bool:
        """Make the edits and look at the text; False where that failed, which is a defect and is in the log."""
        changes = document.changes
        document.changes = []
        looked: tuple[Text, Analysis] | None = None
        try:
            size = len(document.text.content) + sum(len(change.text) for change in changes)
            async with self._one_large if size > LARGE_DOCUMENT_CHARS else contextlib.nullcontext():
                looked = await asyncio.to_thread(self._look_in_thread, document, changes)
        except Exception as error:
            _log.error("the check of a document failed", exception=error)
        finally:
            document.work = None
            if looked is None:
                document.changes = changes + document.changes
        if looked is not None:
            document.text, document.analysis = looked
        return looked is not None

    def _look_in_thread(self, document: _Document, changes: list[Change]) -> "tuple[Text, Analysis]":
        from ...language.analysis import analyse, knowledge_of

        if self._knowledge is None:
            self._knowledge = knowledge_of(self._source.surroundings)
        knowledge = self._knowledge
        if env := document.connection.client.env:
            surroundings = msgspec.structs.replace(knowledge.surroundings, env=ChainMap(env, dict(knowledge.surroundings.env)))
            knowledge = msgspec.structs.replace(knowledge, surroundings=surroundings)
        text = apply(document.text, changes, document.encoding)
        if len(text.content) > MAX_DOCUMENT_CHARS:
            # Further edits land anywhere; the config's own limit has long been reported by then.
            text = text_of(text.content[:MAX_DOCUMENT_CHARS])
        return text, analyse(text, document.encoding, knowledge)

    async def _ask(self, context: CallContext, uri: str, answer: Callable[["Analysis"], T]) -> T | None:
        """What `answer` says of a document; None where it isn't open."""
        document = self._document(context, uri)
        if document is None:
            return None
        analysis = await self._analysis(document)
        return await asyncio.to_thread(answer, analysis)

    # ---- requests; what answers them is imported in the thread

    async def hover(self, context: CallContext, params: lsp.PositionParams) -> lsp.Hover | None:
        """What the word at a position means."""

        def answer(analysis: "Analysis") -> lsp.Hover | None:
            from ...language.hover import hover

            return hover(analysis, params.position)

        return await self._ask(context, params.text_document.uri, answer)

    async def completion(self, context: CallContext, params: lsp.PositionParams) -> lsp.CompletionList | None:
        """What may be written at a position."""

        def answer(analysis: "Analysis") -> lsp.CompletionList:
            from ...language.completion import complete

            return complete(analysis, params.position)

        return await self._ask(context, params.text_document.uri, answer)

    async def code_action(self, context: CallContext, params: lsp.ActionParams) -> list[lsp.CodeAction] | None:
        """How the mistakes in a range can be mended."""
        uri = params.text_document.uri

        def answer(analysis: "Analysis") -> list[lsp.CodeAction]:
            from ...language.actions import actions

            return actions(analysis, uri, params.range)

        if params.context.only is not None and not any(lsp.QUICK_FIX.startswith(kind) for kind in params.context.only):
            return []
        return await self._ask(context, uri, answer)

    async def definition(self, context: CallContext, params: lsp.PositionParams) -> list[lsp.Location] | None:
        """Where what is named at a position comes from."""
        uri = params.text_document.uri

        def answer(analysis: "Analysis") -> list[lsp.Location]:
            from ...language.navigation import definition

            return definition(analysis, uri, params.position)

        return await self._ask(context, uri, answer)

    async def references(self, context: CallContext, params: lsp.ReferenceParams) -> list[lsp.Location] | None:
        """Where what is named at a position is named."""
        uri, declaration = params.text_document.uri, params.context.include_declaration

        def answer(analysis: "Analysis") -> list[lsp.Location]:
            from ...language.navigation import references

            return references(analysis, uri, params.position, declaration=declaration)

        return await self._ask(context, uri, answer)

    async def document_symbol(self, context: CallContext, params: lsp.DocumentParams) -> list[lsp.DocumentSymbol] | None:
        """The outline of a document."""

        def answer(analysis: "Analysis") -> list[lsp.DocumentSymbol]:
            from ...language.navigation import symbols

            return symbols(analysis)

        return await self._ask(context, params.text_document.uri, answer)

    async def prepare_rename(self, context: CallContext, params: lsp.PositionParams) -> lsp.PreparedRename | None:
        """The name at a position, where it can be changed."""

        def answer(analysis: "Analysis") -> lsp.PreparedRename | None:
            from ...language.navigation import prepare_rename

            return prepare_rename(analysis, params.position)

        return await self._ask(context, params.text_document.uri, answer)

    async def rename(self, context: CallContext, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        """The edits that change a name everywhere."""
        uri = params.text_document.uri

        def answer(analysis: "Analysis") -> lsp.WorkspaceEdit | None:
            from ...language.navigation import rename

            return rename(analysis, uri, params.position, params.new_name)

        try:
            return await self._ask(context, uri, answer)
        except CannotRename as error:
            raise invalid_params(str(error)) from None


def is_config(uri: str, language_id: str, config_file: Path) -> bool:
    """Whether a document is a models.yaml: by its language, its file name, or as the daemon's own config."""
    if language_id in _OWN_LANGUAGES:
        return True
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    path = unquote(parts.path)
    return PurePosixPath(path).name in _OWN_NAMES or (parts.scheme == "file" and path == str(config_file))
