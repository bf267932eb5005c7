"""A call whose model has fallbacks: the next one is asked where a model fails for reasons of its provider, before the client has
heard anything. Each try is a call of its own on the books.
"""

from collections.abc import Awaitable, Callable

import msgspec

from modeld_protocol.errors import RETRYABLE
from modeld_protocol.events import CallFallback, Event
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Warning

from .providers.call import Call, Consumer
from .providers.failure import ProviderFailure
from .providers.spec import ModelSpec

Run = Callable[[Call], Awaitable[CanonicalResponse]]
IsDown = Callable[[ModelSpec], bool]


class _Gate:
    """Passes a stream on; what an attempt sends only when it ends (a start and an end, where nothing lies between) is held."""

    def __init__(self, call: Call, consumer: Consumer) -> None:
        self.opened = False
        self.held: list[Event] = []
        self._call = call
        self._consumer = consumer

    @property
    def writable(self) -> bool:
        return self._consumer.writable

    def emit(self, events: list[Event]) -> None:
        assembler = self._call.assembler
        if assembler is not None and assembler.completed:
            self.held += events
        else:
            self.opened = True
            self._consumer.emit(events)

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        return self._consumer.on_writable_change(callback)


class _Try:
    """A call and the models that it has been through."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.warnings: list[Warning] = []
        self.failure: ProviderFailure | None = None
        self.told: list[Event] = []
        self._chosen = call.spec
        self._request = call.request
        self._consumer = call.consumer
        self._gate = _Gate(call, call.consumer) if call.consumer is not None else None
        if self._gate is not None:
            call.consumer = self._gate

    def may_go_on(self, failure: ProviderFailure) -> bool:
        """Whether another model may be asked: nothing was heard, and the chosen one failed for reasons of its provider. What a
        model that stands in fails for doesn't matter, as long as nobody cancelled."""
        if failure.partial is not None or failure.error_class == "cancelled" or (self._gate is not None and self._gate.opened):
            return False
        if self.call.spec is self._chosen:
            return failure.retryable and failure.error_class in RETRYABLE
        return True

    def note(self, failure: ProviderFailure) -> None:
        """Remember the chosen model's failure, and what the client would have been told of it."""
        if self._gate is not None:
            if self.failure is None or self.call.spec is self._chosen:
                self.told = self._gate.held
            self._gate.held = []
        if self.failure is None or self.call.spec is self._chosen:
            self.failure = failure

    def switch(self, spec: ModelSpec, why: str) -> None:
        """Make it a call to `spec`."""
        call, before = self.call, self.call.spec
        call.trace(CallFallback(call.request_id, before.provider, before.id, 0, spec.id, why))
        messages, said = call.project(spec) if call.project is not None else (self._request.messages, [])
        call.request = msgspec.structs.replace(self._request, messages=messages)
        call.spec = spec
        call.partial = call.outcome = call.end = call.assembler = None
        if spec is self._chosen:
            self.warnings = []
            return
        told = f"{spec.id} answers in place of {before.id}: {_because(why)}"
        self.warnings += [Warning("fallback_used", told, "model", {"from": before.id, "to": spec.id, "why": why}), *said]

    def give_up(self) -> ProviderFailure:
        """The failure to raise: that of the model that was chosen."""
        assert self.failure is not None
        if self.call.spec is not self._chosen:
            self.failure.message += "; every fallback of the model failed too"
            self.call.spec, self.call.request = self._chosen, self._request
        if self._gate is not None:
            self._gate.held = self.told
        return self.failure

    def close(self) -> None:
        """Let go what was held; the call has its own consumer again."""
        if self._gate is None:
            return
        self.call.consumer = self._consumer
        held, self._gate.held = self._gate.held, []
        if held and self._consumer is not None:
            self._consumer.emit(held)


async def run_with_fallbacks(call: Call, fallbacks: list[ModelSpec], is_down: IsDown, run: Run) -> CanonicalResponse:
    """Run a call; where its model is down, or fails before anything was heard, the next of `fallbacks` that is not down. The
    model itself comes last where it was passed over. Raises ProviderFailure."""
    attempt = _Try(call)
    waiting = [spec for spec in fallbacks if not is_down(spec)]
    if waiting and is_down(call.spec):
        waiting.append(call.spec)
        attempt.switch(waiting.pop(0), "unavailable")
    try:
        while True:
            try:
                response = await run(call)
            except ProviderFailure as failure:
                if not attempt.may_go_on(failure):
                    raise
                if not waiting:
                    attempt.note(failure)
                    raise attempt.give_up() from failure
                attempt.note(failure)
                attempt.switch(waiting.pop(0), failure.error_class)
            else:
                response.warnings = [*attempt.warnings, *response.warnings]
                return response
    finally:
        attempt.close()


def _because(why: str) -> str:
    return "its provider does not answer" if why == "unavailable" else f"the call to it failed ({why})"
