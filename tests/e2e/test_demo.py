"""`modeld demo` as a user runs it: every scene, no key, no network, nothing left behind; and what it says when it fails."""

import asyncio
import os
import pty
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from modeld.cli.demo import command, provider
from modeld.cli.demo.audience import Check, PlainAudience
from modeld.cli.demo.bill import Bill
from modeld.cli.demo.scenes import SCENES
from modeld.cli.demo.stage import text_of
from modeld_protocol.content import TextBlock
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Cost, Metrics, Usage

pytestmark = pytest.mark.anyio

HEADINGS = [scene.title.heading for scene in SCENES]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """No keys, no settings; temporary files where they can be counted."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and not name.startswith("MODELD_")}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**kept, "PYTHONPATH": paths, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), **more}


async def start(tmp_path: Path, *arguments: str, **more: Any) -> asyncio.subprocess.Process:
    env = environment(tmp_path, **more)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modeld", "demo", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )


def left_behind(tmp_path: Path) -> list[str]:
    """Folders, and processes that name them."""
    found = [str(path) for path in tmp_path.glob("modeld-demo-*")]
    for entry in Path("/proc").glob("[0-9]*/cmdline") if Path("/proc").is_dir() else ():
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if f"{tmp_path}/modeld-demo-" in line:
            found.append(line)
    return found


def without_times(text: str) -> str:
    text = re.sub(r"\d+\.\d+ ms", "N ms", text)
    return re.sub(r"^the daemon: .*$", "the daemon: …", text, flags=re.MULTILINE)


async def test_the_demo_shows_everything_quickly_and_leaves_nothing(tmp_path):
    began = time.monotonic()
    first = await start(tmp_path, "--plain", "--fast")
    out, err = await asyncio.wait_for(first.communicate(), 30)
    text = out.decode()
    assert (first.returncode, err) == (0, b""), text
    assert time.monotonic() - began < 15
    assert [line.partition("] ")[2] for line in text.splitlines() if line.startswith("[")] == HEADINGS
    assert "FAILED" not in text
    for words in (
        "text (43 pieces): Every editor",
        "thinking (34 pieces)",
        "calls read_file",
        "HTTP 429",
        "cancelled",
        "saved",
        "sees the agent's turn",
        "preview: ",
    ):
        assert words in text
    for words in (
        "modeld ask",
        "modeld chat",
        "modeld models",
        "modeld simulate",
        "modeld usage",
        "No key is set",
        "models.yaml",
    ):
        assert words in text
    assert not left_behind(tmp_path)
    second = await start(tmp_path, "--fast")  # no terminal: plain lines too, and the same ones
    again, _ = await asyncio.wait_for(second.communicate(), 30)
    assert without_times(again.decode()) == without_times(text)


async def test_keys_that_are_there_are_named_and_never_shown_or_used(tmp_path):
    process = await start(tmp_path, "--plain", "--fast", OPENAI_API_KEY="sk-canary-1f0e")
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b"OPENAI_API_KEY is set: `modeld ask -p openai hi` uses it." in out
    assert b"sk-canary" not in out + err


async def test_a_reader_who_leaves_ends_it_quietly(tmp_path):
    process = await start(tmp_path, "--plain", "--fast")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await process.stdout.readline()
        process.stdout._transport.close()  # type: ignore[attr-defined] # as `head` does
        assert process.stderr is not None
        err = await process.stderr.read()
        await process.wait()
    assert err == b""
    assert not left_behind(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
async def test_an_interrupted_demo_cleans_up(tmp_path, number, code):
    process = await start(tmp_path, "--plain", "--fast")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while not (await process.stdout.readline()).startswith(b"[1/"):
            pass
    assert left_behind(tmp_path)
    process.send_signal(number)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, b"Traceback" in err) == (code, False)
    assert not left_behind(tmp_path)


async def test_on_a_terminal_it_is_a_live_picture_of_two_clients(tmp_path):
    master, slave = pty.openpty()
    _set_size(slave, 30, 100)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modeld", "demo", "--fast"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(tmp_path, TERM="xterm-256color", NO_COLOR="1", COLUMNS="100", LINES="30"),
    )
    os.close(slave)
    text = await asyncio.wait_for(asyncio.to_thread(_read_all, master), 30)
    assert await process.wait() == 0
    assert "\x1b[3" not in text.replace("\x1b[3m", "")  # NO_COLOR: bold and italic, but no colours
    assert text.count("\x1b[?25h") >= 1  # the cursor is back
    text = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", text)
    assert "Everything did what it should." in text
    frames = text.count("modeld  ")
    assert frames > 10
    assert re.search(r"╭─ editor sim-anthropic:writer ─+╮╭─ agent sim-openai:coder ─+╮", text)
    assert "✓ streams  ✓ thinking  ✓ tools  ✓ session  ✓ handoff  ✓ cancel  ✓ retry  ✓ error  ✓ costs" in text


def _set_size(terminal: int, lines: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def _read_all(master: int) -> str:
    pieces: list[bytes] = []
    while True:
        try:
            data = os.read(master, 65_536)
        except OSError:
            data = b""
        if not data:
            os.close(master)
            return b"".join(pieces).decode("utf-8", "replace")
        pieces.append(data)


async def test_the_picture_needs_nothing_from_elsewhere(tmp_path):
    process = await start(tmp_path, "--svg", str(tmp_path / "demo.svg"))
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    svg = (tmp_path / "demo.svg").read_text()
    assert len(svg) < 60_000
    assert "sim-anthropic:writer" in svg
    assert "✗&#160;error&#160;network" in svg
    assert set(re.findall(r"https?://[^\s\"<)]+", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert "@font-face" not in svg


# ---- it tells when something is wrong


class Watching(PlainAudience):
    """A plain audience that keeps the verdicts."""

    def __init__(self, out: Any) -> None:
        super().__init__(out)
        self.verdicts: list[list[Check]] = []

    def judged(self, checks: list[Check]) -> None:
        self.verdicts.append(checks)
        super().judged(checks)


BROKEN = [
    (provider.WHY, {"fault": {"name": "close_mid_stream", "after": 2}}, "streams"),
    (provider.FIRST, {"steps": ["No thought at all."]}, "thinking"),
    (provider.READ, {"steps": ["I would rather not."]}, "tools"),
    (provider.PLAN, {"steps": [], "fault": {"name": "server_error", "status": 500, "times": 0}}, "session"),
    (provider.PUZZLE, {"steps": ["No thought at all."]}, "handoff"),
    (provider.RECITE, {"steps": ["Too short to leave."]}, "cancel"),
    (provider.BUSY, {"fault": {"name": "rate_limit", "retry_after": 0.01, "times": 0}}, "retry"),
    (provider.CUT, {"fault": None}, "error"),
]


@pytest.mark.parametrize(("question", "changes", "scene"), BROKEN)
async def test_a_scene_that_goes_wrong_is_named_and_the_rest_is_played(monkeypatch, question, changes, scene, capsys):
    import msgspec

    scripted = provider.scenario

    def broken(pace_ms: float, retry_after_s: float) -> Any:
        made = scripted(pace_ms, retry_after_s)
        rules = [
            msgspec.structs.replace(rule, script=msgspec.structs.replace(rule.script, **changes))
            if rule.text == question
            else rule
            for rule in made.rules
        ]
        return msgspec.structs.replace(made, rules=rules)

    monkeypatch.setattr(provider, "scenario", broken)
    audience = Watching(sys.stdout)
    failed = await command._play(audience, command.FAST)
    assert failed
    assert {line.partition(":")[0] for line in failed} == {scene}
    assert len(audience.verdicts) == len(SCENES)
    assert "FAILED |" in capsys.readouterr().out


# ---- the bill


def answered(model: str, usage: Usage, total: float, saved: float) -> CanonicalResponse:
    cost = Cost("USD", 0, 0, 0, 0, total, saved, "configured", "v")
    return CanonicalResponse("r", model, "p", [TextBlock("Hi"), TextBlock("!")], "end_turn", usage, cost, Metrics(1, 1), [])


def test_the_bill_sums_by_client_and_model():
    bill = Bill()
    bill.add("editor", "p:a", answered("p:a", Usage(10, 2, 100, 1_000), 0.5, 0.25))
    bill.add("editor", "p:a", answered("p:a", Usage(20, 3), 0.25, 0))
    bill.add("agent", "p:b", answered("p:b", Usage(1, 1), 0.001, 0))
    bill.add("agent", "p:b", None)
    assert [line.cells() for line in bill.lines()] == [
        ["editor", "p:a", "2", "1k", "5", "100", "$0.75", "$0.25"],
        ["agent", "p:b", "2", "1", "1", "0", "$0.001", "$0"],
    ]
    assert bill.total().cells() == ["total", "", "4", "1k", "6", "100", "$0.75", "$0.25"]
    assert text_of(answered("p:a", Usage(), 0, 0)) == "Hi!"
