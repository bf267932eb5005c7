"""The handshake: LSP `initialize`, with ours inside `initializationOptions.modeld`."""

from typing import Any

import msgspec

FEATURES = ("model", "stream", "session", "turn", "handoff", "usage", "file", "config", "discover", "trace", "env")
"""What this protocol version can do; a client names what it requires."""


class ModeldOptions(msgspec.Struct, omit_defaults=True):
    """What a modeld client says of itself. `env` supplies values for `api_key_env` names that the config already has,
    for this connection's calls only; it can't name anything else."""

    protocol_versions: list[int] = msgspec.field(default_factory=lambda: [1])
    client_id: str | None = None
    token: str | None = None
    required: list[str] = []
    trusted: bool = False
    env: dict[str, str] = {}


class InitializationOptions(msgspec.Struct, omit_defaults=True):
    """LSP's initializationOptions, as far as they are ours."""

    modeld: ModeldOptions | None = None


class ClientInfo(msgspec.Struct, omit_defaults=True):
    """LSP's clientInfo."""

    name: str
    version: str | None = None


class InitializeParams(msgspec.Struct, omit_defaults=True):
    """LSP's InitializeParams, as far as the daemon reads it; every other LSP field is accepted and ignored."""

    capabilities: dict[str, Any] = {}
    processId: int | None = None
    clientInfo: ClientInfo | None = None
    initializationOptions: Any = None
    trace: str | None = None
    rootUri: str | None = None


class Limits(msgspec.Struct):
    """The bounds of one connection."""

    max_message_bytes: int
    max_header_bytes: int
    max_requests_in_flight: int


class ModeldCapabilities(msgspec.Struct):
    """What this daemon is and can do. `epoch` changes with every start of the daemon."""

    protocol_version: int
    ir_version: int
    daemon_id: str
    epoch: str
    features: list[str]
    limits: Limits


class ExperimentalCapabilities(msgspec.Struct):
    """LSP's place for what isn't LSP."""

    modeld: ModeldCapabilities


class ServerCapabilities(msgspec.Struct, omit_defaults=True):
    """LSP's server capabilities; language features appear here where the daemon offers them."""

    experimental: ExperimentalCapabilities
    positionEncoding: str | None = None
    textDocumentSync: Any = None
    hoverProvider: Any = None
    completionProvider: Any = None
    codeActionProvider: Any = None
    definitionProvider: Any = None
    referencesProvider: Any = None
    documentSymbolProvider: Any = None
    renameProvider: Any = None


class ServerInfo(msgspec.Struct):
    """LSP's serverInfo."""

    name: str
    version: str


class InitializeResult(msgspec.Struct):
    """LSP's InitializeResult."""

    capabilities: ServerCapabilities
    serverInfo: ServerInfo


class SetTraceParams(msgspec.Struct):
    """LSP's trace value: off, messages or verbose."""

    value: str
