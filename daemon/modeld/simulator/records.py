"""What the simulator remembers of the requests it got, within bounds, for tests to look at."""

from collections import deque
from collections.abc import Iterator
from hashlib import sha256

import msgspec

MAX_RECORDS = 1_000
MAX_BODY_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024  # of all bodies that are kept; the oldest lose theirs first
_SECRET_HEADERS = frozenset(("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"))


class RecordedRequest(msgspec.Struct):
    """One request. `at_s` is on the monotonic clock; `headers` are as sent, names in lower case; `body` is cut at 1 MiB
    while `body_bytes` is its true length. `script`, `fault` and `status` tell what was answered."""

    number: int
    at_s: float
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    body_bytes: int
    model: str = ""
    wire: str = ""
    script: str = ""
    fault: str = ""
    status: int = 0

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def json(self) -> object:
        """The body, decoded. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body)


class ClosedEarly(msgspec.Struct):
    """A client that left before its answer was complete. `at_s` is on the monotonic clock."""

    number: int
    path: str
    model: str
    at_s: float
    writes_made: int


class Records:
    """The last requests and early closes, and totals since the start or the last reset."""

    def __init__(self) -> None:
        self.requests: deque[RecordedRequest] = deque(maxlen=MAX_RECORDS)
        self.closed_early: deque[ClosedEarly] = deque(maxlen=MAX_RECORDS)
        self.request_count = 0
        self.closed_early_count = 0
        self._body_bytes = 0

    def add(self, request: RecordedRequest) -> None:
        """Keep a request, and let go of what no longer fits."""
        if len(self.requests) == MAX_RECORDS:
            self._body_bytes -= len(self.requests.popleft().body)
        self.request_count += 1
        self._body_bytes += len(request.body)
        self.requests.append(request)
        if self._body_bytes > MAX_TOTAL_BYTES:
            self._drop_bodies()

    def _drop_bodies(self) -> None:
        for kept in self.requests:
            if self._body_bytes <= MAX_TOTAL_BYTES:
                return
            self._body_bytes -= len(kept.body)
            kept.body = b""

    def add_closed_early(self, closed: ClosedEarly) -> None:
        """Keep an early close."""
        self.closed_early_count += 1
        self.closed_early.append(closed)

    def reset(self) -> None:
        """Forget everything."""
        self.requests.clear()
        self.closed_early.clear()
        self.request_count = self.closed_early_count = self._body_bytes = 0

    def since(self, number: int) -> Iterator[RecordedRequest]:
        """The requests after that number."""
        return (request for request in self.requests if request.number > number)


def public_view(request: RecordedRequest, *, show_keys: bool) -> dict[str, object]:
    """A request for the control page: the body as text, credentials as fingerprints unless they may be shown.

    Any local user can read a loopback port, and the key may be a real one.
    """
    headers = [(name, value if show_keys else masked(name, value)) for name, value in request.headers]
    view = msgspec.structs.asdict(request)
    return {**view, "headers": headers, "body": request.body.decode("utf-8", "replace")}


def masked(name: str, value: str) -> str:
    """A credential header's value as `sha256:` and twelve digits of its hash, scheme kept; other headers as they are."""
    if name not in _SECRET_HEADERS:
        return value
    scheme, space, secret = value.rpartition(" ")
    return f"{scheme}{space}sha256:{sha256(secret.encode()).hexdigest()[:12]}"
