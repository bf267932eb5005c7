"""Editors' own libraries against the language server: pygls with lsprotocol, and Node's vscode-languageserver-protocol."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess
from tests.harness.language import apply_edits

from modeld.language.lsp import TextEdit
from modeld.language.text import Position, Range

pytestmark = pytest.mark.anyio

NODE = Path(__file__).parents[1] / "node"
URI = "file:///somewhere/models.yaml"
TEXT = """\
adapters:
  openai: {ty: openai, api_key_env: MODELD_TEST_KEY}
models:
  openai:gpt-5.5: {adapter: openai, aliases: [big]}
default_model: big
"""


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess("adapters: {openai: {api_key_env: MODELD_TEST_KEY}}\n") as daemon:
        yield daemon


async def test_pygls(daemon: DaemonProcess) -> None:
    """Every answer fits lsprotocol's types: its converter refuses what lacks a member or has one of another kind."""
    client_module = pytest.importorskip("pygls.lsp.client", reason="needs pygls; `make test` installs it")
    types = pytest.importorskip("lsprotocol.types")
    client = client_module.LanguageClient("test", "1")
    published: asyncio.Queue[Any] = asyncio.Queue()
    client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(
        lambda params: published.put_nowait(params)
    )  # it is marked, which a method does not let be
    await client.start_io(*daemon.command("--stdio"), env=daemon.env)
    try:
        async with asyncio.timeout(30):
            await _converse(client, types, published)
    finally:
        with contextlib.suppress(TimeoutError):  # it waits for the process, which without an exit ends with its daemon
            async with asyncio.timeout(5):
                await client.stop()


async def _converse(client: Any, types: Any, published: "asyncio.Queue[Any]") -> None:
    general = types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf16])
    capabilities = types.ClientCapabilities(general=general)
    said = (await client.initialize_async(types.InitializeParams(capabilities=capabilities))).capabilities
    assert said.position_encoding == "utf-16"
    assert said.text_document_sync.change == types.TextDocumentSyncKind.Incremental
    assert list(said.code_action_provider.code_action_kinds) == ["quickfix"]
    client.initialized(types.InitializedParams())
    item = types.TextDocumentItem(uri=URI, language_id="yaml", version=1, text=TEXT)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    first = await published.get()
    assert (first.uri, first.version) == (URI, 1)
    assert [(one.code, one.range.start.line, one.range.start.character) for one in first.diagnostics] == [
        ("unknown_field", 1, 11)
    ]

    document = types.TextDocumentIdentifier(uri=URI)

    def at(line: int, character: int) -> dict[str, Any]:
        return {"text_document": document, "position": types.Position(line, character)}

    hover = await client.text_document_hover_async(types.HoverParams(**at(4, 16)))
    assert "**openai:gpt-5.5**" in hover.contents.value
    offered = await client.text_document_completion_async(types.CompletionParams(**at(3, 30)))
    assert [one.label for one in offered.items] == ["openai"]
    context = types.CodeActionContext(diagnostics=first.diagnostics)
    params = types.CodeActionParams(text_document=document, range=first.diagnostics[0].range, context=context)
    actions = await client.text_document_code_action_async(params)
    edit = actions[0].edit.changes[URI][0]
    start, end = (Position(one.line, one.character) for one in (edit.range.start, edit.range.end))
    fixed = apply_edits(TEXT, [TextEdit(Range(start, end), edit.new_text)])
    assert fixed == TEXT.replace("{ty:", "{type:")
    defined = await client.text_document_definition_async(types.DefinitionParams(**at(4, 16)))
    assert [one.range.start for one in defined] == [types.Position(3, 46)]
    context = types.ReferenceContext(include_declaration=True)
    found = await client.text_document_references_async(types.ReferenceParams(**at(1, 4), context=context))
    assert [one.range.start.line for one in found] == [1, 3]
    symbols = await client.text_document_document_symbol_async(types.DocumentSymbolParams(document))
    assert [(one.name, one.kind) for one in symbols][:1] == [("adapters", types.SymbolKind.Namespace)]
    prepared = await client.text_document_prepare_rename_async(types.PrepareRenameParams(**at(1, 4)))
    assert prepared.placeholder == "openai"
    renamed = await client.text_document_rename_async(types.RenameParams(**at(1, 4), new_name="work"))
    assert len(renamed.changes[URI]) == 2

    change = types.TextDocumentContentChangePartial(range=edit.range, text=edit.new_text)
    version = types.VersionedTextDocumentIdentifier(version=2, uri=URI)
    client.text_document_did_change(types.DidChangeTextDocumentParams(version, [change]))
    assert not (await published.get()).diagnostics
    client.text_document_did_close(types.DidCloseTextDocumentParams(document))
    assert not (await published.get()).diagnostics
    await client.shutdown_async(None)
    client.exit(None)


async def test_node(daemon: DaemonProcess) -> None:
    missing = shutil.which("node") is None or not (NODE / "node_modules").exists()
    if missing and os.environ.get("MODELD_TEST_REQUIRE_NODE"):
        pytest.fail("Node.js and its packages are required here: install Node.js and run `make test`")
    if missing:
        pytest.skip("needs Node.js with `npm ci` done in tests/node; `make test` does that where npm is")
    process = await asyncio.create_subprocess_exec(
        *("node", str(NODE / "language.mjs"), *daemon.command("--stdio")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=daemon.env,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate(TEXT.encode())
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    assert seen["diagnostics"] == [["unknown_field", 1, 11, 1, 13]]
    assert "**openai:gpt-5.5**" in seen["hover"]
    assert seen["completion"] == ["openai"]
    assert seen["action"] == "Change to 'type'"
    assert seen["cleared"] == []
