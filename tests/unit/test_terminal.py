"""What people see: numbers, tables that fit, colours only where they belong, events as they come, command lines taken apart."""

import argparse
import io
import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.cli import figures, nearby, stdio, terminal
from modeld.cli.conversation import Printer, thinking
from modeld.cli.daemon_options import parse as parse_daemon
from modeld.cli.explain import lines_of
from modeld.cli.names import COMMANDS, command_at
from modeld.cli.table import GAP, Column, cells, cut, lay_out, render
from modeld_client.errors import ConnectionLost, RateLimited
from modeld_protocol.content import RefusalBlock, TextBlock
from modeld_protocol.errors import ErrorData
from modeld_protocol.events import TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.model import Pricing
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Cost, Metrics, Usage

# ---- figures

FIGURES = [
    (figures.tokens, None, ""),
    (figures.tokens, 0, "0"),
    (figures.tokens, 999, "999"),
    (figures.tokens, 1_000, "1k"),
    (figures.tokens, 18_449, "18.4k"),
    (figures.tokens, 999_960, "1M"),
    (figures.tokens, 1_048_576, "1M"),
    (figures.tokens, 2_500_000, "2.5M"),
    (partial(figures.counted, what="call"), 0, "0 calls"),
    (partial(figures.counted, what="call"), 1, "1 call"),
    (figures.money, None, "?"),
    (figures.money, 0.0, "$0"),
    (figures.money, 0.000_000_15, "$0.00000015"),
    (figures.money, 0.00042, "$0.00042"),
    (figures.money, 0.0123, "$0.012"),
    (figures.money, 1.5, "$1.50"),
    (figures.money, -0.25, "-$0.25"),
    (figures.price, 4.0, "$4.00"),
    (figures.price, 0.075, "$0.075"),
    (figures.price, None, "?"),
    (figures.duration, 0.84, "0.8 s"),
    (figures.duration, 12.7, "12 s"),
    (figures.duration, 303, "5 min 3 s"),
    (figures.duration, 7_500, "2 h 5 min"),
    (figures.mebibytes, 36_700_160, "35 MiB"),
    (figures.mebibytes, None, "?"),
    (figures.prices, Pricing(currency="EUR", input=1.0, output=2.5), ("1.00 EUR", "2.50 EUR")),
    (figures.prices, None, ("?", "?")),
]


@pytest.mark.parametrize(("figure", "value", "shown"), FIGURES)
def test_figures_read_well(figure, value, shown):
    assert figure(value) == shown


def response(**changes) -> CanonicalResponse:
    usage = Usage(input_tokens=1_200, output_tokens=40, cached_input_tokens=18_000, total_tokens=19_240)
    cost = Cost("USD", 0.001, 0.002, 0.0, 0.0, 0.003, 0.01, "catalog", "v1")
    fields = {"content": [], "stop_reason": "end_turn", "usage": usage, "cost": cost, **changes}
    return CanonicalResponse("req_1", "a:b", "a", metrics=Metrics(1_500, changes.pop("attempts", 1)), warnings=[], **fields)


def test_a_summary_has_what_the_answer_took():
    assert figures.summary(response()) == "a:b · 1.2k in · 40 out · 18k cached · $0.003 · 1.5 s"
    estimated = Usage(input_tokens=10, output_tokens=2, estimated=True)
    assert figures.summary(response(usage=estimated, cost=None)) == "a:b · ~10 in · ~2 out · price unknown · 1.5 s"


# ---- tables

COLUMNS = (Column("model"), Column("aliases", floor=6, worth=2), Column("price", right=True, worth=3), Column("tier", worth=1))
ROWS = [
    ["anthropic:claude-sonnet", "sonnet, balanced", "$3.00", "deep"],
    ["openai:gpt", "", "$10.00", ""],
]
LAYOUTS = [
    (80, "model                    aliases            price  tier", "openai:gpt                                  $10.00"),
    (50, "model                    aliases     price  tier", "openai:gpt                          $10.00"),
    (44, "model                    aliases       price", None),
    (38, "model                     price", "openai:gpt               $10.00"),
    (28, "model", "openai:gpt"),
    (5, "model", "openai:gpt"),
]


@pytest.mark.parametrize(("width", "titles", "last"), LAYOUTS)
def test_columns_shrink_then_go_by_their_worth(width, titles, last):
    lines = render(lay_out(COLUMNS, ROWS, width))
    assert lines[0].split() == titles.split()
    assert last is None or lines[-1].split() == last.split()
    assert lines[1].startswith("anthropic:claude-sonnet")
    if width >= 28:
        assert max(map(cells, lines)) <= width


def test_a_column_that_says_nothing_is_left_out():
    assert render(lay_out(COLUMNS, [["x", "", "1", ""]], 80)) == ["model  price", "x          1"]


@given(
    st.lists(st.tuples(*[st.text(alphabet="ab漢é\u0301🚀 ", max_size=30)] * 4), max_size=5),
    st.integers(min_value=34, max_value=120),
)
def test_no_table_is_wider_than_its_terminal_and_the_first_column_is_whole(rows, width):
    columns = (Column("id"), Column("a", floor=4, worth=2), Column("b", right=True, worth=1), Column("c", worth=3))
    for cells_of, row in zip(lay_out(columns, rows, width)[1:], rows, strict=True):
        assert cells_of[0].rstrip() == row[0].rstrip()
        assert cells(GAP.join(cells_of)) <= max(width, max(cells(one[0]) for one in rows))


@pytest.mark.parametrize(
    ("text", "size", "shown"), [("abcdef", 6, "abcdef"), ("abcdef", 4, "abc…"), ("漢字漢字", 5, "漢字…"), ("a b c", 3, "a…")]
)
def test_what_is_cut_shows_it(text, size, shown):
    assert cut(text, size) == shown


# ---- colours and control characters


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.paint("x", "bold red", Terminal()) == "\x1b[1;31mx\x1b[0m"
    assert terminal.paint("x", "bold", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.paint("x", "bold", Terminal()) == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.paint("x", "bold", Terminal()) == "x"


def test_a_model_can_not_drive_the_terminal():
    hostile = "a\x1b]52;c;ZXZpbA==\x07b\x9b31mc\rd\te\nf漢"
    assert terminal.shown(hostile, Terminal()) == "a]52;c;ZXZpbA==b31mcd\te\nf漢"
    assert terminal.shown(hostile, io.StringIO()) == hostile


# ---- the printer

EVENTS = [
    ThinkingDelta("m", 0, "Let me "),
    ThinkingDelta("m", 0, "see."),
    TextDelta("m", 1, "It is "),
    TextDelta("m", 1, "fine."),
    ToolUseStart("m", 2, "tu_1", "look"),
    ToolUseInputDelta("m", 2, "tu_1", '{"at":'),
    ToolUseInputDelta("m", 2, "tu_1", '"x"}'),
    ToolUseEnd("m", 2, "tu_1", {"at": "x"}),
    ToolUseStart("m", 3, "tu_2", "rest"),
    ToolUseEnd("m", 3, "tu_2", {}),
]


def printed(out: io.StringIO, err: io.StringIO, *, quiet: bool = False) -> tuple[str, str]:
    printer = Printer(quiet=quiet, out=out, err=err)
    for event in EVENTS:
        printer.show(event)
    printer.end_line()
    return out.getvalue(), re.sub(r"\x1b\[[\d;]*m", "", err.getvalue())


def test_the_answer_alone_goes_to_a_pipe_and_the_rest_to_stderr():
    out, err = printed(io.StringIO(), io.StringIO())
    assert out == "It is fine."
    assert err == 'Let me see.\n→ look {"at":"x"}\n→ rest \n'


def test_each_part_has_its_own_lines_where_both_go_to_a_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    both = Terminal()
    printed(both, both)
    assert both.getvalue() == 'Let me see.\nIt is fine.\n→ look {"at":"x"}\n→ rest \n'


def test_quiet_is_the_answer_alone():
    assert printed(io.StringIO(), io.StringIO(), quiet=True) == ("It is fine.\n", "")


@pytest.mark.parametrize(
    ("stop", "content", "out", "err"),
    [
        ("refusal", [RefusalBlock("No.")], "No.\n", "the model declined\n"),
        ("max_tokens", [TextBlock("x")], "", "cut off at the token limit; --max-tokens sets it\n"),
        ("end_turn", [TextBlock("x")], "", ""),
    ],
)
def test_an_early_end_is_said(stop, content, out, err):
    streams = io.StringIO(), io.StringIO()
    Printer(quiet=False, out=streams[0], err=streams[1]).finish(content, stop)
    assert (streams[0].getvalue(), streams[1].getvalue()) == (out, err)


def test_thinking_options():
    assert [(one.mode, one.effort) for one in map(thinking, ("adaptive", "off", "high"))] == [
        ("adaptive", None),
        ("off", None),
        ("on", "high"),
    ]


# ---- failures in words

NO_OPTIONS = argparse.Namespace(config=None, socket=None, state_dir=None)


def failed(**data) -> RateLimited:
    return RateLimited("the provider asks for patience; try later", -32803, ErrorData("rate_limit", "x", **data))


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (
            failed(model="a:b", provider_status=429, provider_message="slow\ndown", retry_after_seconds=86_400),
            [
                "modeld: rate_limit (a:b, HTTP 429): the provider asks for patience; try later",
                "  the provider says: slow down",
                "  it asks to wait 24 h 0 min; another model may be free: `modeld models`",
            ],
        ),
        (failed(provider_message="try later"), ["modeld: rate_limit: the provider asks for patience; try later"]),
        (ConnectionLost("gone; call again"), ["modeld: gone; call again"]),
    ],
)
def test_failures_are_a_line_or_two_with_a_next_step(error, lines):
    assert lines_of(error, NO_OPTIONS) == lines


# ---- command lines

PLACES = [
    ([], None),
    (["ask", "status"], 0),
    (["--socket", "ask", "status"], 2),
    (["--socket=ask", "models"], 1),
    (["--config", "ask"], None),
    (["--log-level", "debug"], None),
    (["nonsense", "ask"], None),
    (["--json", "status"], 1),
]


@pytest.mark.parametrize(("arguments", "place"), PLACES)
def test_the_command_is_found(arguments, place):
    assert command_at(arguments) == place


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["asl"], "there is no command asl; did you mean `ask`"),
        (["--sockt", "x"], "there is no option --sockt"),
        (["qqq"], "no command qqq. "),
    ],
)
def test_an_unknown_word_is_refused_with_what_is_near(words, message, capsys):
    with pytest.raises(SystemExit) as left:
        parse_daemon(words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert "modeld --help" in said


def test_the_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        parse_daemon(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {name:<10}{text}\n" in shown for name, text in COMMANDS.items())


def test_the_forwarder_takes_its_options_and_forgives_editors(capsys):
    options, wrong = stdio.parse(
        ["--stdio", "--socket", "/s", "--config=/c", "--clientProcessId=7", "--log-level", "debug", "--idle-exit=5", "--what"]
    )
    assert (options.socket, options.config, options.state_dir, wrong) == ("/s", "/c", None, None)
    assert options.passed == ["--log-level", "debug", "--idle-exit", "5"]
    assert "ignoring the argument --what" in capsys.readouterr().err
    assert stdio.parse(["--stdio", "--socket"])[1] == "--socket needs a value"


HEAVY = {"asyncio", "rich", "yaml", "httpx", "uvloop", "modeld.runtime"}
IMPORTS = [
    ("modeld.cli.stdio, modeld.server.forward, modeld_client.launch", {"argparse", "msgspec", "subprocess", *HEAVY}),
    ("modeld.cli.commands, modeld.cli.status", {"modeld.config", *HEAVY}),
    ("modeld.cli.commands, modeld.cli.ask", HEAVY),
    ("modeld.cli.daemon_options", {"msgspec", *HEAVY}),
]


@pytest.mark.parametrize(("modules", "absent"), IMPORTS)
def test_a_command_imports_only_what_it_needs(modules, absent):
    program = f"import sys, modeld.__main__, {modules}; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())


# ---- what is near


class Tags(BaseHTTPRequestHandler):
    """Answers like a model server on this machine, or like something else."""

    body = b'{"models": [{"name": "llama3.2:latest"}, {"name": "qwen3:8b"}]}'

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    ("body", "models"),
    [
        (Tags.body, ["llama3.2:latest", "qwen3:8b"]),
        (b'{"models": []}', []),
        (b"<html>", None),
        (b"[1]", None),
        (b'{"models": 5}', None),
    ],
)
def test_a_model_server_is_recognised_by_its_answer(body, models):
    handler = type("Handler", (Tags,), {"body": body})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert nearby.ollama_models(server.server_address) == models


def test_nobody_listening_is_no_model_server():
    with HTTPServer(("127.0.0.1", 0), Tags) as server:
        address = server.server_address
    assert nearby.ollama_models(address) is None


def test_the_lines_for_a_model_server_are_a_config_that_is_accepted(tmp_path):
    from modeld.cli.surroundings import surroundings

    for models in (["llama3.2:latest"], []):
        text = "\n".join(nearby.ollama_config(models))
        config, problems = surroundings().check(text.encode(), "models.yaml")
        assert config is not None, problems
        assert [model.wire_name for model in config.models.values()] == (models or ["NAME"])


def test_first_steps_name_keys_demo_and_simulator():
    said = "\n".join(nearby.first_steps(Path("/home/me/models.yaml"), {}, ["m:1"]))
    for word in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "modeld demo", "modeld simulate", "/home/me/models.yaml", "ollama:m:1"):
        assert word in said
    assert "is set here" in "\n".join(nearby.first_steps(Path("/m"), {"OPENAI_API_KEY": "x"}, None))
