"""The demo's provider: what the simulator answers to which question, and the models.yaml that leads to it. Data only."""

from typing import Any

import msgspec

from ...simulator import Rule, Scenario, Script, SimUsage, TextStep, ThinkingStep, ToolCallStep

KEY_VARIABLE = "MODELD_DEMO_KEY"
WRITER = "sim-anthropic:writer"
CODER = "sim-openai:coder"

_PRICES = {
    "writer": {"input": 5.0, "output": 25.0, "cache_read": 0.5, "cache_write": 6.25},
    "coder": {"input": 2.0, "output": 10.0, "cache_read": 0.2},
}

NOTES = "Ship the release on Friday.\nThen water the plants.\n"
NOTES_FILE = "notes.txt"
SEARCHES = ("retry", "cancel")

# ---- the questions; each picks its answer

WHY = "Why share one daemon?"
WHAT = "What are we doing right now?"
PRIME = "Is 2027 a prime number?"
TWIN = "And 2029?"
FIRST = "Which file should I read first?"
READ = f"What is in {NOTES_FILE}?"
SEARCH = "Where are retries and cancels handled?"
PLAN = "What is left to do for the release?"
JOIN = "I take the tests. Who writes the notes?"
PUZZLE = "A release takes 11 days. How many fit into a year?"
OVER = "Put that into one line."
HOME = "And where did we start?"
RECITE = "Recite the whole manual."
SUMMARY = "Sum up our afternoon."
BUSY = "Are you free?"
SHAKY = "Are you well?"
CUT = "Tell me a long story."
OVERLOAD = "Draft the release notes."

_MANUAL = (
    "Chapter one. A stream that nobody reads should cost nothing: when its reader leaves, the daemon closes the connection "
    "to the provider, and the meter stops. "
)


def scenario(pace_ms: float, retry_after_s: float) -> Scenario:
    """The answers. `pace_ms` lies between two pieces of a stream, `retry_after_s` is what the busy provider asks for."""

    def answer(*steps: Any, usage: SimUsage | None = None, pace: float = 1.0, **fields: Any) -> Script:
        return Script([*steps], usage=usage or SimUsage(), pace_ms=pace_ms * pace, first_delay_ms=pace_ms * 4, **fields)

    said: dict[str, Script] = {
        WHY: answer(
            "Every editor and agent on this machine shares one connection pool, one set of keys and one place to cancel. "
            "A client is a few lines of JSON-RPC, and a provider is a row of data instead of another SDK in every program.",
            usage=SimUsage(input=1_240, cache_write=18_400),
        ),
        WHAT: answer(
            "Streaming, both at once, through one process. My provider speaks the Chat Completions wire and yours the "
            "Messages wire, and still we read the same events: message.start, text.delta, message.complete.",
            usage=SimUsage(input=2_310),
        ),
        PRIME: answer(
            ThinkingStep(
                "It is odd, and its digits add up to 11, so 3 is out. 7, 11, 13, 17, 19, 23, 29, 31, 37, 41 and 43 leave "
                "remainders, and 47 squared is larger already."
            ),
            "Yes, 2027 is prime: no prime up to its square root divides it.",
            usage=SimUsage(input=180, cached=18_400),
        ),
        TWIN: answer("2029 is prime as well: they are twins.", usage=SimUsage(input=260, cached=18_400)),
        FIRST: answer(
            ThinkingStep("The question is about behaviour, so the tests say more than the code does."),
            "Start with the tests: they are the shortest true description.",
            usage=SimUsage(input=410, cached=1_900),
        ),
        READ: answer(
            "Let me look.", ToolCallStep("read_file", {"path": NOTES_FILE}), usage=SimUsage(input=320, cached=18_400), pace=2
        ),
        SEARCH: answer(
            *(ToolCallStep("search", {"query": query, "folder": "daemon"}) for query in SEARCHES),
            usage=SimUsage(input=520, cached=1_900),
            pace=2,
        ),
        PLAN: answer(
            "Two things: the tests of the new wire, and the notes. Whoever reads this session may take one.",
            usage=SimUsage(input=420, cached=18_400),
        ),
        JOIN: answer(
            "The editor does: it asked first, and it sees this answer as well.", usage=SimUsage(input=510, cached=18_400)
        ),
        PUZZLE: answer(
            ThinkingStep("365 divided by 11 is 33, and 2 days are left."),
            "33, and two days to water the plants.",
            usage=SimUsage(input=620, cached=18_400),
        ),
        OVER: answer("33 releases a year: tests by the agent, notes by the editor.", usage=SimUsage(input=152)),
        HOME: answer("With the release: tests, notes, and then a puzzle.", usage=SimUsage(input=700, cached=18_400)),
        RECITE: answer(TextStep(_MANUAL * 6), usage=SimUsage(input=90, cached=18_400)),
        SUMMARY: answer(
            "I am still here: my stream has its own connection, so your cancel closed yours and left mine alone. "
            "I finish my sentence, and my tokens are counted to the last one.",
            usage=SimUsage(input=640, cached=1_900),
        ),
        BUSY: answer(
            "Now I am. You never saw the refusal, only this answer.",
            usage=SimUsage(input=75, cached=1_900),
            fault={"name": "rate_limit", "retry_after": retry_after_s, "times": 1},
        ),
        SHAKY: answer(
            "Well again, thank you: the second try went through.",
            usage=SimUsage(input=75, cached=18_400),
            fault={"name": "server_error", "status": 503, "times": 1},
        ),
        CUT: answer(
            "Once upon a time there was a connection that broke in the middle of a sentence about something else.",
            fault={"name": "reset_mid_stream", "after": 9},
        ),
        OVERLOAD: answer(
            "This release brings one daemon for every client, and then the provider ran out of breath.",
            fault={"name": "error_event_mid_stream", "after": 8, "kind": "overloaded"},
        ),
    }
    after_tools = {
        "writer": answer(
            "Two things: the release ships on Friday, and then the plants get water.", usage=SimUsage(310, cached=18_400)
        ),
        "coder": answer(
            "Retries live in the attempt loop, cancels in the stream's own scope.", usage=SimUsage(730, cached=1_900)
        ),
    }
    rules = [Rule(model=model, tool_result=True, script=script) for model, script in after_tools.items()]
    return Scenario(rules=[*rules, *(Rule(text=text, script=script) for text, script in said.items())], default=None)


def models_yaml(anthropic_url: str, openai_url: str) -> str:
    """The config of the private daemon; the prices are the demo's own, so that its money is counted for real."""
    key = {"api_key_env": KEY_VARIABLE, "max_retries": 2}
    urls = {"sim-anthropic": ("anthropic", anthropic_url), "sim-openai": ("openai", openai_url)}
    config = {
        "adapters": {name: {"type": kind, "base_url": url, **key} for name, (kind, url) in urls.items()},
        "models": {model: _model(model) for model in (WRITER, CODER)},
    }
    return msgspec.json.format(msgspec.json.encode(config)).decode()  # YAML holds JSON


def _model(model: str) -> dict[str, Any]:
    adapter, _, name = model.partition(":")
    return {"adapter": adapter, "wire_name": name, "pricing": {"currency": "USD", **_PRICES[name]}}
