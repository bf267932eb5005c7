"""The commands by name. Imports nothing: every start of `modeld` reads this."""

COMMANDS = {
    "ask": "ask a model and see the answer as it comes",
    "chat": "hold a conversation",
    "demo": "see it working, without a key and without a network",
    "sessions": "the conversations that the daemon keeps",
    "tail": "watch what happens on a session, live",
    "models": "the configured models, and what providers offer",
    "status": "how the daemon does",
    "stop": "end the daemon, after its running calls",
    "usage": "what calls cost",
    "doctor": "check this installation and say what to mend",
    "simulate": "a provider on this machine to test agents against",
    "record": "run a session and keep what providers say as cassettes",
    "replay": "serve cassettes as a provider on this machine",
    "schema": "write the JSON Schemas of the protocol",
}

VALUED = (
    "--socket",
    "--config",
    "--state-dir",
    "--tcp",
    "--check-config",
    "--idle-exit",
    "--log-level",
    "--debug",
    "--artefacts",
)
"""Options before a command that take the word after them."""


def command_at(arguments: list[str]) -> int | None:
    """Where the command stands, None where there is none: `modeld --config ask` has none, `modeld ask status` has `ask`."""
    skip = False
    for place, word in enumerate(arguments):
        if skip or word.startswith("-"):
            skip = word in VALUED
            continue
        return place if word in COMMANDS else None
    return None
