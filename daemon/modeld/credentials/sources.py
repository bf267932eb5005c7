"""Where an adapter's key comes from: the config file, a variable, a command, the system's keyring."""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from ..clock import SYSTEM, Clock
from ..config.schema import AdapterConfig
from ..config.wording import quote_variable
from .secret import Secret

KEY_TTL_S = 300.0  # a rotated key is noticed after so long, or at the first 401
FAILURE_TTL_S = 5.0  # a hundred calls in a row don't run a broken command a hundred times
COMMAND_TIMEOUT_S = 10.0  # a password manager may ask for a fingerprint
KILL_TIMEOUT_S = 1.0  # until a killed command is gone; one that hangs in the kernel isn't waited for
MAX_KEY_BYTES = 16 * 1024  # the longest tokens (JWT with claims) have 8 KiB

_KEY_TEXT = re.compile(r"[\x21-\x7e]+")


class Missing(msgspec.Struct, frozen=True):
    """There is no key. `message` says what to do; `variable` names the environment variable that was looked for."""

    message: str
    variable: str | None = None


class CommandFailed(Exception):
    """A key command gave nothing usable; the message says why, without any of its output."""


RunCommand = Callable[[Sequence[str]], Awaitable[bytes]]
"""Runs a command and gives its standard output; raises CommandFailed."""


async def run_key_command(argv: Sequence[str]) -> bytes:
    """The standard output of `argv`, run without a shell and without input, in its own process group, for at most 10 s and
    16 KiB. Raises CommandFailed. What it writes to standard error is dropped: it may hold the key."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "bad command"
        raise CommandFailed(f"can't be started ({reason}); check its path") from None
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            output = await _read_output(process)
            status = await process.wait()
    except TimeoutError:
        raise CommandFailed(f"gave no key within {COMMAND_TIMEOUT_S:g} s; run it yourself to see what it waits for") from None
    finally:
        await _end(process)
    if status != 0:
        raise CommandFailed(f"ended with status {status}; run it yourself to see why")
    return output


async def _read_output(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    output = b""
    while part := await process.stdout.read(MAX_KEY_BYTES):
        output += part
        if len(output) > MAX_KEY_BYTES:
            raise CommandFailed(f"printed more than {MAX_KEY_BYTES} bytes; let it print the key alone")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the command and what it started; a no-op once it has ended."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
        async with asyncio.timeout(KILL_TIMEOUT_S):
            await process.wait()
    except (ProcessLookupError, TimeoutError):
        pass


async def read_keyring(service_and_user: str) -> str | None:
    """The password that the system's keyring has for `service/user`. Raises CommandFailed."""
    service, _, user = service_and_user.partition("/")
    try:
        import keyring  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise CommandFailed("needs the package keyring; install it: pip install 'modeld[keyring]'") from None
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            return await asyncio.to_thread(keyring.get_password, service, user)  # pyright: ignore
    except TimeoutError:
        raise CommandFailed(f"gave no key within {COMMAND_TIMEOUT_S:g} s; unlock it") from None
    except Exception as error:  # the backends of a keyring share no base class
        raise CommandFailed(f"refused ({type(error).__name__}); unlock it, or use api_key_env") from None


def find_key(
    adapter: AdapterConfig, key_env_default: str | None, env: Mapping[str, str], file: str = "models.yaml"
) -> Secret | Missing | None:
    """What can be said without asking anyone, for `availability`: the key, or why there is none. None where a command or the
    keyring is to be asked, and where the adapter needs no key (it names no source and `key_env_default` is None)."""
    if adapter.api_key is not None:
        return adapter.api_key
    variable = adapter.api_key_env or (None if _asked(adapter) else key_env_default)
    if variable is None:
        return None
    value = env.get(variable, "").strip()
    if _KEY_TEXT.fullmatch(value):
        return Secret(value)
    name = quote_variable(variable)
    if value:
        return _key(value, f"the environment variable {name}")
    where = f"write api_key_env or api_key_command for adapter {adapter.name} in {file}"
    return Missing(f"there is no key for adapter {adapter.name}: set {name} before the daemon starts, or {where}", variable)


class KeySources:
    """Resolves adapters' keys. What a command or the keyring gave is kept in memory for five minutes; concurrent calls of one
    adapter ask once. `file` is the config file that messages name."""

    def __init__(self, file: str = "models.yaml", run_command: RunCommand = run_key_command, clock: Clock = SYSTEM) -> None:
        self._file = file
        self._run_command = run_command
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def resolve(
        self, adapter: AdapterConfig, key_env_default: str | None, env: Mapping[str, str]
    ) -> Secret | Missing | None:
        """The adapter's key from the first source that it names: `api_key`, `api_key_env`, `api_key_command`,
        `api_key_keyring`; where it names none from the variable `key_env_default`. None where it names none and that is
        None: then the provider needs no key. Never raises."""
        found = find_key(adapter, key_env_default, env, self._file)
        if found is not None or _asked(adapter) is None:
            return found
        async with self._locks.setdefault(adapter.name, asyncio.Lock()):
            kept = self._kept.get(adapter.name)
            if kept is None or kept.source != _asked(adapter) or kept.until_s <= self._clock.monotonic():
                kept = await self._ask(adapter)
                self._kept[adapter.name] = kept
            return kept.found

    def forget(self, adapter: AdapterConfig, used: Secret | None = None) -> None:
        """The provider refused the key: ask again at the next call. With `used` only if no newer key is kept by now."""
        kept = self._kept.get(adapter.name)
        if kept is not None and (used is None or kept.found == used):
            del self._kept[adapter.name]

    async def _ask(self, adapter: AdapterConfig) -> "_Kept":
        source = _asked(adapter)
        words = f"{'api_key_command' if adapter.api_key_command else 'the keyring'} of adapter {adapter.name}"
        try:
            found = _key(await self._read(adapter), words)
        except CommandFailed as failure:
            found = Missing(f"{words} {failure}")
        ttl_s = FAILURE_TTL_S if isinstance(found, Missing) else KEY_TTL_S
        return _Kept(source, found, self._clock.monotonic() + ttl_s)

    async def _read(self, adapter: AdapterConfig) -> str:
        if adapter.api_key_command is None:
            return await read_keyring(adapter.api_key_keyring or "") or ""
        output = await self._run_command(adapter.api_key_command)
        try:
            return output.decode().strip()
        except UnicodeDecodeError:
            raise CommandFailed("printed something that is no text; let it print the key alone") from None


class _Kept(msgspec.Struct, frozen=True):
    """What a source gave, until when. `source` tells whether the config still means the same one."""

    source: tuple[str, ...] | str | None
    found: Secret | Missing
    until_s: float


def _asked(adapter: AdapterConfig) -> tuple[str, ...] | str | None:
    """The command or keyring entry that has the key, None where another source counts."""
    if adapter.api_key is not None or adapter.api_key_env is not None:
        return None
    return adapter.api_key_command or adapter.api_key_keyring


def _key(value: str, source: str) -> Secret | Missing:
    """A key that can stand in a header, or what is wrong with it, without repeating it."""
    if not value:
        return Missing(f"{source} gave no key; check that it is stored there")
    if not _KEY_TEXT.fullmatch(value):
        return Missing(f"the key from {source} holds spaces, line breaks or letters outside ASCII; store the key alone")
    return Secret(value)
