"""`session/*`: durable conversations, and following them."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from modeld_protocol.errors import REQUEST_FAILED, ErrorData
from modeld_protocol.session import (
    DeleteResult,
    ForkPoints,
    SessionAppendParams,
    SessionAppendResult,
    SessionCreateParams,
    SessionExport,
    SessionForkParams,
    SessionGetResult,
    SessionListParams,
    SessionListResult,
    SessionProblem,
    SessionRef,
    SessionResult,
    SessionUpdateParams,
    SessionValidateParams,
    SessionValidateResult,
    SubscribeParams,
    SubscribeResult,
)

from ...ledger.store import StoreError
from ...providers.failure import ProviderFailure
from ...sessions.as_sent import as_sent_of, decode_append, decode_export
from ...sessions.history import pending_problems
from ...sessions.registry import Sessions
from ...sessions.turn import Turns
from ..errors import RpcError
from ..requests import CallContext
from ..router import Router

H = TypeVar("H", bound=Callable[..., Awaitable[Any]])


def failing(handler: H) -> H:
    """Answers a handler's failures as the protocol has them."""

    @functools.wraps(handler)
    async def wrapped(self: Any, context: CallContext, params: Any) -> Any:
        try:
            return await handler(self, context, params)
        except ProviderFailure as failure:
            raise RpcError(REQUEST_FAILED, failure.message, failure.data()) from failure
        except StoreError as error:
            raise RpcError(REQUEST_FAILED, error.message, ErrorData("other", error.message, retryable=True)) from error

    return wrapped  # pyright: ignore[reportReturnType] - the same signature


class SessionHandlers:
    """The handlers of `session/*`; every client of the user may reach every session."""

    def __init__(self, sessions: Sessions, turns: Turns) -> None:
        self._sessions = sessions
        self._turns = turns

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        for name in ("create", "get", "list", "update", "delete", "fork", "validate", "export", "subscribe"):
            router.add(f"session/{name}", getattr(self, name))
        router.add("session/forkPoints", self.fork_points)
        router.add("session/append", self.append, decode=decode_append)
        router.add("session/import", self.import_, decode=decode_export)
        router.add("session/unsubscribe", self.unsubscribe)

    @failing
    async def create(self, context: CallContext, params: SessionCreateParams) -> SessionResult:
        """A new session."""
        return SessionResult(await self._sessions.create(params))

    @failing
    async def get(self, context: CallContext, params: SessionRef) -> SessionGetResult:
        """A session and its messages."""
        live = await self._sessions.open(params.session_id)
        return SessionGetResult(live.describe(), live.history())

    @failing
    async def list(self, context: CallContext, params: SessionListParams) -> SessionListResult:
        """A page of sessions."""
        return await self._sessions.page(params)

    @failing
    async def update(self, context: CallContext, params: SessionUpdateParams) -> SessionResult:
        """Change settings."""
        return SessionResult(await self._sessions.update(params))

    @failing
    async def delete(self, context: CallContext, params: SessionRef) -> DeleteResult:
        """Delete a session."""
        await self._sessions.delete(params.session_id)
        return DeleteResult(True)

    @failing
    async def append(self, context: CallContext, params: SessionAppendParams) -> SessionAppendResult:
        """Add messages without a call."""
        return SessionAppendResult(await self._sessions.append(params, as_sent_of(params)))

    @failing
    async def fork(self, context: CallContext, params: SessionForkParams) -> SessionResult:
        """A session of its own with the history so far."""
        return SessionResult(await self._sessions.fork(params))

    @failing
    async def fork_points(self, context: CallContext, params: SessionRef) -> ForkPoints:
        """Where it may be forked."""
        return await self._sessions.fork_points(params.session_id)

    @failing
    async def validate(self, context: CallContext, params: SessionValidateParams) -> SessionValidateResult:
        """Whether it can go on: no calls wait, and the model can take what there is."""
        live = await self._sessions.open(params.session_id)
        problems = pending_problems(live.pairing)
        try:
            preview = await self._turns.preview(params.session_id, params.model or live.settings.model)
        except ProviderFailure as failure:
            problems.append(SessionProblem(failure.error_class, failure.message))
        else:
            problems += [SessionProblem(refused.code, refused.message) for refused in preview.refused]
        return SessionValidateResult(not problems, problems)

    @failing
    async def export(self, context: CallContext, params: SessionRef) -> SessionExport:
        """The session as one object."""
        return await self._sessions.export(params.session_id)

    @failing
    async def import_(self, context: CallContext, params: SessionExport) -> SessionResult:
        """A new session from an exported one."""
        return SessionResult(await self._sessions.import_(params, as_sent_of(params)))

    @failing
    async def subscribe(self, context: CallContext, params: SubscribeParams) -> SubscribeResult:
        """Follow a session."""
        return await self._sessions.subscribe(context.connection, params)

    @failing
    async def unsubscribe(self, context: CallContext, params: SessionRef) -> None:
        """Follow it no longer."""
        await self._sessions.unsubscribe(context.connection, params.session_id)
