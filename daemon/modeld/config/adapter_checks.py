"""Checks of one entry of `adapters`: its fields, where it sends requests, and where its key comes from."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..credentials.secret import Secret
from ..limits import MAX_CALLS_RUNNING_PER_KEY
from . import yaml_nodes
from .fields import (
    INVALID,
    Field,
    Fields,
    Reader,
    Report,
    is_null,
    number_reader,
    read_entries,
    read_fields,
    read_plain,
    read_text,
    read_texts,
)
from .schema import MAX_RETRIES, AdapterConfig
from .wording import listed, looks_like_key, names_a_secret, quote, quote_name, quote_variable
from .yaml_nodes import Node, Scalar

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY_SOURCES = ("api_key", "api_key_env", "api_key_command", "api_key_keyring")
MAX_TIMEOUT_S = 86_400.0

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)(?::?[-=?+].*)?\}?|%([A-Za-z_][A-Za-z0-9_]*)%")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_KEY_TEXT = re.compile(r"[\x21-\x7e]+")
_SHELL_SYNTAX = re.compile(r"[|;<>`]|\$\(|&&|\$\{?[A-Za-z_]")
_AUTH_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})
_FRAMING_HEADERS = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
    | {"accept", "accept-encoding", "expect", "keep-alive", "proxy-connection"}
)

KeyEnv = Callable[[str], str | None]
"""The environment variable that holds the key of a type's adapters unless told, None where there is none."""


def no_key_env(_type: str) -> str | None:
    """For a check without a catalog."""
    return None


class AdapterRules(msgspec.Struct, frozen=True):
    """What the check knows of the world: adapter types, the variable that each takes its key from unless told, and the
    environment."""

    known_types: Collection[str]
    default_key_env: KeyEnv
    env: Mapping[str, str]


def check_adapter(report: Report, entry: Field, rules: AdapterRules) -> AdapterConfig | None:
    """The adapter, or None where an error was reported."""
    owner = f"adapter {quote_name(entry.name)}"
    before = report.errors
    if not NAME.fullmatch(entry.name):
        message = "the name of an adapter is up to 64 letters, digits, '.', '_' and '-', and starts with a letter or digit"
        report.error(entry.key, "bad_name", message)
    fields = Fields({}, {}) if is_null(entry.node) else read_fields(report, entry.node, owner, _READERS)
    kind = _check_type(report, entry, fields, rules)
    if kind is not None:
        _check_sources(report, entry, fields, kind, rules)
        _check_base_url(report, entry, fields, kind, rules)
    if report.errors > before or kind is None:
        return None
    values: dict[str, Any] = {**fields.values, "type": kind}
    return AdapterConfig(entry.name, **values)


def _check_type(report: Report, entry: Field, fields: Fields, rules: AdapterRules) -> str | None:
    field = fields.entries.get("type")
    if field is None or is_null(field.node):
        if entry.name in rules.known_types:
            return entry.name
        message = f"adapter {quote_name(entry.name)} needs a type: write 'type: …' with one of {listed(rules.known_types)}"
        report.error(entry.key, "missing_field", message)
        return None
    kind = fields.values.get("type")
    if kind is None or kind in rules.known_types:
        return kind
    near = report.suggest(kind, rules.known_types)
    message = f"unknown adapter type {quote(kind)}{near}; the types are: {listed(rules.known_types)}"
    report.error(field.node, "unknown_type", message)
    return None


# ---- where requests go


def _check_base_url(report: Report, entry: Field, fields: Fields, kind: str, rules: AdapterRules) -> None:
    field = fields.entries.get("base_url")
    if field is None or is_null(field.node):
        if kind.endswith("-compatible"):
            message = (
                f"adapter {quote_name(entry.name)} needs a base_url: write where the {kind} server is, as 'base_url: https://…'"
            )
            report.error(entry.key, "missing_field", message)
        return
    url: str | None = fields.values.get("base_url")
    if url and _is_open_to_the_network(url) and _sends_key(fields, kind, rules):
        message = "the key goes over the network in clear text: use https, or a server on this machine"
        report.warning(field.node, "insecure_http", message)


def _sends_key(fields: Fields, kind: str, rules: AdapterRules) -> bool:
    return any(name in fields.values for name in KEY_SOURCES) or bool(rules.env.get(rules.default_key_env(kind) or ""))


def _is_open_to_the_network(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    from ipaddress import ip_address

    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


def _read_base_url(report: Report, field: Field) -> Any:
    url = read_text(report, field)
    if url is INVALID:
        return url
    fault = _fault_of_url(url)
    return report.error(field.node, "bad_base_url", f"base_url of {field.owner} {fault}") if fault else url


def _fault_of_url(url: str) -> str | None:
    """What is wrong with a base URL, never repeating it: it may hold a password."""
    if re.search(r"[\s\x00-\x20\x7f\\]", url):
        return "must not hold spaces, line breaks or backslashes"
    try:
        parts = urlsplit(url)
        return _fault_of_parts(parts, parts.port)
    except ValueError:
        return "is no URL: check its host and port; write it as https://host[:port][/path]"


def _fault_of_parts(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "must start with https:// (or http:// for a server on this machine)"
    if "@" in parts.netloc:
        return "must not hold a user or password; use api_key_env or api_key_command"
    if not parts.hostname or not re.fullmatch(r"[A-Za-z0-9._:%-]+", parts.hostname):
        return "needs a host in plain ASCII: write it as https://host[:port][/path]"
    if port == 0:
        return "has port 0; write the port that the server listens on"
    if parts.query or parts.fragment:
        return "must not hold a query or fragment ('?' or '#'); modeld adds the path of each request to it"
    return None


# ---- where the key comes from


def _check_sources(report: Report, entry: Field, fields: Fields, kind: str, rules: AdapterRules) -> None:
    given = [name for name in KEY_SOURCES if name in fields.entries and not is_null(fields.entries[name].node)]
    for name in given[1:]:
        message = f"adapter {quote_name(entry.name)} names several sources of its key; only {given[0]} counts, remove {name}"
        report.warning(fields.entries[name].key, "several_key_sources", message)
    if "api_key" in fields.values:
        message = "the key stands in this file in plain text: rather write 'api_key_env: NAME' or 'api_key_command: …'"
        report.warning(fields.entries["api_key"].key, "plaintext_key", message)
    if given[:1] == ["api_key_env"]:
        _check_variable(report, entry, fields.entries["api_key_env"].node, fields.values.get("api_key_env"), rules)
    elif not given:
        _check_variable(report, entry, entry.key, rules.default_key_env(kind), rules)


def _check_variable(report: Report, entry: Field, place: Node, name: str | None, rules: AdapterRules) -> None:
    """Warn where the variable that is to hold the key isn't set."""
    if name is None or rules.env.get(name, "").strip():
        return
    message = (
        f"the environment variable {quote_variable(name)} isn't set, so adapter {quote_name(entry.name)} is not configured: "
        "set it before the daemon starts; everything else works"
    )
    report.warning(place, "key_not_set", message)


def _read_key(report: Report, field: Field) -> Any:
    value = field.node.value() if isinstance(field.node, Scalar) else None
    if not isinstance(value, str):
        return report.wrong_type(field, "text in quotes")
    value = value.strip()
    if reference := _REFERENCE.fullmatch(value):
        name = quote_variable(reference.group(1) or reference.group(2))
        message = f"api_key takes the key itself, variables aren't filled in; write 'api_key_env: {name}' instead"
        return report.error(field.node, "key_is_reference", message)
    if not _KEY_TEXT.fullmatch(value):
        message = "this api_key is empty or holds spaces, line breaks or letters outside ASCII; copy the key again"
        return report.error(field.node, "bad_key", message)
    return Secret(value)


def _read_variable(report: Report, field: Field) -> Any:
    name = read_text(report, field)
    if name is INVALID:
        return name
    if reference := _REFERENCE.fullmatch(name):
        bare = quote_variable(reference.group(1) or reference.group(2))
        message = f"api_key_env takes the bare name of a variable; write 'api_key_env: {bare}'"
        return report.error(field.node, "bad_variable", message)
    if not _VARIABLE.fullmatch(name) or (looks_like_key(name) and name != name.upper()):
        message = "api_key_env takes the NAME of an environment variable, like PROVIDER_API_KEY, not the key itself"
        return report.error(field.node, "bad_variable", message)
    return name


def _read_command(report: Report, field: Field) -> Any:
    if isinstance(field.node, yaml_nodes.Sequence):
        words = read_texts(report, field)
        return _command(report, field, [word for word, _ in words]) if words is not INVALID else INVALID
    if not isinstance(field.node, Scalar) or not isinstance(field.node.value(), str):
        return report.wrong_type(field, "a command: a list of words, or one line of text")
    import shlex

    try:
        words = shlex.split(field.node.text)
    except ValueError:
        return report.error(field.node, "bad_command", "this command has an open quote; close it, or write a list of words")
    if _SHELL_SYNTAX.search(field.node.text):
        message = "the command runs without a shell, which alone knows '|', '>', ';' and '$'; for one write [sh, -c, '…']"
        report.warning(field.node, "shell_syntax", message)
    return _command(report, field, words)


def _command(report: Report, field: Field, words: list[str]) -> Any:
    if not words or not words[0]:
        return report.error(field.node, "bad_command", "api_key_command is empty; write the command that prints the key")
    return tuple(words)


def _read_keyring(report: Report, field: Field) -> Any:
    text = read_text(report, field)
    if text is INVALID:
        return text
    service, slash, user = text.partition("/")
    if not (service and slash and user):
        message = "api_key_keyring is written 'service/user', the two names under which the keyring has the key"
        return report.error(field.node, "bad_keyring", message)
    return text


# ---- headers and options


def _read_headers(report: Report, field: Field) -> Any:
    headers: dict[str, str] = {}
    for entry in read_entries(report, field.node, f"extra_headers of {field.owner}", "headers"):
        value = _read_header(report, entry)
        if value is not INVALID:
            headers[entry.name] = value
    return headers


def _read_header(report: Report, entry: Field) -> Any:
    name = entry.name.lower()
    if not _HEADER_NAME.fullmatch(name):
        message = "the name of a header is letters, digits and '-', without spaces or line breaks"
        return report.error(entry.key, "bad_header", message)
    if name in _AUTH_HEADERS:
        message = (
            f"the header {quote_name(entry.name)} carries a key, which modeld adds itself: write api_key_env or api_key_command"
        )
        return report.error(entry.key, "auth_header", message)
    if name in _FRAMING_HEADERS:
        return report.error(entry.key, "bad_header", f"the header {quote_name(entry.name)} is modeld's own to set; remove it")
    value = entry.node.value() if isinstance(entry.node, Scalar) else None
    if value is None or not isinstance(entry.node, Scalar):
        return report.error(entry.key, "wrong_type", f"the header {quote_name(entry.name)} needs a value: text")
    if not _HEADER_VALUE.fullmatch(entry.node.text):
        message = (
            f"the value of header {quote_name(entry.name)} holds a line break or letters outside ASCII; write it on one line"
        )
        return report.error(entry.node, "bad_header", message)
    if names_a_secret(name):
        message = f"the header {quote_name(entry.name)} looks like a key in plain text; keep keys out of this file"
        report.warning(entry.key, "plaintext_key", message)
    return entry.node.text


def _read_options(report: Report, field: Field) -> Any:
    options: dict[str, Any] = {}
    for entry in read_entries(report, field.node, f"options of {field.owner}", "options"):
        value = _read_option(report, entry)
        if value is not INVALID:
            options[entry.name] = value
    return options


def _read_option(report: Report, entry: Field) -> Any:
    if entry.name == "max_concurrent_calls":
        return _read_calls(report, entry)
    return _read_seconds(report, entry) if entry.name.endswith("_seconds") else read_plain(entry.node)


_read_calls = number_reader(
    f"a whole number of calls from 1 to {MAX_CALLS_RUNNING_PER_KEY}",
    lambda value: 1 <= value <= MAX_CALLS_RUNNING_PER_KEY,
    whole=True,
)
_read_seconds = number_reader(
    "a number of seconds above 0, at most a day", lambda value: math.isfinite(value) and 0 < value <= MAX_TIMEOUT_S
)

_READERS: dict[str, Reader] = {
    "type": read_text,
    "base_url": _read_base_url,
    "api_key": _read_key,
    "api_key_env": _read_variable,
    "api_key_command": _read_command,
    "api_key_keyring": _read_keyring,
    "timeout_seconds": _read_seconds,
    "max_retries": number_reader(f"a whole number from 0 to {MAX_RETRIES}", lambda value: 0 <= value <= MAX_RETRIES, whole=True),
    "extra_headers": _read_headers,
    "options": _read_options,
}
