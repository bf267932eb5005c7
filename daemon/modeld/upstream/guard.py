"""Where requests may go: base URLs are checked once, when they are configured. Pure."""

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from .contract import Origin

_PORTS: Final = {"http": 80, "https": 443}
_UNSAFE: Final = re.compile(r"[\s\x00-\x1f\x7f\\]")
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_HOST_IPV6: Final = re.compile(r"[0-9a-f:.]{2,45}")
_TARGET: Final = re.compile(r"/[!-\"$-~]*")  # visible ASCII without #
_LOOPBACK: Final = re.compile(r"localhost|.+\.localhost|127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3}")


class InvalidBaseUrl(ValueError):
    """A base URL that can't be used. The message says what to write instead, and shows no password."""


class BaseUrl(NamedTuple):
    """A checked base URL: where to connect, and the path (and query) that every request's path is joined to."""

    origin: Origin
    path: str

    @property
    def is_plaintext_remote(self) -> bool:
        """Whether a key would cross a network unencrypted: http to a host that isn't this machine."""
        return is_plaintext_remote(self.origin)


def parse_base_url(url: str) -> BaseUrl:
    """`https://host[:port][/path][?query]`, also http; loopback and private addresses are the user's own choice.

    Raises InvalidBaseUrl for other schemes, user info, fragments, spaces, and hosts and ports that can't be.
    """
    if _UNSAFE.search(url):
        raise InvalidBaseUrl("the URL holds a space, a backslash or a control character; write it without")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidBaseUrl("the URL's host or port can't be read; write it like https://host:8443/v1") from None
    if parts.scheme not in _PORTS:
        raise InvalidBaseUrl("the URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise InvalidBaseUrl("the URL holds a user name or password; put the key under api_key_env instead")
    if "#" in url:
        raise InvalidBaseUrl("the URL holds a fragment (#…), which is never sent; remove it")
    if port == 0:
        raise InvalidBaseUrl("port 0 can't be connected to; write the server's port")
    origin = Origin(parts.scheme, _check_host(parts.hostname or ""), port or _PORTS[parts.scheme])
    return BaseUrl(origin, _check_path(parts.path, parts.query))


def is_plaintext_remote(origin: Origin) -> bool:
    """Whether it is http to a host that isn't this machine."""
    return origin.scheme == "http" and _LOOPBACK.fullmatch(origin.host) is None


def authority(origin: Origin) -> str:
    """Host and port as the Host header has them: IPv6 in brackets, no default port."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == _PORTS[origin.scheme] else f"{host}:{origin.port}"


def join_target(base_path: str, path: str) -> str:
    """The request target of `path` below a base URL's path; the queries of both are kept.

    `/v1` and `/chat/completions` give `/v1/chat/completions`. Raises InvalidBaseUrl for what is no target.
    """
    base, _, base_query = base_path.partition("?")
    end, _, query = path.partition("?")
    joined = f"{base.rstrip('/')}/{end.lstrip('/')}" if end else base or "/"
    queries = "&".join(filter(None, (base_query, query)))
    target = f"{joined}?{queries}" if queries else joined
    if not is_target(target):
        raise InvalidBaseUrl("the path holds characters that must be percent-encoded; write them as %XX")
    return target


def is_target(target: str) -> bool:
    """Whether it can stand in a request line."""
    return _TARGET.fullmatch(target) is not None


def _check_host(host: str) -> str:
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise InvalidBaseUrl("the URL's host name can't be written in ASCII; check its spelling") from None
    pattern = _HOST_IPV6 if ":" in host else _HOST_NAME
    if len(host) > 253 or not pattern.fullmatch(host):
        raise InvalidBaseUrl("the URL has no valid host; write it like https://host:8443/v1")
    return host


def _check_path(path: str, query: str) -> str:
    path = path.rstrip("/")
    target = f"{path}?{query}" if query else path
    if target and not is_target(target if target[0] == "/" else f"/{target}"):
        raise InvalidBaseUrl("the URL's path holds characters that must be percent-encoded; write them as %XX")
    return target
