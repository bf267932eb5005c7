"""`modeld record`: runs a real session through a recording proxy and writes what went over as scrubbed cassettes."""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from modeld_protocol.endpoint import RUNTIME_DIR_VARIABLE, SOCKET_NAME
from modeld_protocol.events import TextDelta

from ..cassettes.develop import Developed, develop
from ..cassettes.folder import write_cassette
from ..cassettes.format import CassetteAdapter, CassetteModel
from ..cassettes.names import case_of, free_case, private_names
from ..cassettes.recorder import MAX_SESSION_BYTES, Recorder
from ..cassettes.scrub import Scrubber
from ..config.layers import ConfigSurroundings, Effective, effective
from ..config.load import render
from ..config.locations import ConfigPlace, config_place
from ..config.schema import AdapterConfig, Config, ModelConfig
from ..credentials.redact import Redactor
from ..providers.catalog import ProviderRow, row_of
from ..providers.endpoint import endpoint_of
from ..providers.failure import ProviderFailure
from ..providers.link import Endpoint
from ..providers.spec import Quirks
from ..routing.registry import build_registry
from ..runtime import Runtime
from ..upstream.contract import Transport
from .options import add_common
from .surroundings import surroundings
from .terminal import say, shown, write_json

EXIT_FAILED = 1


def run(argv: Sequence[str]) -> int:
    """Record one prompt, or a command's session; returns the exit code: the command's own, or 1 where nothing was recorded."""
    place = argv.index("--") if "--" in argv else len(argv)
    options = _parser().parse_args(argv[:place])
    options.command = list(argv[place + 1 :])
    if bool(options.command) == bool(options.prompt):
        say('modeld record: give a prompt, or a command: modeld record --adapter NAME "Hello", or … -- COMMAND')
        return 2
    try:
        return asyncio.run(_record(options))
    except _Unusable as error:
        say(f"modeld record: {error}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


class _Unusable(Exception):
    """Nothing can be recorded; the message says what to do."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modeld record",
        usage='modeld record --adapter NAME [options] ("prompt" | -- COMMAND ...)',
        description="Run a real session in a private daemon and write what went over as cassettes, without keys, accounts and "
        "names. A COMMAND finds that daemon by itself, if it uses modeld's client, `modeld --stdio` or `modeld ask`.",
    )
    add_common(parser)
    parser.add_argument("--adapter", required=True, metavar="NAME", help="the adapter of models.yaml to record")
    parser.add_argument("--case", metavar="NAME", help="name of the cassette; default: model and manner")
    parser.add_argument("--out", type=Path, default=Path("cassettes"), metavar="DIR", help="where to write (%(default)s)")
    parser.add_argument("-m", "--model", help="model of the prompt; default: the adapter's")
    parser.add_argument("--no-stream", action="store_true", help="ask for the prompt's answer in one piece")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.add_argument("prompt", nargs="*")
    return parser


class _Session:
    """What is recorded: an adapter of the user's config, a recorder in its place, and a config that has nothing else."""

    def __init__(self, options: argparse.Namespace) -> None:
        config = _config(options)
        found = config.adapters.get(options.adapter)
        if found is None:
            raise _Unusable(f"no adapter is called {options.adapter}; there are: {', '.join(sorted(config.adapters)) or 'none'}")
        self.adapter: AdapterConfig = found
        self.row: ProviderRow = row_of(found.type)
        self.endpoint: Endpoint = endpoint_of(found, self.row)
        self.recorder = Recorder(self.endpoint.origin, _transport(found))
        self.redactor = Redactor()
        self._given = config

    def config(self) -> Config:
        """The config of the private runtime, once the recorder listens."""
        given, name = self._given, self.adapter.name
        private = msgspec.structs.replace(
            self.adapter,
            base_url=self.recorder.base_url + self.endpoint.base_path,
            options={key: value for key, value in self.adapter.options.items() if key != "proxy"},
        )
        models: dict[str, ModelConfig] = {
            model.id: msgspec.structs.replace(model, fallbacks=()) for model in given.models.values() if model.adapter == name
        }
        config = Config({name: private}, models, given.default_model, given.models_given and bool(models))
        # The default model may be another adapter's; then it is this adapter's own.
        return config if build_registry(config).default else msgspec.structs.replace(config, default_model=None)

    def cassette_adapter(self) -> CassetteAdapter:
        """What the cassettes say of the adapter."""
        usual = endpoint_of(AdapterConfig(self.row.type, self.row.type), self.row).base_path if self.row.base_url else None
        path = self.endpoint.base_path
        quirks = {key: value for key, value in self.adapter.options.items() if key in Quirks.__struct_fields__}
        return CassetteAdapter(self.row.type, None if path == usual else path, quirks)

    def cassette_models(self) -> list[CassetteModel]:
        """What they say of its models."""
        models = (model for model in self._given.models.values() if model.adapter == self.adapter.name)
        return [CassetteModel(model.wire_name, model.capabilities, model.limits) for model in models]

    def hosts(self) -> Collection[str]:
        """Hosts that may be named: the provider's own."""
        return {host for url in (self.row.base_url, self.row.documentation) if (host := urlsplit(url).hostname)}


def _config(options: argparse.Namespace) -> Config:
    found = effective(config_place(options.config, os.environ), surroundings())
    if found.config is None:
        raise _Unusable("\n".join(["the config has errors", *render(found.problems)]))
    return found.config


def _transport(adapter: AdapterConfig) -> Transport:
    if proxy := adapter.options.get("proxy"):
        from ..upstream.httpx_transport import proxied

        return proxied(str(proxy))
    from ..upstream.client import DirectTransport

    return DirectTransport()


async def _record(options: argparse.Namespace) -> int:
    session = _Session(options)
    await session.recorder.start()
    try:
        code = await (_run_command if options.command else _run_prompt)(session, options)
    finally:
        await session.recorder.stop()
    written = await _write(session, options)
    return code or (0 if written else EXIT_FAILED)


async def _run_prompt(session: _Session, options: argparse.Namespace) -> int:
    """One call; its text goes to stdout."""
    from ..builder import EmbeddedRuntime

    runtime = Runtime(session.config(), environment=os.environ, redactor=session.redactor)
    session.recorder.observe(runtime)
    fields: dict[str, Any] = {"messages": " ".join(options.prompt), "provider": session.adapter.name}
    if options.model:
        fields["model"] = options.model
    quiet = options.json
    try:
        async with EmbeddedRuntime(runtime) as embedded:
            if options.no_stream:
                response = await embedded.complete(**fields)
                _print("" if quiet else "".join(getattr(block, "text", "") for block in response.content))
                return 0
            async with embedded.stream(**fields) as stream:
                async for event in stream:
                    if isinstance(event, TextDelta) and not quiet:
                        _print(event.text, end="")
            _print("" if quiet else "\n", end="")
    except ProviderFailure as failure:
        say(f"{failure.error_class}: {failure.message}", "red")
        return EXIT_FAILED
    return 0


def _print(text: str, end: str = "\n") -> None:
    if text:
        print(shown(text, sys.stdout), end=end, flush=True)


async def _run_command(session: _Session, options: argparse.Namespace) -> int:
    """A command beside a private daemon, which is the one that the command's clients find."""
    from .. import app
    from ..server.instance import claim

    folder = Path(tempfile.mkdtemp(prefix="modeld-record-"))
    config = session.config()
    base = surroundings()
    own = ConfigSurroundings(base.known_types, base.default_key_env, os.environ, lambda _env: config)
    source = app.ConfigSource(ConfigPlace(folder / "models.yaml", required=False), own, Effective(config, [], from_file=False))
    socket = folder / SOCKET_NAME
    instance = claim(socket)
    try:
        daemon = app.Daemon(app.Options(socket, state_dir=folder / "state"), source, os.environ, session.redactor)
        session.recorder.observe(daemon.runtime)
        daemon.listener.start_unix(instance.socket)
        serving = asyncio.create_task(daemon.serve())
        try:
            return await _child(options.command, {**os.environ, RUNTIME_DIR_VARIABLE: str(folder)})
        finally:
            daemon.stop(force=True)
            await serving
    finally:
        instance.release()
        shutil.rmtree(folder, ignore_errors=True)


async def _child(command: list[str], env: dict[str, str]) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command, env=env)
    except OSError as error:
        raise _Unusable(f"{command[0]} can't be started ({error.strerror}); check the command after --") from None
    loop = asyncio.get_running_loop()
    with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):  # not in the main thread: whoever is there decides
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal sends it to the command too, which knows what to do
        loop.add_signal_handler(signal.SIGTERM, process.terminate)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise


# ---- what was recorded


async def _write(session: _Session, options: argparse.Namespace) -> list[Path]:
    """Develop every exchange and write those that hold no key."""
    scrubber = Scrubber(session.redactor, private_names())
    adapter, models, hosts = session.cassette_adapter(), session.cassette_models(), session.hosts()
    rows: list[dict[str, Any]] = []
    written: list[Path] = []
    for exchanged in session.recorder.exchanges:
        case = free_case(options.out / session.adapter.name, options.case or case_of(exchanged))
        made = await develop(exchanged, session.adapter.name, case, adapter, models, scrubber, hosts)
        if made.is_safe:
            written.append(write_cassette(options.out, made.cassette))
        rows.append(_row(made, written[-1] if made.is_safe else None))
        if not options.json:
            _report(made, rows[-1])
    for reason in session.recorder.unreachable:
        say(f"not recorded: {reason}", "yellow")
    if session.recorder.beyond:
        say(f"not recorded: {session.recorder.beyond} answers after {MAX_SESSION_BYTES >> 20} MiB; record in parts", "yellow")
    if session.recorder.left:
        say(f"not recorded: {session.recorder.left} answers that were cancelled before their end", "yellow")
    if options.json:
        write_json({"cassettes": rows})
    elif not rows:
        say("Nothing was recorded: no request came by. Does the command use modeld, and the recorded adapter's model?")
    return written


def _row(made: Developed, folder: Path | None) -> dict[str, Any]:
    response = made.cassette.response
    return {
        "cassette": made.cassette.name,
        "folder": str(folder) if folder else None,
        "status": response.status,
        "bytes": len(made.cassette.body),
        "chunks": max(len(response.chunks), 1),
        "redactions": made.redactions,
        "leaks": [{"file": file, "kind": leak.kind, "hint": leak.hint} for file, leak in made.leaks],
    }


def _report(made: Developed, row: dict[str, Any]) -> None:
    about = f"status {row['status']}, {row['bytes']} bytes in {row['chunks']} pieces, {row['redactions']} places scrubbed"
    if made.is_safe:
        say(f"{row['folder']}  {about}", "green")
    else:
        say(f"{row['cassette']} was not written: something that looks like a key is left in it", "red")
    for leak in row["leaks"][:10]:
        say(f"  look at {leak['file']}: {leak['kind']} {leak['hint']}", "yellow")
