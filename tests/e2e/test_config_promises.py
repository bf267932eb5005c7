"""Promises I: the config file, from outside: `--check-config`, start, reload while running, and what is never shown."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.checks import check_stream
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
FILE_KEY = "sk-plain-canary-51d0c8a7e2b94f63"
FINDING = re.compile(r"^(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?P<severity>error|warning): (?P<message>.+)$")
EFFECT_S = 1.0  # a change is in force after so long, by promise


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def place(tmp_path: Path) -> DaemonProcess:
    """A daemon that isn't started: its config, environment and commands."""
    return DaemonProcess("", folder=tmp_path)


async def checked(place: DaemonProcess, text: str | bytes, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `--check-config` on a file with this text."""
    place.config.write_bytes(text.encode() if isinstance(text, str) else text)
    code, out, err = await place.run("--check-config", str(place.config), *arguments, timeout_s=10)
    assert "Traceback" not in out + err
    return code, out + err


PLAIN = models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", ["m"])
GOOD = {
    "block style": "adapters:\n  openai:\n    api_key_env: MODELD_TEST_KEY\nmodels:\n  openai:m: {adapter: openai}\n",
    "documented": """\
adapters:
  anthropic: {type: anthropic, api_key_env: MODELD_TEST_KEY, base_url: https://api.anthropic.com,
    timeout_seconds: 600, max_retries: 2}
  local:     {type: openai-compatible, base_url: http://127.0.0.1:8080/v1}
  openai:    {api_key_env: MODELD_TEST_KEY}
models:
  anthropic:claude-sonnet-4-6: {adapter: anthropic, wire_name: claude-sonnet-4-6, tier: balanced, can_delegate: true,
    aliases: [sonnet, balanced], fallbacks: [openai:gpt-5]}
  openai:gpt-5: {adapter: openai}
  local:m: {adapter: local}
default_model: sonnet
""",
    "JSON": PLAIN,
    "JSON in one line": json.dumps(json.loads(PLAIN)),
    "compact JSON": json.dumps(json.loads(PLAIN), separators=(",", ":")),
    "CRLF": "adapters:\r\n  openai:\r\n    api_key_env: MODELD_TEST_KEY\r\n",
    "byte order mark": "\ufeffadapters: {openai: {api_key_env: MODELD_TEST_KEY}}\n",
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_good_file(place: DaemonProcess, name: str) -> None:
    code, output = await checked(place, GOOD[name])
    assert code == 0, output
    assert ": error:" not in output
    assert ": warning:" not in output


MISTAKES = [
    ("adapters: {openai: }\nmodles: {}\n", 2, 1, "modles"),
    ("adapters:\n  openai: {max_retrys: 1}\n", 2, 12, "max_retries"),
    ("adapters:\n  mine: {type: nobody}\n", 2, 16, "nobody"),
    ("adapters:\n  mine: {max_retries: 1}\n", 2, 3, "type"),
    ("adapters:\n  openai:\n    timeout_seconds: soon\n", 3, 22, "timeout_seconds"),
    ("adapters:\n  openai:\n    max_retries: -1\n", 3, 18, "max_retries"),
    ("adapters:\n  openai:\n    base_url: not a url\n", 3, 15, "base_url"),
    ("adapters:\n  openai:\n    base_url: ftp://host\n", 3, 15, "https"),
    ("adapters:\n  openai: {api_key_env: [x]}\n", 2, 25, "api_key_env"),
    ("adapters: {openai: }\nmodels:\n  openai:m: {adapter: opnai}\n", 3, 23, "openai"),
    ("adapters: {openai: }\nmodels:\n  openai:m: {}\n", 3, 3, "adapter"),
    ("adapters: {openai: }\nmodels:\n  m: {adapter: openai}\n", 3, 3, "provider:name"),
    ("adapters: {openai: }\nmodels:\n  openai:m: {adapter: openai, tier: 7}\n", 3, 37, "tier"),
    ("adapters: {openai: }\nmodels:\n  openai:m: {adapter: openai, aliases: x}\n", 3, 40, "aliases"),
    ("adapters: {openai: }\nmodels:\n  openai:m: {adapter: openai, fallbacks: [gone]}\n", 3, 43, "gone"),
    ("adapters: {openai: }\nmodels:\n  openai:m: {adapter: openai}\ndefault_model: gone\n", 4, 16, "gone"),
    ("adapters: {openai: }\nadapters: {}\n", 2, 1, "twice"),
    ("adapters:\n  openai: {\n", 3, 1, "YAML"),
    ("adapters:\n\topenai:\n", 2, 1, "tab"),
    (
        "adapters: {openai: }\nmodels:\n  a:a: {adapter: openai, aliases: [x]}\n  a:b: {adapter: openai, aliases: [x]}\n",
        4,
        36,
        "x",
    ),
    ("[]\n", 1, 1, "mapping"),
    ("adapters: 5\n", 1, 11, "mapping"),
    ("- adapters\n", 1, 1, "mapping"),
]


@pytest.mark.parametrize(("text", "line", "column", "word"), MISTAKES)
async def test_each_mistake_has_its_place(place: DaemonProcess, text: str, line: int, column: int, word: str) -> None:
    code, output = await checked(place, text)
    assert code == 1
    errors = [found for one in output.splitlines() if (found := FINDING.match(one)) and found["severity"] == "error"]
    places = [(found["file"], int(found["line"]), int(found["column"])) for found in errors]
    assert places == [(str(place.config), line, column)], output
    assert word in errors[0]["message"]


async def test_a_missing_key_is_a_warning(place: DaemonProcess) -> None:
    code, output = await checked(place, "adapters:\n  openai: {api_key_env: NOT_SET_ANYWHERE_KEY}\n")
    assert code == 0
    finding = FINDING.match(output.splitlines()[0])
    assert finding is not None
    assert (finding["severity"], finding["line"]) == ("warning", "2")
    assert "NOT_SET_ANYWHERE_KEY" in finding["message"]


async def test_a_plaintext_key_is_a_warning_that_keeps_it(place: DaemonProcess) -> None:
    config = models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", ["m"], api_key=FILE_KEY, api_key_env=None)
    for arguments in ((), ("--json",)):
        code, output = await checked(place, config, *arguments)
        assert code == 0
        assert "warning" in output
        assert "api_key" in output
        assert FILE_KEY not in output
        assert FILE_KEY[8:20] not in output


BOMBS: dict[str, bytes] = {
    "flow lists": b"[" * 100_000,
    "flow lists, closed": b"adapters: " + b"[" * 100_000 + b"]" * 100_000,
    "flow mappings": b"{a: " * 50_000,
    "block mappings": b"".join(b" " * depth + b"a:\n" for depth in range(2_000)),
    "block lists": b"- " * 100_000 + b"x",
    "explicit keys": b"? " * 100_000,
    "aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%b]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 117)),
    "merge": b"adapters: &a {openai: }\nmodels: {<<: *a}\n",
    "self alias": b"adapters: &a {b: *a}\n",
    "a million keys": b"adapters:\n" + b"".join(b"  k%d: {type: openai}\n" % n for n in range(60_000)),
    "too large": b"# " + b"x" * (5 * 1024 * 1024),
    "binary": bytes(range(256)) * 40,
    "NUL": b"adapters: {openai: }\x00\n",
    "not UTF-8": b"adapters: {openai: } # \xff\xfe\n",
    "latin-1": "adapters: {openai: } # Schlüssel\n".encode("latin-1"),
    "UTF-16": "adapters: {openai: }\n".encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00" + os.urandom(500),
    "empty": b"",
    "comments": b"# nothing here\n\n",
    "one null": b"null\n",
    "python": b"adapters: !!python/object/apply:os.system ['true']\n",
    "two documents": b"adapters: {openai: }\n---\nadapters: {openai: }\n",
}


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_told_and_harm_nothing(place: DaemonProcess, name: str) -> None:
    began = time.monotonic()
    code, output = await checked(place, BOMBS[name])
    assert code == 1
    assert any(FINDING.match(line) for line in output.splitlines()), output[:500]
    assert time.monotonic() - began < 6
    assert len(output) < 300_000


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "device", "loop", "below a file", "NUL", "socket"])
async def test_what_is_no_file(place: DaemonProcess, kind: str) -> None:
    path = str(place.folder / "there")
    if kind == "directory":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/zero"
    elif kind == "loop":
        os.symlink(path, path)
    elif kind == "below a file":
        path = f"{place.config}/models.yaml"
    elif kind == "NUL":
        path = f"{path}\n\x01"
    elif kind == "socket":
        _bind(path)
    for arguments in ((path,), (path, "--json")):
        code, out, err = await place.run("--check-config", *arguments, timeout_s=10)
        assert code == 1
        assert (out + err).strip()
        assert "Traceback" not in out + err


def _bind(path: str) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


BROKEN = """\
adapters:
  openai: {api_key_env: MODELD_TEST_KEY, timeout_seconds: soon, max_retries: 99}
  mine: {type: nobody}
modles: {}
models:
  openai:m: {adapter: nothing, tier: 5}
default_model: gone
"""


async def test_all_problems_at_once_for_people_and_machines(place: DaemonProcess) -> None:
    code, output = await checked(place, BROKEN)
    assert code == 1
    lines = [FINDING.match(line) for line in output.splitlines()]
    found = [(int(one["line"]), int(one["column"])) for one in lines if one and one["severity"] == "error"]
    assert found == [(2, 59), (2, 78), (3, 16), (4, 1), (6, 23), (6, 38), (7, 16)]
    code, output = await checked(place, BROKEN, "--json")
    assert code == 1
    result = json.loads(output)
    assert result["valid"] is False
    errors = [problem for problem in result["problems"] if problem["severity"] == "error"]
    assert [(problem["line"], problem["column"]) for problem in errors] == found
    for problem in result["problems"]:
        assert problem["severity"] in ("error", "warning")
        assert problem["message"]
        assert problem["file"] == str(place.config)
        assert (problem["end_line"], problem["end_column"]) >= (problem["line"], problem["column"])


@pytest.mark.parametrize("order", ["--check-config --json FILE", "--json --check-config FILE", "--check-config FILE --json"])
async def test_json_in_any_order_of_the_words(place: DaemonProcess, order: str) -> None:
    place.config.write_text(GOOD["JSON"])
    code, out, _ = await place.run(*(str(place.config) if word == "FILE" else word for word in order.split()))
    assert code == 0
    assert json.loads(out) == {"valid": True, "problems": []}


@pytest.mark.parametrize("named", ["--config", "MODELD_CONFIG"])
async def test_the_file_may_be_named_as_for_the_daemon(place: DaemonProcess, named: str) -> None:
    place.config.write_text(BROKEN)
    if named == "--config":
        place.env.pop("MODELD_CONFIG")
    arguments = ("--config", str(place.config)) if named == "--config" else ()
    code, out, _ = await place.run("--check-config", *arguments)
    assert code == 1
    assert out.startswith(f"{place.config}:2:59: error:")


@pytest.mark.parametrize("text", [BROKEN, "[" * 100_000, "", b"\xff\xfe\x00"])
async def test_the_daemon_does_not_start_on_a_broken_config(place: DaemonProcess, text: str | bytes) -> None:
    place.config.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = await place.run(timeout_s=10)
    assert code == 1
    assert out == ""
    assert FINDING.match(err.splitlines()[0])
    assert err.splitlines()[-1].startswith("modeld: the config has errors")
    assert "Traceback" not in err
    assert not place.socket.exists()


async def test_the_daemon_does_not_start_on_a_named_config_that_is_missing(place: DaemonProcess) -> None:
    place.config.unlink()
    code, _, err = await place.run(timeout_s=10)
    assert code == 1
    assert str(place.config) in err


# ---- while it runs


class Running:
    """A daemon, a client that listens, and the config that it runs on."""

    def __init__(self, daemon: DaemonProcess, peer: Peer, simulator: Simulator) -> None:
        self.daemon = daemon
        self.peer = peer
        self._simulator = simulator

    def text(self, *models: str, **adapter: Any) -> str:
        return models_yaml(self._simulator.base_url, self._simulator.openai_base_url, list(models), **adapter)

    def write(self, text: str) -> None:
        self.daemon.config.write_text(text)

    def replace(self, text: str) -> None:
        """As most editors do it."""
        fresh = self.daemon.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.daemon.config)

    async def models(self) -> list[str]:
        return [model["id"] for model in (await self.peer.call("model/list")).ok()["models"]]

    async def until_models(self, *models: str, within_s: float = EFFECT_S) -> None:
        wanted = [f"{name}:{model}" for name in ("anthropic", "openai") for model in models]
        began = time.monotonic()
        while await self.models() != wanted:
            assert time.monotonic() - began < within_s, f"not in force after {within_s} s"
            await asyncio.sleep(0.01)

    async def changed(self, *, applied: bool, after: int = 0) -> Any:
        """The next config/changed beyond the first `after`."""
        await self.peer.until(lambda: len(self.peer.notifications("config/changed")) > after, 5)
        change = self.peer.notifications("config/changed")[after]
        assert change["applied"] is applied
        return change


@pytest.fixture
async def running(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Running]:
    config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text", "sim-slow-60"])
    async with DaemonProcess(config, folder=tmp_path) as daemon:
        yield Running(daemon, await daemon.peer(), simulator)


@pytest.mark.parametrize("how", ["write", "replace"])
async def test_a_valid_change_is_in_force_within_a_second(running: Running, how: str) -> None:
    other = await running.daemon.peer()
    await running.until_models("sim-text", "sim-slow-60")
    getattr(running, how)(running.text("sim-text", "sim-slow-60", "sim-echo"))
    await running.until_models("sim-text", "sim-slow-60", "sim-echo")
    first = await running.changed(applied=True)
    getattr(running, how)(running.text("sim-text"))
    await running.until_models("sim-text")
    assert (await running.changed(applied=True, after=1))["version"] > first["version"]
    await other.until(lambda: len(other.notifications("config/changed")) == 2)
    gone = await running.peer.call("model/complete", {"model": "openai:sim-echo", "messages": "x"})
    assert gone.data["error_class"] == "model_not_found"
    (await running.peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()


async def test_an_invalid_change_keeps_what_was(running: Running) -> None:
    running.write(BROKEN)
    change = await running.changed(applied=False)
    first = change["problems"][0]
    assert (first["line"], first["column"], first["severity"]) == (2, 59, "error")
    assert first["message"]
    await running.until_models("sim-text", "sim-slow-60")
    (await running.peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
    status = (await running.peer.call("daemon/status")).ok()
    assert status["config_valid"] is False
    assert (await running.peer.call("config/get")).ok()["problems"] == change["problems"]
    reloaded = (await running.peer.call("config/reload")).ok()
    assert (reloaded["applied"], reloaded["problems"]) == (False, change["problems"])
    running.write(running.text("sim-echo"))
    await running.until_models("sim-echo")
    assert (await running.changed(applied=True, after=1))["problems"] == []
    assert (await running.peer.call("daemon/status")).ok()["config_valid"] is True


async def test_a_reload_does_not_disturb_a_stream(running: Running) -> None:
    asked = {"model": "openai:sim-slow-60", "messages": "x", "request_id": "slow"}
    number = running.peer.request("model/stream", asked)
    await running.peer.until(lambda: len(running.peer.events("slow")) > 2)
    running.write(running.text("sim-echo", max_retries=0, timeout_seconds=1))
    await running.until_models("sim-echo")
    running.write("{")
    await running.changed(applied=False, after=1)
    assert not running.peer.replies(number)
    check_stream(await running.peer.reply(number, request_id="slow"), "end_turn")


async def test_a_deleted_file_keeps_what_was(running: Running) -> None:
    running.daemon.config.unlink()
    change = await running.changed(applied=False)
    assert "no such file" in change["problems"][0]["message"]
    await running.until_models("sim-text", "sim-slow-60")
    running.write(running.text("sim-echo"))
    await running.until_models("sim-echo", within_s=3)


@pytest.mark.parametrize("how", ["write", "replace"])
async def test_the_last_of_many_quick_writes_wins(running: Running, how: str) -> None:
    for number in range(30):
        getattr(running, how)(running.text(f"model-{number}") if number % 3 else "adapters: [")
        await asyncio.sleep(0.005 * (number % 4))
    getattr(running, how)(running.text("model-last"))
    await running.until_models("model-last")
    await asyncio.sleep(0.3)
    await running.until_models("model-last")
    assert (await running.peer.call("config/get")).ok()["problems"] == []


async def test_reload_and_check_answer(running: Running) -> None:
    running.write(running.text("sim-echo"))
    result = (await running.peer.call("config/reload")).ok()
    assert result["applied"] is True
    assert await running.models() == ["anthropic:sim-echo", "openai:sim-echo"]
    assert (await running.peer.call("config/check")).ok() == {"valid": True, "problems": []}
    found = (await running.peer.call("config/check", {"text": BROKEN})).ok()
    assert found["valid"] is False
    assert [problem["line"] for problem in found["problems"] if problem["severity"] == "error"] == [2, 2, 3, 4, 6, 6, 7]
    other = running.daemon.folder / "other.yaml"
    other.write_text("adapters: {openai: {max_retries: x}}\n")
    found = (await running.peer.call("config/check", {"file": str(other)})).ok()
    assert [(problem["file"], problem["line"]) for problem in found["problems"] if problem["severity"] == "error"] == [
        (str(other), 1)
    ]
    for file in ("/nowhere/at/all.yaml", str(running.daemon.folder), "\x00"):
        assert (await running.peer.call("config/check", {"file": file})).ok()["valid"] is False


async def test_a_key_in_the_file_that_changes_is_used_for_the_next_call(running: Running, simulator: Simulator) -> None:
    simulator.reset()
    for key in ("sk-first-1234567890abcdef", "sk-second-1234567890abcdef"):
        running.write(running.text("sim-text", api_key=key, api_key_env=None))
        (await running.peer.call("config/reload")).ok()
        (await running.peer.call("model/complete", {"model": "anthropic:sim-text", "messages": "x"})).ok()
        assert simulator.requests[-1].header("x-api-key") == key
    assert "sk-first" not in running.daemon.output() + json.dumps(running.peer.messages)


@pytest.mark.parametrize("source", ["environment", "file"])
async def test_no_key_is_ever_shown(simulator: Simulator, tmp_path: Path, source: str) -> None:
    fields = {} if source == "environment" else {"api_key": FILE_KEY, "api_key_env": None}
    config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"], **fields)
    async with DaemonProcess(config, "--log-level", "debug", folder=tmp_path) as daemon:
        peer = await daemon.peer()
        for method in ("config/get", "config/check", "config/reload", "daemon/status", "model/list", "provider/list"):
            (await peer.call(method)).ok()
        daemon.config.write_text(config.replace('"max_retries": 2', '"max_retries": 1'))
        await peer.until(lambda: peer.notifications("config/changed"))
        shown = [json.dumps(peer.messages), daemon.output()]
        commands = ("status", "status --json", "models", "models --json", "doctor", "doctor --json", "--check-config")
        for command in commands:
            code, out, err = await daemon.run(*command.split())
            assert code == 0, (command, out, err)
            shown += [out, err]
    for text in shown:
        assert KEY not in text
        assert FILE_KEY not in text
        assert KEY[10:26] not in text
        assert FILE_KEY[10:26] not in text


@pytest.mark.parametrize(
    ("streams", "reloads"), [(20, 30), pytest.param(200, 100, marks=pytest.mark.nightly)], ids=["quick", "nightly"]
)
async def test_reloads_under_load(running: Running, streams: int, reloads: int) -> None:
    asked = {"model": "openai:sim-slow-60", "messages": "x"}
    peers = [await running.daemon.peer() for _ in range(4)]
    ids = [
        (peer, peer.request("model/stream", {**asked, "request_id": f"s{n}"}), f"s{n}")
        for n in range(streams // 4)
        for peer in peers
    ]
    for number in range(reloads):
        running.write(running.text("sim-slow-60", f"model-{number}") if number % 3 else BROKEN)
        await asyncio.sleep(0.01)
    running.write(running.text("sim-slow-60", "model-last"))
    await running.until_models("sim-slow-60", "model-last")
    for peer, number, request_id in ids:
        check_stream(await peer.reply(number, 30, request_id), "end_turn")


@pytest.mark.nightly
async def test_a_thousand_reloads_leak_nothing(running: Running) -> None:
    memory: list[int] = []
    for number in range(1_000):
        running.write(running.text("sim-text", f"model-{number}") if number % 3 else BROKEN)
        result = (await running.peer.call("config/reload")).ok()
        assert result["applied"] is bool(number % 3)
        if number % 100 == 0:
            (await running.peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
            memory.append(running.daemon.rss_bytes())
        running.peer.messages.clear()
    assert memory[-1] - memory[4] < 1024 * 1024
