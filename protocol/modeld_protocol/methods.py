"""Every method and notification of the protocol, with the types of its params and result: the one table."""

from typing import Any, NamedTuple

from . import config, events, jsonrpc, lifecycle, model, session
from .request import CanonicalRequest
from .response import CanonicalResponse


class Method(NamedTuple):
    """A request."""

    params: Any
    result: Any
    summary: str


class NotificationType(NamedTuple):
    """A notification; `direction` is who sends it."""

    params: Any
    direction: str
    summary: str


METHODS: dict[str, Method] = {
    "initialize": Method(lifecycle.InitializeParams, lifecycle.InitializeResult, "Open the connection; LSP's own method."),
    "shutdown": Method(jsonrpc.Empty, None, "End this client's work; the daemon lives on."),
    "model/list": Method(jsonrpc.Empty, model.ModelList, "Every configured model."),
    "model/discover": Method(model.DiscoverParams, model.DiscoverResult, "Ask providers which models they have."),
    "model/estimateTokens": Method(model.TokenCountParams, model.TokenCount, "Estimate input tokens locally."),
    "model/countTokens": Method(model.TokenCountParams, model.TokenCount, "Have the provider count input tokens."),
    "model/complete": Method(CanonicalRequest, CanonicalResponse, "One call, one answer."),
    "model/stream": Method(CanonicalRequest, CanonicalResponse, "One call; stream/event notifications come before the answer."),
    "provider/list": Method(jsonrpc.Empty, model.ProviderList, "Providers with capabilities and availability."),
    "session/create": Method(session.SessionCreateParams, session.SessionResult, "Start a durable conversation."),
    "session/get": Method(session.SessionRef, session.SessionGetResult, "A session and its messages."),
    "session/list": Method(session.SessionListParams, session.SessionListResult, "Sessions, newest first."),
    "session/update": Method(session.SessionUpdateParams, session.SessionResult, "Change a session's settings."),
    "session/delete": Method(session.SessionRef, session.DeleteResult, "Delete a session."),
    "session/append": Method(session.SessionAppendParams, session.SessionAppendResult, "Append messages without a call."),
    "session/fork": Method(session.SessionForkParams, session.SessionResult, "Branch a session at a safe point."),
    "session/forkPoints": Method(session.SessionRef, session.ForkPoints, "Where a session may be forked."),
    "session/validate": Method(session.SessionValidateParams, session.SessionValidateResult, "Can this session go on?"),
    "session/export": Method(session.SessionRef, session.SessionExport, "A session as one object."),
    "session/import": Method(session.SessionExport, session.SessionResult, "The reverse of session/export."),
    "session/subscribe": Method(session.SubscribeParams, session.SubscribeResult, "Follow a session's events."),
    "session/unsubscribe": Method(session.SessionRef, None, "Stop following."),
    "turn/start": Method(session.TurnStartParams, session.TurnResult, "Run a turn on a session."),
    "turn/cancel": Method(session.TurnCancelParams, session.TurnCancelResult, "Cancel a running turn."),
    "handoff/preview": Method(session.HandoffPreviewParams, session.HandoffReport, "What a model switch would change and cost."),
    "usage/query": Method(session.UsageQueryParams, session.UsageQueryResult, "Calls of the ledger, one row each."),
    "usage/aggregate": Method(session.UsageAggregateParams, session.UsageAggregateResult, "Calls of the ledger, summed."),
    "usage/reprice": Method(
        session.UsageRepriceParams, session.UsageRepriceResult, "Price stored calls again, at the prices of now."
    ),
    "file/upload": Method(session.FileUploadParams, session.ProviderFile, "Upload a file to a provider."),
    "file/list": Method(session.FileListParams, session.FileListResult, "Files at a provider."),
    "file/delete": Method(session.FileDeleteParams, session.DeleteResult, "Delete a file at a provider."),
    "cache/create": Method(session.CacheCreateParams, session.ProviderCache, "Create an explicit prompt cache."),
    "cache/list": Method(session.CacheListParams, session.CacheListResult, "Explicit prompt caches at a provider."),
    "cache/delete": Method(session.CacheDeleteParams, session.DeleteResult, "Delete an explicit prompt cache."),
    "config/check": Method(config.CheckParams, config.CheckResult, "Check a config file or text."),
    "config/reload": Method(jsonrpc.Empty, config.ReloadResult, "Read the config file again now."),
    "config/get": Method(jsonrpc.Empty, config.ConfigGetResult, "The effective config, redacted."),
    "daemon/status": Method(jsonrpc.Empty, config.DaemonStatus, "How the daemon does."),
    "daemon/stop": Method(config.StopParams, config.StopResult, "Drain and end the daemon."),
}

NOTIFICATIONS: dict[str, NotificationType] = {
    "initialized": NotificationType(jsonrpc.Empty, "client", "The client is ready."),
    "exit": NotificationType(jsonrpc.Empty, "client", "Close this connection."),
    "$/cancelRequest": NotificationType(jsonrpc.CancelParams, "client", "Cancel a request; it reaches the provider."),
    "$/setTrace": NotificationType(lifecycle.SetTraceParams, "client", "Turn trace/event on (messages, verbose) or off."),
    "$/progress": NotificationType(jsonrpc.ProgressParams, "server", "Progress of long work."),
    "window/logMessage": NotificationType(jsonrpc.LogMessageParams, "server", "Something worth logging."),
    "stream/event": NotificationType(events.StreamEvent, "server", "One canonical event."),
    "stream/gap": NotificationType(events.StreamGap, "server", "Events that a slow client missed."),
    "trace/event": NotificationType(events.TraceEvent, "server", "One attempt at a provider started, completed or failed."),
    "session/changed": NotificationType(session.SessionChanged, "server", "A session changed."),
    "config/changed": NotificationType(config.ConfigChanged, "server", "The config was reloaded, or could not be."),
    "availability/changed": NotificationType(events.AvailabilityChanged, "server", "A provider's availability changed."),
}
