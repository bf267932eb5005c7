"""What the log says of calls: ids, names, classes, counts and times, each line with whose call it is."""

from modeld_protocol.events import CachePrefixChanged, CallCompleted, CallFailed, CallFallback, CallStarted, TraceEvent

from .debug import Debug
from .log import Logger, logger

_log = logger("runtime")


class CallLog:
    """The trace bus of one call into the log. The ids say whose call it is; they stand in every line."""

    __slots__ = ("_client_id", "_debug", "_session_id", "_turn_id")

    def __init__(self, debug: Debug, client_id: str | None, session_id: str | None, turn_id: str | None) -> None:
        self._debug = debug
        self._client_id = client_id
        self._session_id = session_id
        self._turn_id = turn_id

    def observe(self, event: TraceEvent) -> None:
        """Write what is to be said of one event."""
        if isinstance(event, CallStarted):
            if _log.wants("debug"):
                self._of_call().debug("attempt started", **self._named(event), streaming=event.streaming)
        elif isinstance(event, CallCompleted):
            if _log.wants("info"):
                fields = {**self._named(event), **self._counts(event)}
                self._of_call().info("call completed", **fields, stop_reason=event.stop_reason)
        elif isinstance(event, CallFailed):
            self._failed(event)
        elif isinstance(event, CallFallback):
            fields = self._named(event)
            self._of_call().info("another model is asked", **fields, fallback_model=event.fallback_model, why=event.why)
        elif isinstance(event, CachePrefixChanged) and self._debug.cache:
            lost = {"part": event.part, "message_index": event.message, "tokens": event.tokens, "cost": event.cost}
            self._of_call().warning("cached prefix lost", **self._named(event), **lost)

    def _of_call(self) -> Logger:
        return _log.child(client=self._client_id, session_id=self._session_id, turn_id=self._turn_id)

    def _failed(self, event: CallFailed) -> None:
        if event.will_retry and not self._debug.retries:
            return
        log = self._of_call()
        say = log.info if event.error_class == "cancelled" else log.warning
        status, will_retry = event.provider_status, event.will_retry
        say("call failed", **self._named(event), error_class=event.error_class, status=status, will_retry=will_retry)

    def _named(self, event: CallStarted | CallCompleted | CallFailed | CallFallback | CachePrefixChanged) -> dict[str, object]:
        fields: dict[str, object] = {
            "request_id": event.request_id,
            "provider": event.provider,
            "model": event.model,
            "retry_count": event.retry_count,
        }
        if isinstance(event, CallCompleted | CallFailed):
            fields["latency_ms"] = round(event.latency_ms or 0, 1)
        return fields

    def _counts(self, event: CallCompleted) -> dict[str, object]:
        usage, debug = event.usage, self._debug
        fields: dict[str, object] = {}
        if usage is None:
            return fields
        if debug.token_usage:
            fields |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        if debug.cache:
            fields |= {
                "cached_input_tokens": usage.cached_input_tokens,
                "cache_creation_input_tokens": usage.cache_creation_input_tokens,
            }
        return fields
