"""The Python client of modeld: `AsyncClient` on asyncio, `Client` without await.

    async with AsyncClient.connect() as client:
        reply = await client.complete(model="sonnet", messages="Hello")

Names are imported when they are first used, so that importing this package, or its `launch` module alone, costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import Notification
    from .client import (
        AsyncClient,
        AsyncNotifications,
    )
    from .errors import (
        AuthFailed,
        Cancelled,
        CapabilityMismatch,
        ConnectionLost,
        ContentFiltered,
        ContextOverflow,
        DaemonUnavailable,
        HandshakeFailed,
        InvalidParams,
        InvalidRequest,
        MethodNotFound,
        ModeldError,
        ModelNotFound,
        NetworkFailed,
        NotConfigured,
        Overloaded,
        QuotaExceeded,
        RateLimited,
        RequestFailed,
        RpcError,
        ServerFailed,
        StreamOverrun,
        ThinkingSignatureInvalid,
        UnreadableReply,
    )
    from .session_calls import SessionEvent
    from .sessions import AsyncSession, AsyncSessionFeed, AsyncSessions, AsyncTurn
    from .stream import AsyncStream
    from .sync import (
        Client,
        Notifications,
        Stream,
    )
    from .sync_sessions import Session, SessionFeed, Sessions, Turn

_MODULES = {
    "calls": ("Notification",),
    "client": (
        "AsyncClient",
        "AsyncNotifications",
    ),
    "errors": (
        "AuthFailed",
        "Cancelled",
        "CapabilityMismatch",
        "ConnectionLost",
        "ContentFiltered",
        "ContextOverflow",
        "DaemonUnavailable",
        "HandshakeFailed",
        "InvalidParams",
        "InvalidRequest",
        "MethodNotFound",
        "ModelNotFound",
        "ModeldError",
        "NetworkFailed",
        "NotConfigured",
        "Overloaded",
        "QuotaExceeded",
        "RateLimited",
        "RequestFailed",
        "RpcError",
        "ServerFailed",
        "StreamOverrun",
        "ThinkingSignatureInvalid",
        "UnreadableReply",
    ),
    "session_calls": ("SessionEvent",),
    "sessions": ("AsyncSession", "AsyncSessionFeed", "AsyncSessions", "AsyncTurn"),
    "stream": ("AsyncStream",),
    "sync": (
        "Client",
        "Notifications",
        "Stream",
    ),
    "sync_sessions": ("Session", "SessionFeed", "Sessions", "Turn"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AsyncClient",
    "AsyncNotifications",
    "AsyncSession",
    "AsyncSessionFeed",
    "AsyncSessions",
    "AsyncStream",
    "AsyncTurn",
    "AuthFailed",
    "Cancelled",
    "CapabilityMismatch",
    "Client",
    "ConnectionLost",
    "ContentFiltered",
    "ContextOverflow",
    "DaemonUnavailable",
    "HandshakeFailed",
    "InvalidParams",
    "InvalidRequest",
    "MethodNotFound",
    "ModelNotFound",
    "ModeldError",
    "NetworkFailed",
    "NotConfigured",
    "Notification",
    "Notifications",
    "Overloaded",
    "QuotaExceeded",
    "RateLimited",
    "RequestFailed",
    "RpcError",
    "ServerFailed",
    "Session",
    "SessionEvent",
    "SessionFeed",
    "Sessions",
    "Stream",
    "StreamOverrun",
    "ThinkingSignatureInvalid",
    "Turn",
    "UnreadableReply",
]


def __getattr__(name: str) -> Any:
    if (module := _MODULE_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
    return value


def __dir__() -> list[str]:
    return __all__
