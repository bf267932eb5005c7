"""Where a key comes from: the order of sources, commands that misbehave, the keyring, and what is kept how long."""

import asyncio
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

from modeld.clock import Clock
from modeld.config.schema import AdapterConfig
from modeld.credentials import sources
from modeld.credentials.secret import Secret
from modeld.credentials.sources import (
    FAILURE_TTL_S,
    KEY_TTL_S,
    MAX_KEY_BYTES,
    CommandFailed,
    KeySources,
    Missing,
    find_key,
    run_key_command,
)

ENV = {"MY_KEY": "sk-from-env", "DEFAULT_KEY": "sk-default", "EMPTY": "  "}


class Commands:
    """Stands in for the system: gives what it is told to, counts how often it was asked."""

    def __init__(self, *outputs: bytes | str) -> None:
        self._outputs = list(outputs)
        self.asked: list[tuple[str, ...]] = []

    async def __call__(self, argv: Sequence[str]) -> bytes:
        self.asked.append(tuple(argv))
        await asyncio.sleep(0)
        output = self._outputs.pop(0) if len(self._outputs) > 1 else self._outputs[0]
        if isinstance(output, str):
            raise CommandFailed(output)
        return output


def adapter(**fields: object) -> AdapterConfig:
    return AdapterConfig("mine", "openai", **fields)


COMMAND = adapter(api_key_command=("get-key",))
ORDER = [
    (adapter(), None, None),
    (adapter(), "DEFAULT_KEY", "sk-default"),
    (adapter(api_key_env="MY_KEY"), "DEFAULT_KEY", "sk-from-env"),
    (COMMAND, "DEFAULT_KEY", "sk-command"),
    (adapter(api_key=Secret("sk-file"), api_key_env="MY_KEY", api_key_command=("get-key",)), "DEFAULT_KEY", "sk-file"),
    (adapter(api_key_env="MY_KEY", api_key_command=("get-key",), api_key_keyring="a/b"), None, "sk-from-env"),
    (adapter(api_key_command=("get-key",), api_key_keyring="a/b"), None, "sk-command"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("config", "default", "key"), ORDER)
async def test_order(config: AdapterConfig, default: str | None, key: str | None) -> None:
    found = await KeySources(run_command=Commands(b" sk-command\n")).resolve(config, default, ENV)
    assert found == (None if key is None else Secret(key))


MISSING = [
    (adapter(api_key_env="NOT_SET"), "DEFAULT_KEY", "NOT_SET", ["set NOT_SET", "api_key_command", "/etc/models.yaml"]),
    (adapter(api_key_env="EMPTY"), None, "EMPTY", ["set EMPTY"]),
    (adapter(), "OTHER_KEY", "OTHER_KEY", ["set OTHER_KEY", "adapter mine"]),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("config", "default", "variable", "words"), MISSING)
async def test_missing_says_what_to_do(config: AdapterConfig, default: str | None, variable: str, words: list[str]) -> None:
    found = await KeySources("/etc/models.yaml").resolve(config, default, ENV)
    assert isinstance(found, Missing)
    assert found.variable == variable
    assert [word for word in words if word not in found.message] == []
    assert find_key(config, default, ENV, "/etc/models.yaml") == found


@pytest.mark.anyio
@pytest.mark.parametrize("value", ["sk CANARY", "sk-CANARY\nsk-2", "CANARY\u00e9", "CANARY\x00"])
async def test_a_key_that_is_none_is_not_repeated(value: str) -> None:
    by_env = await KeySources().resolve(adapter(api_key_env="K"), None, {"K": value})
    by_command = await KeySources(run_command=Commands(value.encode())).resolve(COMMAND, None, {})
    for found in (by_env, by_command):
        assert isinstance(found, Missing)
        assert "CANARY" not in found.message
        assert "store the key alone" in found.message


@pytest.mark.anyio
@pytest.mark.parametrize(("output", "words"), [(b"", "no key"), (b"\xff\xfe", "no text"), ("ended with status 3", "status 3")])
async def test_commands_without_a_key(output: bytes | str, words: str) -> None:
    found = await KeySources(run_command=Commands(output)).resolve(COMMAND, None, {})
    assert isinstance(found, Missing)
    assert words in found.message
    assert "api_key_command of adapter mine" in found.message


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now_s)


@pytest.mark.anyio
async def test_keys_are_kept_and_forgotten() -> None:
    time, commands = Time(), Commands(b"one", b"two", b"three", b"four")
    keys = KeySources(run_command=commands, clock=time.clock())
    assert await keys.resolve(COMMAND, None, {}) == Secret("one")
    time.now_s += KEY_TTL_S - 1
    assert await keys.resolve(COMMAND, None, {}) == Secret("one")
    time.now_s += 1
    assert await keys.resolve(COMMAND, None, {}) == Secret("two")
    keys.forget(COMMAND, Secret("one"))  # a late 401 of the old key
    assert await keys.resolve(COMMAND, None, {}) == Secret("two")
    keys.forget(COMMAND, Secret("two"))
    assert await keys.resolve(COMMAND, None, {}) == Secret("three")
    assert await keys.resolve(adapter(api_key_command=("other",)), None, {}) == Secret("four")
    assert commands.asked == [("get-key",)] * 3 + [("other",)]


@pytest.mark.anyio
async def test_failures_are_kept_for_a_moment() -> None:
    time, commands = Time(), Commands("is locked", b"one")
    keys = KeySources(run_command=commands, clock=time.clock())
    assert isinstance(await keys.resolve(COMMAND, None, {}), Missing)
    assert isinstance(await keys.resolve(COMMAND, None, {}), Missing)
    assert len(commands.asked) == 1
    time.now_s += FAILURE_TTL_S
    assert await keys.resolve(COMMAND, None, {}) == Secret("one")


@pytest.mark.anyio
async def test_concurrent_calls_ask_once() -> None:
    commands = Commands(b"one")
    keys = KeySources(run_command=commands)
    found = await asyncio.gather(*(keys.resolve(COMMAND, None, {}) for _ in range(50)))
    assert set(found) == {Secret("one")}
    assert len(commands.asked) == 1


@pytest.mark.anyio
async def test_a_cancelled_call_leaves_the_next_to_ask() -> None:
    gate = asyncio.Event()

    async def slow(argv: Sequence[str]) -> bytes:
        await gate.wait()
        return b"one"

    keys = KeySources(run_command=slow)
    first, second = (asyncio.create_task(keys.resolve(COMMAND, None, {})) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == Secret("one")


# ---- real commands


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


@pytest.mark.anyio
async def test_a_command_runs_without_shell_and_input() -> None:
    assert await run_key_command(("echo", "$HOME;", "x|y")) == b"$HOME; x|y\n"
    assert await run_key_command(("cat",)) == b""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("/nonexistent/get-key",), "check its path"),
        (("a\0b",), "check its path"),
        (python("import sys; print('CANARY', file=sys.stderr); sys.exit('CANARY')"), "status 1"),
        (python(f"print('C' * {MAX_KEY_BYTES * 4})"), "let it print the key alone"),
    ],
)
async def test_commands_that_fail(argv: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailed, match=words) as failed:
        await run_key_command(argv)
    assert "CANARY" not in str(failed.value)
    assert "CANARY" not in "".join(capfd.readouterr())


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(sources, "COMMAND_TIMEOUT_S", 60.0 if cancelled else 0.5)
    pids = tmp_path / "pids"
    task = asyncio.create_task(run_key_command(("sh", "-c", f"sleep 60 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait")))
    async with asyncio.timeout(30):
        while not pids.exists():
            await asyncio.sleep(0.01)
        if cancelled:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else CommandFailed):
            await task
        for pid in pids.read_text().split():
            while is_running(int(pid)):
                await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# ---- the keyring

KEYRING = adapter(api_key_keyring="modeld/open/ai")


def with_keyring(monkeypatch: pytest.MonkeyPatch, get_password: object) -> None:
    module = types.ModuleType("keyring")
    module.__dict__["get_password"] = get_password
    monkeypatch.setitem(sys.modules, "keyring", module)


@pytest.mark.anyio
async def test_the_keyring_is_asked_by_service_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with_keyring(monkeypatch, lambda service, user: f"{service}.{user}")
    assert await KeySources().resolve(KEYRING, "DEFAULT_KEY", ENV) == Secret("modeld.open/ai")


@pytest.mark.anyio
async def test_keyrings_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_service: str, _user: str) -> str:
        raise RuntimeError("CANARY")

    monkeypatch.setitem(sys.modules, "keyring", None)
    cases: list[tuple[object, str]] = [
        (None, "modeld[keyring]"),
        (locked, "unlock"),
        (lambda _service, _user: None, "stored there"),
    ]
    for get_password, words in cases:
        if get_password is not None:
            with_keyring(monkeypatch, get_password)
        found = await KeySources().resolve(KEYRING, None, {})
        assert isinstance(found, Missing)
        assert words in found.message
        assert "CANARY" not in found.message
