"""`modeld ask`: one question, its answer as it comes."""

import argparse
import sys
from typing import Any

import msgspec

from modeld_client import Client
from modeld_client.errors import RequestFailed
from modeld_protocol.content import Message
from modeld_protocol.events import TextDelta, ThinkingDelta, ToolUseEnd, ToolUseStart
from modeld_protocol.request import Thinking
from modeld_protocol.response import CanonicalResponse

from .options import daemon_arguments, socket_of
from .terminal import console, summary


def run(options: argparse.Namespace) -> int:
    """Stream the answer to stdout; what it took goes to stderr when that is a terminal."""
    prompt = " ".join(options.prompt)
    if not sys.stdin.isatty():
        prompt = "\n\n".join(part for part in (prompt, sys.stdin.read().strip()) if part)
    if not prompt:
        print('modeld: ask what? For example: modeld ask "Why is the sky blue?"', file=sys.stderr)
        return 2
    with connect(options) as client:
        if options.json:
            response = client.complete(messages=prompt, **fields(options))
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(response)).decode() + "\n")
            return 0
        response = answer(client, [Message("user", prompt)], options)
    return 0 if response is not None else 1


def connect(options: argparse.Namespace) -> Client:
    """A client of the shared daemon, which is started where there is none."""
    return Client.connect(socket_of(options), client_id="modeld-cli", spawn_args=daemon_arguments(options))


def fields(options: argparse.Namespace) -> dict[str, Any]:
    """The request fields that the command line gives."""
    given: dict[str, Any] = {
        "model": options.model,
        "provider": options.provider,
        "system_prompt": options.system,
        "max_output_tokens": options.max_tokens,
        "temperature": options.temperature,
    }
    if options.think:
        mode = options.think if options.think in ("adaptive", "off") else "on"
        given["thinking"] = Thinking(
            mode, effort=options.think if mode == "on" else None, display="summarized" if mode != "off" else None
        )
    return {name: value for name, value in given.items() if value is not None}


def answer(client: Client, messages: list[Message], options: argparse.Namespace) -> CanonicalResponse | None:
    """Stream one answer; None where it failed or was cancelled, after saying why."""
    err = console(sys.stderr)
    try:
        with client.stream(messages=messages, **fields(options)) as stream:
            for event in stream:
                _show(event, err)
            response = stream.response()
    except RequestFailed as error:
        print(file=sys.stdout)
        err.print(f"[red]{error.error_class}[/red]: {error}", markup=True)
        if error.retry_after_seconds:
            err.print(f"[dim]the provider asks to wait {error.retry_after_seconds:g} s[/dim]")
        return None
    except KeyboardInterrupt:
        err.print("\n[dim]cancelled; the provider was told[/dim]")
        return None
    print(file=sys.stdout, flush=True)
    for warning in response.warnings:
        if warning.code not in ("usage_estimated", "price_missing"):
            err.print(f"[yellow]{warning.code}[/yellow]: {warning.message}")
    if err.is_terminal:
        err.print(f"[dim]{summary(response)}[/dim]")
    return response


def _show(event: object, err: Any) -> None:
    if isinstance(event, TextDelta):
        sys.stdout.write(event.text)
        sys.stdout.flush()
    elif isinstance(event, ThinkingDelta):
        if err.is_terminal:
            err.print(event.text, style="dim italic", end="", markup=False)
    elif isinstance(event, ToolUseStart):
        err.print(f"\n→ {event.tool_name}", style="cyan", end="", markup=False)
    elif isinstance(event, ToolUseEnd):
        err.print(f" {msgspec.json.encode(event.final_input).decode()}", style="cyan", markup=False)
