"""Record through a daemon of its own against the simulator, replay it, get the same answer; and the key is nowhere."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import models_yaml

from modeld.builder import RuntimeBuilder
from modeld.cassettes.folder import read_cassettes
from modeld.cassettes.player import Player
from modeld.cli.record import run as record
from modeld.cli.replay import run as replay
from modeld.providers.failure import ProviderFailure
from modeld.simulator import Simulator
from modeld_protocol.response import CanonicalResponse

KEY = "sk-canary-record-0123456789abcdef"
MODELS = [
    "sim-text",
    "sim-tool",
    "sim-thinking",
    "sim-fault-echo_key",
    "sim-fault-rate_limit-1-0.01",
    "sim-fault-reset_mid_stream",
]
WIRES = ("anthropic", "openai")


@asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[Simulator]:
    """The simulator, and a models.yaml in `folder` that uses it."""
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)
        (folder / "models.yaml").write_text(config)
        yield simulator


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `record` in this process finds: the key, the config, the folder."""
    monkeypatch.setenv("MODELD_TEST_KEY", KEY)
    monkeypatch.setenv("MODELD_CONFIG", str(tmp_path / "models.yaml"))
    monkeypatch.chdir(tmp_path)


async def recorded(*arguments: str) -> int:
    """`modeld record` in a thread of this process."""
    return await asyncio.to_thread(record, arguments)


async def modeld(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """A command as a user would type it in `folder`: exit code, stdout, stderr."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and not name.startswith("MODELD_")}
    env |= {"MODELD_TEST_KEY": KEY, "HOME": str(folder), "MODELD_RUNTIME_DIR": str(folder / "run")}
    env["MODELD_CONFIG"] = str(folder / "models.yaml")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modeld", *arguments),
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def said(response: CanonicalResponse) -> Any:
    return (response.model, response.content, response.stop_reason, response.usage, response.served_model, response.cost)


def everything_in(folder: Path) -> str:
    return "".join(file.read_text("latin-1") for file in folder.rglob("*") if file.is_file())


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_prompt(tmp_path: Path, wire: str, capfd: pytest.CaptureFixture[str]) -> None:
    prompt = f"Mail jane.doe@corp.com what is in {Path('/home', 'janedoe')}"
    async with provider(tmp_path) as simulator:
        assert await recorded("--adapter", wire, "-m", f"{wire}:sim-thinking", prompt) == 0
        (sent,) = simulator.requests
        assert KEY in (sent.header("x-api-key") or sent.header("authorization") or "")
        assert b"jane.doe@corp.com" in sent.body  # the provider gets what the user said; only the cassette does not
    out, err = capfd.readouterr()
    (cassette,) = read_cassettes(tmp_path / "cassettes")
    assert cassette.name == f"{wire}/sim-thinking-stream"
    assert f"cassettes/{cassette.name}" in err
    text = everything_in(tmp_path / "cassettes")
    for private in (KEY, "canary", "jane.doe", "corp.com", "janedoe"):
        assert private not in text
    expected = cassette.expected
    assert expected is not None
    words = "".join(block["text"] for block in expected["response"]["content"] if block["type"] == "text")
    assert words == out.strip("\n")


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_replay_gives_the_same_answer(tmp_path: Path, wire: str) -> None:
    model, prompt = f"{wire}:sim-thinking", "Think about tides."
    async with provider(tmp_path):
        async with embedded(tmp_path / "models.yaml") as runtime:
            live = await answer(runtime, model, prompt)
        assert await recorded("--adapter", wire, "-m", model, prompt) == 0
    async with Player(read_cassettes(tmp_path / "cassettes"), speed=0) as player:
        (tmp_path / "replay.yaml").write_text(player.config_text())
        async with embedded(tmp_path / "replay.yaml") as runtime:
            again = await answer(runtime, model, prompt)
            assert said(again) == said(live)
            assert said(await answer(runtime, model, "Something else.")) == said(live)  # similar: the same model and manner
            with pytest.raises(ProviderFailure) as caught:
                await runtime.complete(model=model, messages=prompt)  # another manner
            assert "no cassette answers" in (caught.value.provider_message or "")


@asynccontextmanager
async def embedded(config: Path) -> AsyncIterator[Any]:
    async with RuntimeBuilder().with_env_fallback({"MODELD_TEST_KEY": KEY}).with_config_file(config).build() as runtime:
        yield runtime


async def answer(runtime: Any, model: str, prompt: str) -> CanonicalResponse:
    async with runtime.stream(model=model, messages=prompt) as stream:
        return await stream.response()


@pytest.mark.anyio
async def test_a_command_with_several_calls(tmp_path: Path) -> None:
    """What a program asks of modeld is recorded, call by call, retries and all, and the shared daemon is left alone."""
    program = tmp_path / "agent.py"
    program.write_text(
        "from modeld_client import Client\n"
        "with Client.connect(start=False) as client:\n"
        "    client.complete(model='openai:sim-text', messages='one')\n"
        "    client.complete(model='openai:sim-fault-rate_limit-1-0.01', messages='two')\n"
        "    with client.stream(model='openai:sim-tool', messages='three') as stream:\n"
        "        for event in stream: pass\n"
    )
    async with provider(tmp_path):
        code, _, err = await modeld(
            tmp_path, "record", "--adapter", "openai", "--case", "agent", "--json", "--", sys.executable, str(program)
        )
        assert code == 0, err
    cassettes = {cassette.case: cassette for cassette in read_cassettes(tmp_path / "cassettes" / "openai")}
    assert list(cassettes) == ["agent", "agent-2", "agent-3", "agent-4"]
    assert [cassette.response.status for cassette in cassettes.values()] == [200, 429, 200, 200]
    assert [cassette.request.stream for cassette in cassettes.values()] == [False, False, False, True]
    assert KEY not in everything_in(tmp_path / "cassettes")
    assert not (tmp_path / "run").exists()
    async with Player(cassettes.values(), speed=0) as player:
        (tmp_path / "replay.yaml").write_text(player.config_text())
        async with embedded(tmp_path / "replay.yaml") as runtime:
            response = await runtime.complete(model="openai:sim-fault-rate_limit-1-0.01", messages="two")
            assert response.metrics.attempts == 2  # first the failure, then the answer, as it was


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_key_that_the_provider_echoes(tmp_path: Path, wire: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with provider(tmp_path):
        assert await recorded("--adapter", wire, "-m", f"{wire}:sim-fault-echo_key", "Hello") == 1
    (cassette,) = read_cassettes(tmp_path / "cassettes")
    assert cassette.response.status >= 400
    assert b"[redacted]" in cassette.body or b"*" * 16 in cassette.body
    assert KEY not in everything_in(tmp_path / "cassettes") + "".join(capfd.readouterr())


@pytest.mark.anyio
async def test_a_stream_that_breaks_breaks_again(tmp_path: Path) -> None:
    async with provider(tmp_path):
        assert await recorded("--adapter", "openai", "-m", "openai:sim-fault-reset_mid_stream", "Hello") == 1
    cassettes = read_cassettes(tmp_path / "cassettes")
    assert cassettes
    assert {cassette.response.ending for cassette in cassettes} == {"cut"}
    assert cassettes[0].expected is not None
    assert cassettes[0].expected["failure"]["error_class"] == "network"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--adapter", "nobody", "Hello"), "no adapter is called nobody; there are: anthropic, openai"),
        (("--adapter", "openai"), "give a prompt, or a command"),
        (("--adapter", "openai", "Hello", "--", "true"), "give a prompt, or a command"),
        (("--adapter", "openai", "--", "true"), "Nothing was recorded"),
        (("--adapter", "openai", "--", "no-such-program"), "can't be started"),
        (("--adapter", "openai", "--config", "missing.yaml", "Hello"), "missing.yaml"),
    ],
)
def test_what_cannot_be_recorded_says_why(
    tmp_path: Path, arguments: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models.yaml").write_text(models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", MODELS))
    assert record(arguments) != 0
    assert words in capfd.readouterr().err


@pytest.mark.anyio
async def test_replay_as_a_program(tmp_path: Path) -> None:
    """`modeld replay` serves, writes its config, and ends at SIGTERM."""
    async with provider(tmp_path):
        assert await recorded("--adapter", "openai", "-m", "openai:sim-text", "Hello") == 0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modeld", "replay", "--port", "0", "--json", "--speed", "0", "--write-config", "replay.yaml"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(15):
            line = json.loads(await process.stdout.readline())
            assert line["cassettes"] == 1
            assert line["base_urls"] == {"openai": f"http://127.0.0.1:{line['port']}/openai/v1"}
            async with embedded(tmp_path / "replay.yaml") as runtime:
                response = await answer(runtime, "openai:sim-text", "Hello")
            assert response.content
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


def test_replay_lists_or_says_what_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert replay([str(Path(__file__).parents[2] / "cassettes" / "openai"), "--list"]) == 0
    assert "openai/refusal                   200  A refusal is content null" in capfd.readouterr().out
    assert replay(["empty"]) == 1
    assert "modeld record" in capfd.readouterr().err
