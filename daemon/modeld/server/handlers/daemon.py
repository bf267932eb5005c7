"""`daemon/*`: how it does, and its end."""

from collections.abc import Callable
from typing import Protocol

from modeld_protocol.config import DaemonStatus, StopParams, StopResult
from modeld_protocol.jsonrpc import Empty

from ..requests import CallContext
from ..router import Router


class _Stop(Protocol):
    def __call__(self, *, force: bool = False) -> None: ...


class DaemonHandlers:
    """The handlers of `daemon/*`; any client of the user may call them."""

    def __init__(self, status: Callable[[], DaemonStatus], stop: _Stop) -> None:
        self._status = status
        self._stop = stop

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("daemon/status", self.status)
        router.add("daemon/stop", self.stop)

    def status(self, context: CallContext, params: Empty) -> DaemonStatus:
        """How the daemon does."""
        return self._status()

    def stop(self, context: CallContext, params: StopParams) -> StopResult:
        """Drain and end; the reply goes out first."""
        self._stop(force=params.force)
        return StopResult(stopping=True)
