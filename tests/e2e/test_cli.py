"""The real commands against a real daemon and the simulator: exit codes, what goes where, streaming, Ctrl-C, first run."""

import asyncio
import json
import os
import pty
import re
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import KEY, DaemonProcess, models_yaml

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio

GREETING = "Hello! This answer comes from the simulator: no model was asked, and nothing left this machine."
SCRIPTS = ["text", "echo", "thinking", "thinking-tool", "refusal", "max-tokens-16", "slow-60", "long-5000", "cached", "difficult"]
FAULTS = ["bad_request", "auth", "quota", "not_found", "html_502", "echo_key", "reset_mid_stream", "hang_mid_stream"]
FAULTS += ["server_error-1-503+seen", "hang_before_headers", "rate_limit-0-0.05", "server_error-1-503"]
MODELS = [*(f"sim-{name}" for name in SCRIPTS), *(f"sim-fault-{name}" for name in FAULTS)]
ESCAPE = "\x1b["


class Place:
    """A private folder with a config for the simulator; commands start the daemon that they need."""

    def __init__(self, simulator: Simulator, folder: DaemonProcess) -> None:
        self.simulator = simulator
        self.folder = folder

    async def run(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        """A command to its end: exit code, stdout, stderr. Whatever it says, it says no key."""
        code, out, err = await self.folder.run(*arguments, **options)
        assert KEY not in out + err
        assert "Traceback" not in err
        return code, out, err

    async def ask(self, model: str, *more: str, stdin: bytes = b"", provider: str = "anthropic") -> tuple[int, str, str]:
        """`modeld ask` of a simulated model."""
        return await self.run("ask", "-m", f"{provider}:{model}", *more, stdin=stdin)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """A command that goes on."""
        return await asyncio.create_subprocess_exec(
            *self.folder.command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.folder.env,
        )


def private(folder: Path, config: str, **env: str) -> DaemonProcess:
    """A private folder without a daemon, and without keys or settings from outside."""
    made = DaemonProcess(config, folder=folder, env=env)
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR", "XDG_CONFIG_HOME"):
        made.env.pop(name, None)
    made.env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return made


@pytest.fixture(scope="module")
async def place(tmp_path_factory) -> AsyncIterator[Place]:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)
        folder = private(tmp_path_factory.mktemp("cli"), config)
        yield Place(simulator, folder)
        code, _, err = await folder.run("stop", "--force")
        assert code == 0, err


@pytest.fixture
async def make(tmp_path) -> AsyncIterator[Callable[[str], DaemonProcess]]:
    """Makes the test's folder around a config; the daemon that its commands start is stopped afterwards."""
    made: list[DaemonProcess] = []

    def one(config: str) -> DaemonProcess:
        made.append(private(tmp_path, config))
        return made[-1]

    yield one
    for folder in made:
        await folder.run("stop", "--force")


@pytest.fixture
async def bare(tmp_path) -> AsyncIterator[DaemonProcess]:
    """A user who has nothing yet: no config, no key."""
    folder = private(tmp_path, "")
    folder.config.unlink()
    del folder.env["MODELD_CONFIG"], folder.env["MODELD_TEST_KEY"]
    yield folder
    await folder.run("stop", "--force")


# ---- ask


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_ask_answers_on_stdout_and_nothing_else_does(place, provider):
    assert await place.ask("sim-text", "hi", provider=provider) == (0, GREETING + "\n", "")


ANSWERS = [
    ("sim-echo", ["what", "is", "this"], b"", "what is this\n", ""),
    ("sim-echo", ["Sum up:"], b"  one\ntwo\n\n", "Sum up:\n\none\ntwo\n", ""),
    ("sim-echo", [], b"only piped \xff", "only piped \ufffd\n", ""),
    ("sim-echo", ["--system", "Be brief.", "--max-tokens", "9", "hi"], b"", "hi\n", ""),
    ("sim-thinking", ["hi"], b"", GREETING + "\n", "The user wants an answer."),
    ("sim-thinking", ["-q", "hi"], b"", GREETING + "\n", ""),
    ("sim-max-tokens-16", ["hi"], b"", None, "cut off at the token limit; --max-tokens sets it"),
    ("sim-refusal", ["hi"], b"", None, "the model declined"),
    ("sim-fault-server_error-1-503", ["hi"], b"", None, ""),
]


@pytest.mark.parametrize(("model", "arguments", "stdin", "out", "err"), ANSWERS)
async def test_ask_takes_words_and_what_is_piped_in(place, model, arguments, stdin, out, err):
    code, said, beside = await place.ask(model, *arguments, stdin=stdin)
    assert (code, ESCAPE in said + beside) == (0, False)
    assert out is None or said == out
    assert err in beside
    assert err or not beside


FAILURES = [
    ("sim-fault-bad_request", "invalid_request", "the provider says:"),
    ("sim-fault-auth", "auth", "check the adapter's key"),
    ("sim-fault-quota", "quota_exceeded", "credit"),
    ("sim-fault-not_found", "model_not_found", "HTTP 404"),
    ("sim-fault-html_502", "server_error", "HTTP 502"),
    ("sim-fault-echo_key", "auth", "the provider says:"),
    ("sim-fault-reset_mid_stream", "network", "try again"),
    ("sim-fault-rate_limit-0-0.05", "rate_limit", "HTTP 429"),
    ("sim-txt", "model_not_found", "did you mean anthropic:sim-text"),
]


@pytest.mark.parametrize(("model", "error_class", "words"), FAILURES)
async def test_a_failure_is_told_in_a_few_lines_and_exits_with_one(place, model, error_class, words):
    code, out, err = await place.ask(model, "hi")
    lines = err.splitlines()
    assert code == 1
    assert lines[0].startswith(f"modeld: {error_class}")
    assert words in err
    assert len(lines) <= 3
    assert "<" not in err
    assert out in ("", "This answer has\n")


async def test_ask_json_is_the_whole_response_or_the_error(place):
    code, out, err = await place.ask("sim-cached", "--json", "hi")
    response = json.loads(out)
    assert (code, err, response["stop_reason"], response["usage"]["cached_input_tokens"]) == (0, "", "end_turn", 1_000)
    code, out, err = await place.ask("sim-fault-auth", "--json", "hi")
    failure = json.loads(out)["error"]
    assert (code, failure["error_class"], failure["provider_status"], bool(err)) == (1, "auth", 401, True)


MISUSE = [
    (["ask"], "ask what?"),
    (["ask", "--temperature", "9", "hi"], "temperature"),
    (["ask", "--max-tokens", "0", "hi"], "positive number"),
    (["ask", "--effort", "mighty", "hi"], "invalid choice"),
    (["asl"], "did you mean `ask`"),
    (["--no-such-option"], "modeld --help"),
    (["status", "--frobnicate"], "unrecognized"),
    (["--stdio", "--socket"], "needs a value"),
]


@pytest.mark.parametrize(("arguments", "words"), MISUSE)
async def test_misuse_exits_with_two_and_says_what_is_wrong(place, arguments, words):
    code, out, err = await place.run(*arguments)
    assert (code, out) == (2, "")
    assert words in err


# ---- streaming and Ctrl-C


async def test_ask_streams_on_a_terminal_as_it_comes(place):
    """Twelve words with 60 ms between them: they must not all come at the end, and the terminal gets the figures too."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *place.folder.command("ask", "-m", "anthropic:sim-slow-60", "hi"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**place.folder.env, "TERM": "xterm"},
    )
    os.close(slave)
    pieces = await asyncio.to_thread(_read_pty, master)
    assert await process.wait() == 0
    text = "".join(piece for _, piece in pieces)
    words = [at for at, piece in pieces if re.search(r"[a-z]", piece)]
    assert GREETING in text.replace("\r\n", "\n")
    assert len(pieces) >= 6
    assert words[-1] - words[0] > 0.4
    assert re.search(r"anthropic:sim-slow-60 · \d+ in · \d+ out", text)
    assert ESCAPE in text


async def test_a_retry_is_told_to_a_person_while_it_is_waited_for(place):
    master, slave = pty.openpty()
    command = place.folder.command("ask", "-m", "openai:sim-fault-server_error-1-503+seen", "hi")
    process = await asyncio.create_subprocess_exec(*command, stdin=slave, stdout=slave, stderr=slave, env=place.folder.env)
    os.close(slave)
    text = "".join(piece for _, piece in await asyncio.to_thread(_read_pty, master))
    assert await process.wait() == 0
    assert "openai: server_error (HTTP 503); trying again" in text
    assert "2 attempts" in text


def _read_pty(master: int) -> list[tuple[float, str]]:
    pieces: list[tuple[float, str]] = []
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:  # the other side is closed
            data = b""
        if not data:
            os.close(master)
            return pieces
        pieces.append((time.monotonic(), data.decode("utf-8", "replace")))


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["ask", "-m", "anthropic:sim-fault-hang_mid_stream", "hi"], b"This answer has"),
        (["ask", "-m", "openai:sim-fault-hang_before_headers", "hi"], b""),
        (["ask", "--json", "-m", "anthropic:sim-fault-hang_mid_stream", "hi"], b""),
    ],
)
async def test_ctrl_c_cancels_at_the_provider_and_exits_130(place, arguments, first):
    simulator = place.simulator
    simulator.reset()
    process = await place.start(*arguments)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readexactly(len(first)), 10) == first
    await simulator.wait_until(lambda: len(simulator.requests) == 1, timeout_s=10)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    await simulator.wait_until(lambda: len(simulator.closed_early) == 1)
    assert simulator.closed_early[0].at_s - sent < 1
    out, err = await asyncio.wait_for(process.communicate(), 5)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert out in (b"", b"\n")


async def test_a_reader_that_leaves_ends_the_stream_quietly(place):
    simulator = place.simulator
    simulator.reset()
    process = await place.start("ask", "-m", "anthropic:sim-long-5000", "hi")
    assert process.stdout is not None
    await process.stdout.readexactly(10)
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] - as `head` would
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert process.stderr is not None
    assert b"Traceback" not in await process.stderr.read()


# ---- chat


async def test_chat_keeps_the_conversation_and_its_thinking(place):
    place.simulator.reset()
    lines = ["one", "two", "/model openai:sim-echo", "three", "/system Be kind.", "/clear", "four", "/help", "/nonsense", "/quit"]
    code, out, err = await place.run("chat", "-m", "anthropic:sim-thinking", stdin="\n".join(lines).encode() + b"\nnever asked\n")
    assert code == 0
    assert out.splitlines() == [GREETING, GREETING, "three", "four"]
    assert "there is no /nonsense; /help shows" in err
    assert "/model NAME" in err
    bodies = [request.json() for request in place.simulator.requests]
    assert len(bodies) == 4
    second: Any = bodies[1]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    kept = second["messages"][1]["content"]
    assert [block["type"] for block in kept] == ["thinking", "text"]
    assert kept[0]["signature"]
    third: Any = bodies[2]
    assert [message["role"] for message in third["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    fourth: Any = bodies[3]
    assert [message["role"] for message in fourth["messages"]][-1:] == ["user"]
    assert len(fourth["messages"]) == 2  # the system prompt and the question
    assert all("tools" not in body for body in bodies)  # type: ignore[operator]


async def test_chat_goes_on_after_a_failure_with_what_was_said(place):
    place.simulator.reset()
    lines = b"one\n/model anthropic:sim-fault-auth\ntwo\n/model anthropic:sim-echo\nthree\n"
    code, out, err = await place.run("chat", "-m", "anthropic:sim-fault-reset_mid_stream", stdin=lines)
    assert code == 0
    assert out.splitlines() == ["This answer has", "three"]
    assert "modeld: network" in err
    assert "modeld: auth" in err
    last: Any = place.simulator.requests[-1].json()
    texts = [(message["role"], _text(message)) for message in last["messages"]]
    assert texts == [("user", "one"), ("assistant", "This answer has"), ("user", "three")]


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else content[0]["text"]


# ---- looking around


async def test_models_is_a_table_that_fits_and_json(place):
    place.folder.env["COLUMNS"] = "60"
    try:
        code, out, _ = await place.run("models")
    finally:
        del place.folder.env["COLUMNS"]
    lines = out.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 60
    assert {line.split()[0] for line in lines[1:]} == {f"{name}:{model}" for name in ("anthropic", "openai") for model in MODELS}
    code, out, _ = await place.run("models", "--json", "--provider", "openai")
    models = json.loads(out)["models"]
    assert {model["provider"] for model in models} == {"openai"}
    assert models[0]["capabilities"]["streaming"] is True


async def test_models_discover_asks_the_providers(place):
    code, out, err = await place.run("models", "--discover")
    assert code == 0
    assert "anthropic:sim-text" in out
    assert ESCAPE not in out + err
    code, out, _ = await place.run("models", "--discover", "--json", "--provider", "openai")
    found = json.loads(out)
    assert (code, found["failures"], {model["provider"] for model in found["models"]}) == (0, [], {"openai"})
    code, _, err = await place.run("models", "--discover", "--provider", "nobody")
    assert code == 1
    assert "no provider is called nobody" in err


async def test_status_and_doctor_agree_with_the_daemon(place):
    await place.ask("sim-text", "hi")
    code, out, _ = await place.run("status", "--json")
    status = json.loads(out)
    assert (code, status["running"], status["config_file"]) == (0, True, str(place.folder.config))
    code, out, _ = await place.run("status")
    assert (code, str(status["pid"]) in out, ESCAPE in out) == (0, True, False)
    code, out, _ = await place.run("doctor", "--json")
    report = json.loads(out)
    findings = {finding["topic"]: finding for finding in report["findings"]}
    assert (code, report["ok"]) == (0, True)
    assert {"modeld", "event loop", "socket", "config", "keys", "daemon"} <= set(findings)
    assert str(status["pid"]) in findings["daemon"]["message"]


async def test_usage_sums_what_was_served(place):
    for number, model in enumerate(("sim-cached", "sim-text", "sim-fault-auth")):
        assert (await place.ask(model, "Hello"))[0] == (0, 0, 1)[number]
    code, out, _ = await place.run("usage", "--json", "--since", "1h")
    groups = {group["key"]: group for group in json.loads(out)["groups"]}
    assert code == 0
    assert groups["anthropic:sim-cached"]["usage"]["cached_input_tokens"] >= 1_000
    assert groups["anthropic:sim-fault-auth"]["failed_calls"] >= 1
    for arguments in ((), ("--by", "day"), ("--by", "client"), ("--calls",)):
        code, out, _ = await place.run("usage", *arguments)
        assert (code, ESCAPE in out) == (0, False)
        assert len(out.splitlines()) >= 2
    assert "modeld-cli" in (await place.run("usage", "--by", "client"))[1]
    titles, *rows = (await place.run("usage", "--calls", "--csv", "--limit", "3"))[1].splitlines()
    assert (titles.split(",")[0], len(rows)) == ("request_id", 3)
    assert (await place.run("usage", "--since", "soon"))[0] == 1
    code, _, err = await place.run("usage", "--reprice")
    assert (code, "have a new cost" in err) == (0, True)


async def test_version_help_and_schema(place, tmp_path):
    assert (await place.run("--version"))[1].startswith("modeld ")
    assert "Talk to models" in (await place.run("--help"))[1]
    for command in ("ask", "chat", "demo", "models", "status", "stop", "usage", "doctor", "schema", "simulate"):
        code, out, _ = await place.run(command, "--help")
        assert code == 0
        assert "--socket" in out or command == "simulate"
    assert (await place.run("schema", str(tmp_path / "s")))[0] == 0
    assert (await place.run("schema", "--check", str(tmp_path / "s")))[0] == 0
    (tmp_path / "s" / "openrpc.json").write_text("{}")
    code, _, err = await place.run("schema", "--check", str(tmp_path / "s"))
    assert code == 1
    assert "openrpc.json differs" in err


async def test_simulate_is_delegated_wherever_the_socket_option_stands(place):
    for arguments in (["simulate", "--list"], ["--socket", "/tmp/x", "simulate", "--list"]):
        code, out, _ = await place.run(*arguments)
        assert (code, "sim-text" in out) == (0, True)


# ---- the daemon's life


async def test_commands_start_share_and_stop_a_daemon(make, tmp_path):
    async with Simulator() as simulator:
        folder = make(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS))
        elsewhere = str(tmp_path / "other" / "d.sock")
        code, _, err = await folder.run("status", "--socket", elsewhere)
        assert code == 1
        assert "not running" in err
        assert json.loads((await folder.run("status", "--json", "--socket", elsewhere))[1])["running"] is False
        assert (await folder.run("stop", "--socket", elsewhere))[:2] == (0, "modeld was not running\n")
        assert (await folder.run("--socket", elsewhere, "ask", "-m", "openai:sim-text", "hi"))[1] == GREETING + "\n"
        assert stat.S_IMODE(os.stat(tmp_path / "other").st_mode) == 0o700
        pids = {json.loads((await folder.run("status", "--json", "--socket", elsewhere))[1])["pid"] for _ in range(2)}
        assert len(pids) == 1
        assert (await folder.run("stop", "--socket", elsewhere))[:2] == (0, "modeld has stopped\n")
        assert json.loads((await folder.run("stop", "--json", "--socket", elsewhere))[1]) == {
            "was_running": False,
            "stopped": True,
        }
        assert not os.path.exists(elsewhere)


async def test_a_broken_config_is_quoted_and_the_next_step_named(make):
    folder = make("adapters:\n  a: {type: nonsense}\n")
    code, out, err = await folder.run("ask", "hi")
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert lines[0].startswith(f"{folder.config}:2:13: error: ")
    assert "modeld --check-config" in lines[-1]
    assert len(lines) == 2
    code, out, _ = await folder.run("doctor")
    assert (code, "✗ config" in out) == (1, True)


# ---- the first time


async def test_without_a_key_the_first_question_says_what_to_do(bare):
    code, out, err = await bare.run("ask", "hi")
    assert (code, out) == (1, "")
    for words in (
        "no model can be asked yet",
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "modeld demo",
        "modeld simulate",
        "models.yaml",
    ):
        assert words in err
    code, out, err = await bare.run("models")
    assert (code, "no key" in out) == (0, True)
    code, out, _ = await bare.run("doctor")
    assert (code, "ANTHROPIC_API_KEY" in out) == (0, True)


async def test_a_key_that_is_set_after_the_daemons_start_counts(bare):
    """The daemon was started without a key; this shell has one now: the call goes out, to the provider that it is for."""
    await bare.run("models")
    for variable, provider in (("OPENAI_API_KEY", "openai"), ("ANTHROPIC_API_KEY", "anthropic")):
        bare.env[variable] = KEY
        states = {one["provider"]: one["availability"] for one in json.loads((await bare.run("models", "--json"))[1])["models"]}
        assert states.pop(provider) == "available"
        assert set(states.values()) <= {"not_configured"}
        del bare.env[variable]


async def test_models_without_a_config_are_those_that_can_be_asked(bare):
    """The whole catalog would bury them; --all and --json have it all."""
    bare.env["OPENAI_API_KEY"] = KEY
    code, out, err = await bare.run("models")
    assert (code, KEY in out + err) == (0, False)
    shown = {line.split(":")[0] for line in out.splitlines()[1:]}
    assert "openai" in shown
    assert "anthropic" not in shown
    assert "(--all shows them)" in err
    assert "anthropic:" in (await bare.run("models", "--all"))[1]
    assert "anthropic:" in (await bare.run("models", "--provider", "anthropic"))[1]
    assert "anthropic" in {model["provider"] for model in json.loads((await bare.run("models", "--json"))[1])["models"]}


async def test_a_config_variable_that_only_this_shell_has_is_lent(make):
    async with Simulator() as simulator:
        folder = make(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS))
        key = folder.env.pop("MODELD_TEST_KEY")
        code, _, err = await folder.run("ask", "-m", "openai:sim-text", "hi")
        assert (code, "MODELD_TEST_KEY" in err) == (1, True)
        folder.env["MODELD_TEST_KEY"] = key
        assert await folder.run("ask", "-m", "openai:sim-text", "hi") == (0, GREETING + "\n", "")


async def test_any_provider_with_a_key_answers_where_none_was_named(make):
    async with Simulator() as simulator:
        config = json.loads(models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"]))
        config["adapters"]["anthropic"]["api_key_env"] = "NOT_SET_ANYWHERE"
        config["default_model"] = "anthropic:sim-text"
        folder = make(json.dumps(config))
        assert (await folder.run("ask", "hi"))[:2] == (0, GREETING + "\n")
        code, _, err = await folder.run("ask", "-p", "anthropic", "hi")
        assert (code, "NOT_SET_ANYWHERE" in err) == (1, True)


async def test_warnings_of_the_config_stay_out_of_answers(make):
    async with Simulator() as simulator:
        config = json.loads(models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"]))
        config["adapters"]["openai"] |= {"api_key": KEY}
        folder = make(json.dumps(config))
        assert await folder.run("ask", "-m", "openai:sim-text", "hi") == (0, GREETING + "\n", "")
        code, out, _ = await folder.run("--check-config")
        assert (code, "plain text" in out, KEY in out) == (0, True, False)


# ---- --check-config

GOOD = "adapters:\n  openai: {}\n"
CHECKS = [
    (GOOD.encode(), 0, []),
    (b"adapters:\n  a: {type: nonsense}\nmodels: 5\n", 1, [(2, 13), (3, 9)]),
    (b"", 1, None),
    (b"\xff\xfe\x00", 1, None),
    (b"[" * 100_000, 1, None),
    (b"a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n", 1, None),
    (bytes(range(256)), 1, None),
]


@pytest.mark.parametrize(("text", "code", "places"), CHECKS)
async def test_check_config_finds_everything_at_once(make, tmp_path, text, code, places):
    folder = make(GOOD)
    file = tmp_path / "checked.yaml"
    file.write_bytes(text)
    for arguments in (["--check-config", str(file)], [f"--check-config={file}"], ["--config", str(file), "--check-config"]):
        ended, out, err = await folder.run(*arguments)
        assert (ended, err) == (code, "")
        errors = [line for line in out.splitlines() if ": error: " in line]
        assert len(errors) == len(places) if places is not None else errors
    ended, out, _ = await folder.run("--check-config", str(file), "--json")
    result = json.loads(out)
    found = [(one["line"], one["column"]) for one in result["problems"] if one["severity"] == "error"]
    assert (ended, result["valid"]) == (code, code == 0)
    assert places is None or found == places


async def test_check_config_of_what_is_not_there(tmp_path, bare):
    for missing in (tmp_path / "nowhere.yaml", tmp_path):
        assert (await bare.run("--check-config", str(missing)))[0] == 1
    code, out, _ = await bare.run("--check-config")
    assert (code, "none is needed" in out) == (0, True)
