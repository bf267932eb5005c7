"""models.yaml as a language over the wire: what an editor sends and what it is told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.harness.daemon import KEY, DaemonProcess
from tests.harness.editor import Editor, Spot, at, spot, spots_of
from tests.harness.peer import Peer

from modeld.limits import MAX_CONFIG_BYTES, MAX_OPEN_DOCUMENTS

pytestmark = pytest.mark.anyio

CONFIG = "adapters:\n  openai: {api_key_env: MODELD_TEST_KEY}\n"


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess(CONFIG, env={"OTHER_API_KEY": KEY}) as daemon:
        yield daemon


@pytest.fixture
async def editor(daemon: DaemonProcess) -> AsyncIterator[Editor]:
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        yield Editor(peer)


async def initialize(peer: Peer, *encodings: str, **options: Any) -> Any:
    """The handshake of an editor that counts in one of `encodings`."""
    params = {"capabilities": {"general": {"positionEncodings": list(encodings)}}, "initializationOptions": {"modeld": options}}
    return (await peer.call("initialize", params)).ok()["capabilities"]


# Each «…» is where a diagnostic must be.
MISTAKES = """\
adapters:
  openai: {«typ»: openai, api_key_env: MODELD_TEST_KEY} # 😀 before nothing
  "😀😀": {type: «opnai»}
  é: {type: openai, api_key_env: MODELD_TEST_KEY, max_retries: «"x"», «foo»: 1}
models:
  openai:a: {adapter: «opena», aliases: ["😀", «"😀"»]}
  openai:b: {adapter: openai, fallbacks: [«nope»], tier: «fats»}
  «openai:c»: {}
default_model: «zzz»
"""


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
async def test_l1_each_mistake_has_its_diagnostic(daemon: DaemonProcess, encoding: str, line_end: str) -> None:
    text, expected = spots_of(MISTAKES.replace('«"x"»', '«"x"»').replace("\n", line_end), encoding)
    async with await Peer.connect(daemon.socket) as peer:
        assert (await initialize(peer, encoding))["positionEncoding"] == encoding
        editor = Editor(peer)
        editor.open(text)
        found = await editor.diagnostics()
        names = [spot_of(one) for one in found if one["code"] not in ("bad_name", "several_key_sources")]
        assert names == expected
        assert {one["source"] for one in found} == {"modeld"}
        assert {one["severity"] for one in found if one["code"] == "unknown_tier"} == {2}
        assert {one["severity"] for one in found if one["code"] == "unknown_type"} == {1}


def spot_of(diagnostic: dict[str, Any]) -> Spot:
    return diagnostic["range"]


async def test_an_editor_that_names_no_encoding_counts_in_utf_16(editor: Editor) -> None:
    editor.open("adapters: {openai: {api_key_env: MODELD_TEST_KEY, '😀': 1}}\n")
    assert [spot_of(one) for one in await editor.diagnostics()] == [spot(0, 50, 54)]


async def test_the_same_checker_as_on_the_command_line(daemon: DaemonProcess, editor: Editor) -> None:
    text, _ = spots_of(MISTAKES, "utf-16")
    editor.open(text)
    shown = [(one["code"], one["message"]) for one in await editor.diagnostics()]
    told = (await editor.peer.call("config/check", {"text": text})).ok()["problems"]
    assert shown == [(one["code"], one["message"]) for one in told]


async def test_l2_fixing_and_closing_clear(editor: Editor) -> None:
    editor.open("adapters: {openai: {api_key_env: MODELD_TEST_KEY, typ: openai}}\n")
    assert [one["code"] for one in await editor.diagnostics()] == ["unknown_field"]
    editor.change({"range": spot(0, 50, 53), "text": "type"})
    assert await editor.diagnostics() == []
    editor.change({"text": "adapters: []\n"})
    assert [one["code"] for one in await editor.diagnostics()] == ["not_a_mapping"]
    editor.close()
    await editor.peer.until(lambda: editor.published()[-1]["diagnostics"] == [])
    count = len(editor.published())
    assert await editor.ask("hover", 0, 1) is None
    assert len(editor.published()) == count


async def test_a_close_right_after_an_edit_has_the_last_word(editor: Editor) -> None:
    for number in range(20):
        editor.open("adapters: []\n")
        if number % 2:
            await asyncio.sleep(0)
        editor.change({"text": "adapters: {}\n"})
        editor.close()
        assert await editor.ask("hover", 0, 1) is None
    editor.open("adapters: []\n")
    await editor.diagnostics()
    assert all(one["diagnostics"] == [] for one in editor.published() if "version" not in one)


async def test_l3_several_edits_in_one_change(editor: Editor) -> None:
    editor.open("adapters:\n  a: {type: x}\n  b: {type: y}\n")
    editor.change(
        {"range": {"start": at(1, 12), "end": at(1, 13)}, "text": "ollama"},
        {"range": {"start": at(2, 12), "end": at(2, 13)}, "text": "olla"},
        {"range": {"start": at(2, 16), "end": at(2, 16)}, "text": "ma"},
        {"range": {"start": at(0, 0), "end": at(0, 0)}, "text": "# 😀\r\n"},
        {"range": {"start": at(0, 2), "end": at(0, 4)}, "text": "x"},
        {
            "range": {"start": at(4, 0), "end": at(9, 9)},
            "text": "models:\n  a:m: {adapter: b, aliases: [one]}\ndefault_model: on\n",
        },
        {"range": {"start": at(6, 17), "end": at(6, 17)}, "text": "e"},
    )
    assert await editor.diagnostics() == []
    assert [one["name"] for one in await editor.symbols()] == ["adapters", "models", "default_model"]
    assert await editor.ask("definition", 6, 16) == [{"uri": editor.uri, "range": spot(5, 30, 33)}]


async def test_l4_only_cr_and_lf_end_a_line(editor: Editor) -> None:
    odd = "\u2028: \u2029[ \u0085- "
    editor.open(f"# a{odd}c\nadapters: {{openai: {{api_key_env: MODELD_TEST_KEY, typ: x}}}} # {odd}\rmodels: 5\n")
    found = [(one["code"], spot_of(one)) for one in await editor.diagnostics()]
    assert found == [("unknown_field", spot(1, 50, 53)), ("not_a_mapping", spot(2, 8, 9))]
    inside = "'\u2028\u2029\u0085', foo: 1"
    editor.change({"range": spot(2, 8, 9), "text": "{}"}, {"range": spot(1, 55, 56), "text": inside})
    assert [spot_of(one) for one in await editor.diagnostics()] == [spot(1, 50, 53), spot(1, 62, 65)]
    # The first comment and its odd ends go, then its line end becomes another.
    editor.change({"range": spot(0, 3, 13), "text": "\u2028#"}, {"range": {"start": at(0, 5), "end": at(1, 0)}, "text": "\r\n"})
    assert [spot_of(one) for one in await editor.diagnostics()] == [spot(1, 50, 53), spot(1, 62, 65)]
    assert [one["range"]["start"] for one in await editor.symbols()] == [at(1, 0), at(2, 0)]


async def test_l5_hover(editor: Editor) -> None:
    editor.open(
        "adapters:\n  openai: {api_key_env: MODELD_TEST_KEY}\nmodels:\n  openai:gpt-4.1: {adapter: openai, aliases: [g]} # é\n"
    )
    field = await editor.ask("hover", 1, 13)
    assert field["range"] == spot(1, 11, 22)
    assert "Name of the environment variable" in field["contents"]["value"]
    model = (await editor.ask("hover", 3, 6))["contents"]["value"]
    assert "Limits in tokens: context 1,0" in model
    assert "USD per million tokens" in model
    adapter = (await editor.ask("hover", 3, 30))["contents"]["value"]
    assert "from the environment variable MODELD_TEST_KEY, which is set" in adapter
    assert KEY not in adapter
    for line, character in ((0, 9), (3, 50), (9, 9), (2, 100)):
        assert await editor.ask("hover", line, character) is None


async def test_l6_completion_in_half_written_text(editor: Editor) -> None:
    editor.open("adapters:\n  openai:\n  box: {type: }\nmodels:\n  openai:x:\n    adapter: \n    ti\ndefault_model: ")
    for line, character, some in (
        (2, 14, "openai-compatible"),
        (5, 13, "box"),
        (6, 6, "tier"),
        (7, 15, "openai:x"),
        (1, 2, "ollama"),
    ):
        items = (await editor.ask("completion", line, character))["items"]
        assert some in [one["label"] for one in items], (line, character)
    typed = (await editor.ask("completion", 6, 6))["items"]
    assert next(one["textEdit"] for one in typed if one["label"] == "tier") == {"range": spot(6, 4, 6), "newText": "tier: "}


async def test_completion_sees_what_was_typed_in_the_same_packet(editor: Editor) -> None:
    editor.open("adapters:\n  openai:\n")
    editor.change({"range": {"start": at(2, 0), "end": at(2, 0)}, "text": "default_model: "})
    items = (await editor.ask("completion", 2, 15))["items"]
    assert "openai:gpt-4.1" in [one["label"] for one in items]


async def test_l7_two_clients_with_one_uri(daemon: DaemonProcess, editor: Editor) -> None:
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        other = Editor(peer)
        editor.open("adapters: {openai: {api_key_env: MODELD_TEST_KEY, foo: 1}}\n")
        other.open("adapters: {openai: {api_key_env: MODELD_TEST_KEY, bar: 1}}\n")
        assert "'foo'" in (await editor.diagnostics())[0]["message"]
        assert "'bar'" in (await other.diagnostics())[0]["message"]
        other.close()
        await peer.until(lambda: other.published()[-1]["diagnostics"] == [])
        assert await other.ask("hover", 0, 2) is None
        assert await editor.ask("hover", 0, 2) is not None
        assert len(editor.published()) == 1


HARMFUL = {
    "brackets": "[" * 100_000,
    "braces": "{a: " * 30_000,
    "lists": "- " * 50_000,
    "nul": "adapters:\n  a\0b: 1\n",
    "aliases": "a: &a [x]\nb: [*a, *a]\n",
    "tags": "a: !!python/object/apply:os.system ['true']\n",
    "quote": "'" * 9_999,
    "long line": "adapters: {" + "é" * 200_000 + ": 1}",
    "indents": "\n".join(" " * depth + "a:" for depth in range(300)),
}


@pytest.mark.parametrize("name", HARMFUL)
async def test_l8_nothing_in_a_text_harms(editor: Editor, name: str) -> None:
    editor.open(HARMFUL[name])
    assert any(one["severity"] == 1 for one in await editor.diagnostics())
    for method in ("hover", "completion", "definition", "prepareRename"):
        for line, character in ((0, 0), (0, 5_000), (1, 3), (200, 200), (2**31 - 1, 2**31 - 1)):
            await editor.ask(method, line, character)
    await editor.symbols()
    await editor.actions(spot(0, 0, 10))
    (await editor.peer.call("daemon/status")).ok()


async def test_l8_half_a_surrogate_pair_is_one_unit(editor: Editor) -> None:
    """As an editor in JavaScript writes one: as an escape."""
    change = {"range": {"start": at(0, 1), "end": at(0, 1)}, "text": "\ud83d"}
    editor.open("# x\nadapters: []\n")
    for method, more in (("didChange", {"contentChanges": [change]}),):
        params = {"textDocument": {"uri": editor.uri, "version": 2}, **more}
        editor.peer.send_body(json.dumps({"jsonrpc": "2.0", "method": f"textDocument/{method}", "params": params}).encode())
    editor.version = 2
    editor.change({"range": spot(0, 3, 3), "text": "y\nmodels: 5\n#"})
    assert [spot_of(one) for one in await editor.diagnostics()] == [spot(1, 8, 9), spot(3, 10, 12)]


async def test_l8_documents_that_are_not_open(editor: Editor) -> None:
    other = Editor(editor.peer, "file:///nowhere/models.yaml")
    other.version = 1
    other.change({"text": "x"})
    other.close()
    for method in ("hover", "completion", "definition", "prepareRename"):
        assert await other.ask(method, 0, 0) is None
    assert await other.symbols() is None
    assert await other.actions(spot(0, 0, 1)) is None
    assert await other.ask("references", 0, 0, context={"includeDeclaration": True}) is None
    assert await other.ask("rename", 0, 0, newName="x") is None
    for params in ({}, {"textDocument": {}}, {"textDocument": {"uri": 5}, "position": {}}):
        assert (await editor.peer.call("textDocument/hover", params)).error["code"] == -32602
    assert other.published() == []


async def test_l8_too_much_text(daemon: DaemonProcess) -> None:
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        editor = Editor(peer)
        editor.open("a" * (MAX_CONFIG_BYTES * 3))
        assert [one["code"] for one in await editor.diagnostics()] == ["too_large"]
        editor.change({"text": "adapters: {openai: {api_key_env: MODELD_TEST_KEY}}\n"})
        assert await editor.diagnostics() == []
        many = [Editor(peer, f"file:///{number}/models.yaml") for number in range(MAX_OPEN_DOCUMENTS + 3)]
        for one in many:
            one.open("a: 1\n")
        await many[0].diagnostics()
        assert await many[-1].symbols() is None
        assert len(await many[0].symbols()) == 1


async def test_others_are_served_while_a_large_text_is_looked_at(daemon: DaemonProcess, editor: Editor) -> None:
    lines = "".join(f"  openai:m{number}:\n    adapter: openai\n    aliases: [a{number}]\n" for number in range(5_000))
    editor.open(f"adapters:\n  openai: {{api_key_env: MODELD_TEST_KEY}}\nmodels:\n{lines}")
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        slowest_s = 0.0
        while not editor.published():
            began = time.monotonic()
            (await peer.call("daemon/status")).ok()
            slowest_s = max(slowest_s, time.monotonic() - began)
        assert slowest_s < 0.5
    assert await editor.diagnostics() == []


async def test_l9_no_key_in_any_message(daemon: DaemonProcess) -> None:
    secret = "sk-proj-Zz9canaryYy8Xx7Ww6Vv5"
    texts = [
        f"adapters: {{openai: {{api_key: {secret}}}}}\n",
        f"adapters: {{openai: {{api_key: [{secret}]}}}}\n",
        f"adapters: {{openai: {{api_key_env: {secret}, type: {secret}, {secret}: 1}}, {secret}: }}\n",
        f"adapters: {{openai: {secret}}}\nmodels: {{'{secret}': {{adapter: {secret}, aliases: [a], fallbacks: [{secret}]}}}}\n",
        f"adapters: {{openai: {{extra_headers: {{authorization: 'Bearer {secret}', x-key: {secret}}}}}}}\n",
        f"adapters: {{openai: }}\ndefault_model: {secret}\n",
        f"adapters:\n  openai:\n    api_key: {secret}\n   broken: '{secret}\n",
        f"{secret}: &a {secret}\nb: *{secret}\n",
    ]
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize(env={"OTHER_API_KEY": secret})
        for number, text in enumerate(texts):
            editor = Editor(peer, f"file:///{number}/models.yaml")
            editor.open(text)
            await editor.diagnostics()
            await editor.actions({"start": at(0, 0), "end": at(99, 0)})
            await editor.symbols()
            for line, written in enumerate(text.split("\n")):
                for character in range(len(written) + 1):
                    await editor.ask("hover", line, character)
                    if character % 5 == 0:
                        await editor.ask("completion", line, character)
        said = repr(peer.messages)
        assert secret not in said
        assert KEY not in said
        assert secret not in daemon.output()


# ---- which documents, the handshake, and what else a client may do


@pytest.mark.parametrize(
    ("uri", "language", "ours"),
    [
        ("file:///a/models.yaml", "yaml", True),
        ("file:///a/models.yml", "", True),
        ("file:///C%3A/a%20b/models.yaml", "yaml", True),
        ("untitled:Untitled-1", "modeld-models", True),
        ("file:///a/other.txt", "modeld", True),
        ("file:///a/other.yaml", "yaml", False),
        ("http://[::1/models.yaml", "yaml", False),
        ("", "yaml", False),
    ],
)
async def test_which_documents(editor: Editor, uri: str, language: str, ours: bool) -> None:
    document = Editor(editor.peer, uri)
    document.open("adapters: {}\n", language)
    assert ((await document.symbols()) is not None) is ours


async def test_the_daemons_own_config_has_any_name() -> None:
    async with DaemonProcess(CONFIG) as daemon:
        own = daemon.folder / "my own.yaml"
        own.write_text(CONFIG)
        await daemon.stop()
        daemon.env["MODELD_CONFIG"] = str(own)
        await daemon.start()
        editor = Editor(await daemon.peer(), own.as_uri())
        editor.open(CONFIG)
        assert await editor.diagnostics() == []
        assert len(await editor.symbols()) == 1


async def test_what_initialize_announces(daemon: DaemonProcess) -> None:
    async with await Peer.connect(daemon.socket) as peer:
        said = await initialize(peer)
        assert "positionEncoding" not in said
        assert said["textDocumentSync"] == {"openClose": True, "change": 2}
        for name in ("hover", "completion", "codeAction", "definition", "references", "documentSymbol", "rename"):
            assert said[f"{name}Provider"]


async def test_a_clients_own_keys_count_as_set(daemon: DaemonProcess) -> None:
    text = "adapters: {openai: {api_key_env: MY_OWN_KEY}}\n"
    for env, codes in (({}, ["key_not_set"]), ({"MY_OWN_KEY": "x"}, [])):
        async with await Peer.connect(daemon.socket) as peer:
            await peer.initialize(env=env)
            editor = Editor(peer)
            editor.open(text)
            assert [one["code"] for one in await editor.diagnostics()] == codes


async def test_actions_and_rename_are_edits_that_fit(editor: Editor) -> None:
    editor.open("adapters:\n  openai: {ty: openai, api_key_env: MODELD_TEST_KEY}\nmodels:\n  openai:a: {adapter: openai}\n")
    await editor.diagnostics()
    found = await editor.actions(spot(1, 11, 13))
    assert found[0]["title"] == "Change to 'type'"
    assert found[0]["isPreferred"] is True
    assert found[0]["edit"] == {"changes": {editor.uri: [{"range": spot(1, 11, 13), "newText": "type"}]}}
    assert found[0]["diagnostics"] == [one for one in await editor.diagnostics() if one["code"] == "unknown_field"]
    assert await editor.actions(spot(0, 0, 2)) == []
    assert await editor.actions(spot(1, 11, 13), only=["refactor"]) == []
    edit = await editor.ask("rename", 3, 25, newName="work")
    assert [one["range"] for one in edit["changes"][editor.uri]] == [spot(1, 2, 8), spot(3, 22, 28)]
    refused = await editor.peer.call(
        "textDocument/rename", {"textDocument": {"uri": editor.uri}, "position": at(3, 25), "newName": "a b"}
    )
    assert refused.error["code"] == -32602
    assert "choose another" in refused.error["message"]


async def test_a_cancelled_request_leaves_the_others_their_answer(editor: Editor) -> None:
    lines = "".join(f"  openai:m{number}: {{adapter: openai}}\n" for number in range(1_000))
    editor.open(f"adapters:\n  openai: {{api_key_env: MODELD_TEST_KEY}}\nmodels:\n{lines}")
    params = {"textDocument": {"uri": editor.uri}, "position": at(1, 4)}
    first = editor.peer.request("textDocument/hover", params)
    second = editor.peer.request("textDocument/hover", params)
    editor.peer.cancel(first)
    assert (await editor.peer.reply(first)).error["code"] == -32800
    assert (await editor.peer.reply(second)).ok() is not None
