"""What is written down of requests and answers on request: what it holds, what it never holds, how much of it there is."""

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import MODELS, WIRES, World
from tests.harness import canary, sessions
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer

pytestmark = pytest.mark.anyio
PROMPT = "canary-prompt-4b1f77"
HEADER = "tenant-canary-5512aa99"


@asynccontextmanager
async def writing(world: World, *arguments: str, **env: str) -> AsyncIterator[tuple[DaemonProcess, Peer]]:
    headers = {"extra_headers": {"x-tenant": HEADER}}
    config = models_yaml(world.simulator.base_url, world.simulator.openai_base_url, MODELS, **headers)
    async with DaemonProcess(config, *arguments, "--log-level", "debug", env=env) as daemon:
        yield daemon, await daemon.peer()


async def entries(daemon: DaemonProcess, folder: Path) -> list[dict[str, Any]]:
    """What was written by the time that the daemon has left, oldest first."""
    for peer in daemon.peers:
        await peer.close()
    daemon.peers.clear()
    await daemon.stop()
    return [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]


async def ask(peer: Peer, model: str, method: str = "model/stream", **more: Any) -> Any:
    return await peer.call(method, {"model": model, "messages": PROMPT, **more}, 30)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", ["model/stream", "model/complete"])
async def test_a_call_is_a_file_without_keys(world: World, tmp_path: Path, wire: str, method: str) -> None:
    folder = tmp_path / "a" / "artefacts"
    async with writing(world, "--artefacts", str(folder)) as (daemon, peer):
        result = (await ask(peer, f"{wire}:sim-text", method, request_id="r-1/../x")).ok()
        (written,) = await entries(daemon, folder)
        (file,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert str(folder) in daemon.output()
        assert "WRITES DOWN" in daemon.output()
    assert (written["request_id"], written["retry_count"], written["provider"]) == ("r-1/../x", 0, wire)
    assert written["client"]
    assert PROMPT in written["request"]["body"]
    assert written["request"]["method"] == "POST"
    assert written["response"]["status"] == 200
    assert result["content"][0]["text"][:4] in written["response"]["body"]
    assert written["response"]["body_bytes"] > 0
    assert not canary.find([KEY, HEADER], json.dumps(written))
    assert not canary.find([KEY, PROMPT], daemon.output())


async def test_every_attempt_has_its_file(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "artefacts"
    async with writing(world, MODELD_ARTEFACTS=str(folder)) as (daemon, peer):
        (await ask(peer, "openai:sim-fault-server_error-1-503", request_id="r-a")).ok()
        await ask(peer, "anthropic:sim-fault-echo_key", request_id="r-b")
        await ask(peer, "openai:sim-fault-reset_mid_stream", request_id="r-c")
        number = peer.request("model/stream", {"model": "openai:sim-fault-hang_mid_stream", "messages": "x", "request_id": "r-d"})
        await peer.until(lambda: peer.events("r-d"))
        peer.cancel(number)
        await peer.reply(number)
        written = await entries(daemon, folder)
        output = daemon.output()
    said = [(one["request_id"], one["retry_count"], one["response"]["status"], one.get("problem")) for one in written]
    assert said == [
        ("r-a", 0, 503, None),
        ("r-a", 1, 200, None),
        ("r-b", 0, 401, None),
        ("r-c", 0, 200, "reset"),
        ("r-d", 0, 200, "CancelledError"),
    ]
    assert not canary.find([KEY, HEADER], json.dumps(written), output)


REASONING = ("anthropic:sim-thinking", "openai:sim-thinking", "anthropic:sim-thinking-tool")


@pytest.mark.parametrize("model", REASONING)
@pytest.mark.parametrize("method", ["model/stream", "model/complete"])
@pytest.mark.parametrize("asked", [False, True])
async def test_reasoning_is_left_out_unless_it_is_asked_for(
    world: World, tmp_path: Path, model: str, method: str, asked: bool
) -> None:
    folder = tmp_path / "artefacts"
    knobs = {"MODELD_DEBUG": "thinking"} if asked else {}
    async with writing(world, "--artefacts", str(folder), **knobs) as (daemon, peer):
        answer = (await ask(peer, model, method)).ok()
        thoughts = [block["text"] for block in answer["content"] if block["type"] == "thinking"]
        history = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [b for b in answer["content"] if b["type"] != "tool_use"]},
        ]
        (await peer.call("model/complete", {"model": model, "messages": [*history, {"role": "user", "content": "y"}]})).ok()
        first, second = await entries(daemon, folder)
        words = {word.strip(",.") for text in thoughts for word in text.split() if len(word) > 4} & {"wants", "enough", "short"}
        assert words
        said = json.dumps([first["response"]["body"], second["request"]["body"]])
        assert bool([word for word in words if word in said and word not in str(answer["content"][-1])]) is asked


@pytest.mark.parametrize(
    ("knobs", "request_body", "response_body"),
    [("raw_requests", True, False), ("raw_responses", False, True), ("no_raw_requests,no_raw_responses,thinking", False, False)],
)
async def test_knobs_say_what_is_written(world: World, knobs: str, request_body: bool, response_body: bool) -> None:
    async with writing(world, "--debug", knobs) as (daemon, peer):
        (await ask(peer, "openai:sim-text")).ok()
        (written,) = await entries(daemon, daemon.state_dir / "artefacts")
        assert ("body" in written["request"], "body" in written["response"]) == (request_body, response_body)


async def test_bodies_are_bounded(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "artefacts"
    async with writing(world, "--artefacts", str(folder), "--debug", "max_content_length=500") as (daemon, peer):
        (await peer.call("model/stream", {"model": "openai:sim-long-200", "messages": "x" * 9_000 + PROMPT})).ok()
        (written,) = await entries(daemon, folder)
        assert len(written["request"]["body"]) == len(written["response"]["body"]) == 500
        assert written["request"]["body_bytes"] > 9_000


async def test_nothing_is_written_where_nobody_asked(world: World) -> None:
    async with writing(world) as (daemon, peer):
        for wire in WIRES:
            (await ask(peer, f"{wire}:sim-thinking")).ok()
        await ask(peer, "openai:sim-fault-auth")
        await daemon.stop()
        assert "WRITES DOWN" not in daemon.output()
        assert not canary.find([KEY, PROMPT], daemon.output(), daemon.state_dir)
        assert not [path for path in daemon.folder.rglob("*") if "artefact" in path.name]


@pytest.mark.parametrize("fault", ["open", "link", "file"])
async def test_a_directory_of_others_is_refused(world: World, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "artefacts"
    if fault == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif fault == "link":
        (tmp_path / "there").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "there")
    else:
        folder.write_text("x")
    config = models_yaml(world.simulator.base_url, world.simulator.openai_base_url, ["sim-text"])
    daemon = DaemonProcess(config, folder=tmp_path)
    code, _, err = await daemon.run("--artefacts", str(folder), timeout_s=9)
    assert code == 1
    assert str(folder) in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("knobs", "word"), [("everything", "token_usage"), ("max_content_length=0", "from 1"), ("redact=off", "always")]
)
async def test_a_wrong_knob_is_said(world: World, tmp_path: Path, knobs: str, word: str) -> None:
    daemon = DaemonProcess(models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", ["m"]), folder=tmp_path)
    code, _, err = await daemon.run("--debug", knobs, timeout_s=9)
    assert code == 2
    assert word in err


@pytest.mark.parametrize(
    ("knobs", "there", "absent"),
    [
        ("verbose", ("attempt started", "input_tokens", "cached_input_tokens"), ()),
        ("token_usage,no_cache", ("input_tokens",), ("cached_input_tokens", "attempt started")),
        ("retries", ('"will_retry":true',), ("attempt started",)),
        ("no_retries", (), ('"will_retry":true',)),
    ],
)
async def test_knobs_say_what_is_logged(world: World, knobs: str, there: tuple[str, ...], absent: tuple[str, ...]) -> None:
    config = models_yaml(world.simulator.base_url, world.simulator.openai_base_url, MODELS)
    async with DaemonProcess(config, env={"MODELD_DEBUG": knobs}) as daemon:
        peer = await daemon.peer()
        world.simulator.reset()
        (await ask(peer, "openai:sim-fault-server_error-1-503", request_id="r-log")).ok()
        session_id = await sessions.create(peer, "openai:sim-text")
        (await sessions.turn(peer, session_id, PROMPT)).ok()
        await daemon.stop()
        lines = [json.loads(line) for line in daemon.output().splitlines() if line.startswith("{")]
        output = daemon.output()
        assert not [word for word in there if word not in output]
        assert not [word for word in absent if word in output]
        calls = [line for line in lines if line["component"] == "runtime" and "retry_count" in line]
        assert all(line["client"] and line["request_id"] for line in calls)
        if "no_retries" not in knobs:
            assert any(line["request_id"] == "r-log" for line in calls)
            assert any(line.get("session_id") == session_id and line["turn_id"] for line in calls)
        assert not canary.find([KEY, PROMPT], output)
