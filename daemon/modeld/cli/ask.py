"""`modeld ask`: one question, its answer as it comes."""

import argparse
import os
import sys

from modeld_client.errors import NotConfigured, RequestFailed
from modeld_protocol.content import Message

from ..config.locations import config_place
from .conversation import Conversation, Stopped
from .explain import complain
from .figures import summary
from .terminal import note, say, write_json


def run(options: argparse.Namespace) -> int:
    """Stream the answer to stdout; what it took goes to stderr when that is a terminal."""
    prompt = question(options.prompt)
    if not prompt:
        say('modeld: ask what? For example: modeld ask "Why is the sky blue?"')
        return 2
    conversation = Conversation(options)
    try:
        return _ask(conversation, [Message("user", prompt)])
    except RequestFailed as error:
        if options.json:
            write_json({"error": error.data})
        return _without_provider(conversation, error) or complain(error, options)
    finally:
        conversation.close()


def question(words: list[str]) -> str:
    """The question of the command line, and below it what is piped in."""
    prompt = " ".join(words)
    if sys.stdin is None or sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison] - None where it was closed
        return prompt.strip()
    piped = sys.stdin.buffer.read().decode("utf-8", "replace")
    return "\n\n".join(part for part in (prompt, piped.strip()) if part.strip())


def _ask(conversation: Conversation, messages: list[Message]) -> int:
    if conversation.options.json:
        write_json(conversation.complete(messages))
        return 0
    try:
        response = conversation.answer(messages)
    except Stopped:
        note("cancelled; the provider was told")
        return 130
    if not conversation.options.quiet:
        note(summary(response))
    return 0


def _without_provider(conversation: Conversation, error: RequestFailed) -> int:
    """The first thing a new user sees: no config, and no provider has a key. 0 where that isn't so."""
    if not isinstance(error, NotConfigured) or conversation.client.status().config_file:
        return 0
    if any(provider.availability != "not_configured" for provider in conversation.client.providers()):
        return 0
    from .nearby import first_steps, ollama_models

    say("modeld: no model can be asked yet, because no provider has a key.")
    config = config_place(conversation.options.config, os.environ).path
    for line in first_steps(config, os.environ, ollama_models()):
        say(line)
    return 1
