"""The head of a request as bytes, and the one place where a credential becomes a header. Pure."""

import re
from typing import Final

import msgspec

from .. import __version__
from .contract import HttpRequest, UpstreamError
from .guard import authority, is_target

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade", "te"}
)
_MAX_HEADS: Final = 64
_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class RequestRefused(UpstreamError):
    """The request was never sent and never can be: a fault of the configuration, which trying again doesn't cure."""

    def __init__(self, message: str) -> None:
        super().__init__("protocol", message)


def encode_head(request: HttpRequest) -> bytes:
    """Request line and headers, through to the blank line. Raises RequestRefused for what can't be sent."""
    return _end_head(_begin_head(request), request)


def _begin_head(request: HttpRequest) -> bytes:
    """All that doesn't depend on the body."""
    lines = [f"{request.method} {request.target} HTTP/1.1\r\nhost: {authority(request.origin)}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in full_headers(request)]
    return "".join(lines).encode("latin-1")


def _end_head(head: bytes, request: HttpRequest) -> bytes:
    if request.body or request.method not in _BODILESS:
        return b"%bcontent-length: %d\r\n\r\n" % (head, len(request.body))
    return head + b"\r\n"


class Heads:
    """Heads of requests; those of an adapter's calls differ in their length alone, and are checked and put together once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool], tuple[HttpRequest, bytes]] = {}

    def encode(self, request: HttpRequest) -> bytes:
        """As `encode_head`."""
        name = request.target, request.stream
        known = self._known.get(name)
        if known is not None and _same_head(known[0], request):
            return _end_head(known[1], request)
        head = _begin_head(request)
        if len(self._known) >= _MAX_HEADS:
            self._known.clear()
        self._known[name] = msgspec.structs.replace(request, body=b""), head
        return _end_head(head, request)


def _same_head(one: HttpRequest, other: HttpRequest) -> bool:
    """Whether two requests for one target have the same head."""
    return (
        one.credential is other.credential
        and one.headers == other.headers
        and one.origin == other.origin
        and one.method == other.method
    )


def full_headers(request: HttpRequest) -> list[tuple[str, str]]:
    """The request's headers with those that are the client's: encoding, user agent and the credential.

    Raises RequestRefused where the credential isn't meant for this origin, and for what could change where the
    request ends or where it goes.
    """
    if not is_target(request.target) or not _NAME.fullmatch(request.method):
        raise RequestRefused("the request's path or method holds characters that HTTP has no place for; check base_url")
    credential = request.credential
    secret_name = None if credential is None else credential.header.lower()
    headers = [("accept-encoding", "identity" if request.stream else "gzip")]
    has_agent = False
    for name, value in request.headers:
        lowered = name.lower()
        if lowered in _OURS:
            raise RequestRefused(f"the header {lowered} is the daemon's own; remove it from the configured headers")
        if lowered == secret_name:
            continue
        has_agent = has_agent or lowered == "user-agent"
        _check_header(name, value)
        headers.append((name, value))
    if not has_agent:
        headers.append(("user-agent", f"modeld/{__version__}"))
    if credential is not None:
        headers.append(_credential_header(request))
    return headers


def _credential_header(request: HttpRequest) -> tuple[str, str]:
    credential = request.credential
    assert credential is not None
    if str(request.origin) not in credential.allowed_origins:
        allowed = ", ".join(sorted(credential.allowed_origins)) or "no origin"
        raise RequestRefused(
            f"the key from {credential.source} may be sent to {allowed}, not to {request.origin}; give this provider its own key",
        )
    value = credential.prefix + credential.secret.reveal()
    if not _NAME.fullmatch(credential.header) or not _VALUE.fullmatch(value) or value != value.strip():
        raise RequestRefused(
            f"the key from {credential.source} holds a line break, a space at an end or a character that a header can't carry; "
            "store it again without",
        )
    return credential.header, value


def _check_header(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        shown = name if _NAME.fullmatch(name) else repr(name[:40])
        raise RequestRefused(f"the header {shown} holds a line break or a character that HTTP can't carry; correct it")
