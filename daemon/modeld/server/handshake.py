"""What `initialize` agrees on: who the client is, which protocol version, which features. Pure."""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from modeld.language.text import chosen_encoding
from modeld.limits import MAX_CLIENT_ENV_BYTES, MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, MAX_REQUESTS_IN_FLIGHT
from modeld_protocol import IR_VERSION, PROTOCOL_VERSIONS
from modeld_protocol.errors import INVALID_PARAMS
from modeld_protocol.lifecycle import (
    FEATURES,
    ExperimentalCapabilities,
    InitializeParams,
    InitializeResult,
    Limits,
    ModeldCapabilities,
    ModeldOptions,
    ServerCapabilities,
    ServerInfo,
)

from .errors import RpcError, invalid_params, invalid_request
from .requests import ClientState
from .router import describe_validation_error

_OPTIONS_PATH = "$.initializationOptions.modeld"
_decode_params = msgspec.json.Decoder(InitializeParams).decode

LIMITS = Limits(MAX_MESSAGE_BYTES, MAX_HEADER_BYTES, MAX_REQUESTS_IN_FLIGHT)


class WrongToken(RpcError):
    """The connection needs the daemon's token and did not get it: answered, then closed."""


class DaemonIdentity(msgspec.Struct, frozen=True):
    """What the daemon says of itself to every client. `language` holds LSP's own server capabilities, camelCase."""

    daemon_id: str
    epoch: str
    version: str
    features: tuple[str, ...] = FEATURES
    protocol_versions: tuple[int, ...] = PROTOCOL_VERSIONS
    language: dict[str, Any] = {}


def negotiate(
    raw_params: bytes | msgspec.Raw, identity: DaemonIdentity, number: int, admit: Callable[[str | None], bool] | None
) -> tuple[ClientState, InitializeResult]:
    """The client's state and the answer to its `initialize`.

    `admit` judges the token of a connection that needs one. Raises WrongToken, or RpcError -32602 for wrong types, for no
    common version (`data.supported`) and for a missing feature (`data.missing`, `data.available`).
    """
    params = _read_params(raw_params)
    options = _read_options(params.initializationOptions)
    if admit is not None and not admit(options.token):
        raise _wrong_token()
    version = _choose_version(options.protocol_versions, identity.protocol_versions)
    _check_features(options.required, identity.features)
    client = _client_state(params, options, number, version)
    return client, _answer(identity, client)


def _read_params(raw_params: bytes | msgspec.Raw) -> InitializeParams:
    try:
        return _decode_params(raw_params)
    except msgspec.ValidationError as error:
        raise invalid_params(describe_validation_error(error)) from None
    except (ValueError, RecursionError):
        raise invalid_params("not readable as LSP's InitializeParams") from None


def _read_options(value: Any) -> ModeldOptions:
    """`initializationOptions.modeld`; everything else in there is another tool's business."""
    if not isinstance(value, dict):
        return ModeldOptions()
    given = cast("dict[str, Any]", value).get("modeld")
    if given is None:
        return ModeldOptions()
    try:
        options = msgspec.convert(given, ModeldOptions)
    except msgspec.ValidationError as error:
        raise invalid_params(describe_validation_error(error).replace("`$", f"`{_OPTIONS_PATH}")) from None
    if sum(len(name) + len(value) for name, value in options.env.items()) > MAX_CLIENT_ENV_BYTES:
        raise invalid_params(f"more than {MAX_CLIENT_ENV_BYTES} bytes - at `{_OPTIONS_PATH}.env`; send only key variables")
    return options


def _choose_version(offered: list[int], supported: tuple[int, ...]) -> int:
    common = set(offered) & set(supported)
    if not common:
        versions = ", ".join(map(str, supported))
        message = f"No common protocol version; this daemon speaks {versions}. Update the older of client and daemon."
        raise RpcError(INVALID_PARAMS, message, {"supported": list(supported)})
    return max(common)


def _check_features(required: list[str], available: tuple[str, ...]) -> None:
    missing = [name for name in required if name not in available]
    if missing:
        names = ", ".join(name[:80] for name in missing[:10])
        message = f"Missing features: {names}; this daemon has {', '.join(available)}. Update modeld, or require less."
        raise RpcError(INVALID_PARAMS, message, {"missing": missing, "available": list(available)})


def _client_state(params: InitializeParams, options: ModeldOptions, number: int, version: int) -> ClientState:
    info = params.clientInfo
    name = info.name if info else None
    return ClientState(
        number,
        options.client_id or name or f"client-{number}",
        name=name,
        version=info.version if info else None,
        protocol_version=version,
        trusted=options.trusted,
        trace=traces(params.trace),
        env=options.env,
        position_encodings=_position_encodings(params.capabilities),
    )


def traces(value: str | None) -> bool:
    """LSP's trace values: messages and verbose turn trace/event on."""
    return value in ("messages", "verbose")


def _position_encodings(capabilities: dict[str, Any]) -> list[str]:
    try:
        return msgspec.convert(capabilities["general"]["positionEncodings"], list[str])
    except (KeyError, TypeError, msgspec.ValidationError):
        return []


def _wrong_token() -> WrongToken:
    error = invalid_request(
        "The token is missing or wrong; send the content of the file `token` in the daemon's runtime directory."
    )
    return WrongToken(error.code, error.message)


def _answer(identity: DaemonIdentity, client: ClientState) -> InitializeResult:
    version = client.protocol_version
    modeld = ModeldCapabilities(version, IR_VERSION, identity.daemon_id, identity.epoch, list(identity.features), LIMITS)
    # A client that names no encoding counts in UTF-16 and may not know the answer.
    encoding = chosen_encoding(client.position_encodings) if identity.language and client.position_encodings else None
    capabilities = ServerCapabilities(ExperimentalCapabilities(modeld), positionEncoding=encoding, **identity.language)
    return InitializeResult(capabilities, ServerInfo("modeld", identity.version))
