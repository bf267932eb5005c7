"""One question and its answer on a terminal: the part that `ask` and `chat` share."""

import argparse
import sys
import threading
from collections.abc import Callable
from typing import TextIO, TypeVar, cast

from modeld_client import Client, Session, Stream
from modeld_client.calls import RequestFields
from modeld_client.errors import ModeldError, NotConfigured, RequestFailed
from modeld_client.session_calls import TurnFields
from modeld_protocol.content import Block, Message, RefusalBlock
from modeld_protocol.events import CallFailed, Event, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.request import Thinking
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import TurnResult
from modeld_protocol.usage import Warning

from .daemon import connect, unlent_variables
from .terminal import note, paint, say, shown

T = TypeVar("T")

_STOPS = {
    "max_tokens": "cut off at the token limit; --max-tokens sets it",
    "content_filter": "the provider's filter stopped the answer; say it in other words",
    "refusal": "the model declined",
    "pause": "the model pauses a long turn; ask it to go on",
}
_UNSAID = frozenset(("usage_estimated", "price_missing"))  # the line of figures says as much
_OURS = "thinking.display"  # asked for by us, so that there is something to see


class Stopped(Exception):
    """Ctrl-C; the call is cancelled at the provider. `partial` is what had come."""

    def __init__(self, partial: CanonicalResponse | None) -> None:
        super().__init__("stopped")
        self.partial = partial


class Conversation:
    """A client of the daemon and the options that its requests are made of."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._lent: list[str] = []
        self._warned: set[tuple[str, str]] = set()
        self.client = self._connect()

    def _connect(self) -> Client:
        """A client; where a person watches, also a thread that tells of retries while everybody waits."""
        watched = sys.stderr.isatty() and not self.options.quiet
        client = connect(self.options, more_keys=self._lent, trace=watched)
        if watched:
            threading.Thread(target=_tell_retries, args=(client,), daemon=True).start()
        return client

    def close(self) -> None:
        """Let go of the daemon, which lives on."""
        self.client.close()

    def answer(self, messages: list[Message]) -> CanonicalResponse:
        """Stream one answer to the terminal. Raises RequestFailed, and Stopped at Ctrl-C, once the call is cancelled."""
        return self.attempt(lambda: self._stream(messages))

    def complete(self, messages: list[Message]) -> CanonicalResponse:
        """The answer in one piece, unseen. Raises RequestFailed."""
        return self.attempt(lambda: self.client.complete(**self.fields(messages)))

    def attempt(self, call: Callable[[], T]) -> T:
        """Make a call; where a key is missing that can be had, have it and call again."""
        while True:
            try:
                return call()
            except NotConfigured:
                if not self._find_key():
                    raise

    def _find_key(self) -> bool:
        """Whether the call may succeed now: with a key that only this shell has, or at another provider when any will do."""
        variables = unlent_variables(self.client, self._lent)
        if variables:
            self.client.close()
            self._lent += variables
            self.client = self._connect()
            return True
        if self.options.model or self.options.provider:
            return False
        keyed = [provider for provider in self.client.providers() if provider.availability != "not_configured"]
        usable = [provider.name for provider in keyed if provider.models]
        if not usable:
            return False
        note(f"the default model has no key here; asking {usable[0]}")
        self.options.provider = usable[0]
        return True

    def fields(self, messages: list[Message]) -> RequestFields:
        """The request fields that the command line gives."""
        options = self.options
        fields: RequestFields = {"messages": messages}
        if options.model:
            fields["model"] = options.model
        if options.provider:
            fields["provider"] = options.provider
        if options.system:
            fields["system_prompt"] = options.system
        if options.max_tokens is not None:
            fields["max_output_tokens"] = options.max_tokens
        if options.temperature is not None:
            fields["temperature"] = options.temperature
        if options.think:
            fields["thinking"] = thinking(options.think)
        return fields

    def _stream(self, messages: list[Message]) -> CanonicalResponse:
        stream = self.client.stream(**self.fields(messages))
        response = self._watch(stream, stream.response)
        self._finish(response.content, response.stop_reason, response.warnings)
        return response

    def turn(self, session: Session, text: str) -> TurnResult:
        """Run one turn of a session on the terminal. Raises RequestFailed, and Stopped at Ctrl-C, once it is cancelled."""
        fields = self.fields([])
        del fields["messages"]
        fields.pop("provider", None)

        def run() -> TurnResult:
            turn = session.turn(text, **cast("TurnFields", fields))
            return self._watch(turn, turn.result)

        result = self.attempt(run)
        self._finish(result.message.blocks(), result.stop_reason, result.warnings)
        return result

    def _watch(self, stream: Stream, end: Callable[[], T]) -> T:
        self._printer = printer = Printer(quiet=self.options.quiet)
        try:
            with stream:
                for event in stream:
                    printer.show(event)
                return end()
        except KeyboardInterrupt:  # leaving the block has cancelled the call
            raise Stopped(_partial(stream)) from None
        finally:
            printer.end_line()

    def _finish(self, content: list[Block], stop_reason: str, warnings: list[Warning]) -> None:
        self._printer.finish(content, stop_reason)
        self._warn(warnings)

    def _warn(self, warnings: list[Warning]) -> None:
        """Each warning once."""
        for warning in warnings:
            known = (warning.code, warning.message)
            if known in self._warned or warning.code in _UNSAID or warning.path == _OURS:
                continue
            self._warned.add(known)
            say(f"{warning.code}: {warning.message}", "yellow")


def _tell_retries(client: Client) -> None:
    """Say what the daemon waits for, until the connection ends."""
    try:
        with client.notifications("trace/event") as notes:
            for event in (one.params for one in notes):
                if isinstance(event, CallFailed) and event.will_retry:
                    status = f" (HTTP {event.provider_status})" if event.provider_status else ""
                    note(f"{event.provider}: {event.error_class}{status}; trying again")
    except ModeldError:
        return


def _partial(stream: Stream) -> CanonicalResponse | None:
    try:
        return stream.response()
    except RequestFailed as error:
        return error.partial
    except (ModeldError, RuntimeError):  # the daemon is gone, or the call never began
        return None


def thinking(choice: str) -> Thinking:
    """What `--think`, `--effort` and `--no-think` mean."""
    if choice == "off":
        return Thinking("off")
    if choice == "adaptive":
        return Thinking("adaptive", display="summarized")
    return Thinking("on", effort=choice, display="summarized")  # pyright: ignore[reportArgumentType] - argparse checked it


class Printer:
    """Writes events as they come: the answer to stdout, thinking and tool calls to stderr."""

    def __init__(self, *, quiet: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out: TextIO = out or sys.stdout
        self._err: TextIO = err or sys.stderr
        self._quiet = quiet
        self._part = ""
        self._stream: TextIO = self._out
        self._unended = False
        self._said = False

    def show(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, TextDelta):
            self._said = self._said or bool(event.text)
            self._write("text", event.text, self._out, "")
        elif self._quiet:
            return
        elif isinstance(event, ThinkingDelta):
            self._write("thinking", event.text, self._err, "dim italic")
        elif isinstance(event, ToolUseStart):
            self._write(event.tool_use_id, f"→ {event.tool_name} ", self._err, "cyan")
        elif isinstance(event, ToolUseInputDelta):
            self._write(event.tool_use_id, event.partial_json, self._err, "cyan")
        elif isinstance(event, ToolUseEnd):
            self.end_line()

    def _write(self, part: str, text: str, stream: TextIO, style: str) -> None:
        if not text:
            return
        if part != self._part:
            # What is piped on gets the text alone; where a person reads, each part begins on a line of its own.
            if stream is not self._stream or stream.isatty():
                self.end_line(between=True)
            self._part = part
        self._stream = stream
        stream.write(paint(shown(text, stream), style, stream))
        stream.flush()
        self._unended = not text.endswith("\n")

    def end_line(self, *, between: bool = False) -> None:
        """End the line that is being written, if any. `between` parts, stdout is left alone where it is no terminal."""
        if self._unended and not (between and self._stream is self._out and not self._out.isatty()):
            self._stream.write("\n")
            self._stream.flush()
            self._unended = False

    def finish(self, content: list[Block], stop_reason: str) -> None:
        """What was not streamed: a refusal's text, and why the answer ended early."""
        for block in content:
            if isinstance(block, RefusalBlock) and not self._said:
                self._write("refusal", block.text, self._out, "")
                self.end_line()
        stop = _STOPS.get(stop_reason)
        if stop and not self._quiet:
            print(paint(stop, "yellow", self._err), file=self._err, flush=True)
