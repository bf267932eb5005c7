"""`modeld simulate` as people and programs run it."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from modeld.simulator import run
from modeld.simulator.builtin import BUILTINS
from modeld.simulator.command import request_line
from modeld.simulator.faults import FAULTS
from modeld.simulator.records import RecordedRequest
from modeld.simulator.wires import all_wires

PROGRAM = "import sys; from modeld.simulator import run; sys.exit(run(sys.argv[1:]))"


@contextmanager
def running(*argv: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def fetch(url: str, body: Any = None) -> Any:
    headers = {"content-type": "application/json", "authorization": "Bearer sim"}
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_cleanly(number: signal.Signals) -> None:
    with running("--port", "0", "--json") as process:
        urls = json.loads(first_line(process))
        assert urls["base_url"] == f"http://127.0.0.1:{urls['port']}"
        body = {"model": "sim-echo", "messages": [{"role": "user", "content": "hello"}]}
        assert fetch(urls["openai"] + "/chat/completions", body)["choices"][0]["message"]["content"] == "hello"
        assert fetch(urls["base_url"] + "/_sim/stats")["requests"] == 1
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


def test_it_writes_a_config_for_every_wire_and_model(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    with running("--port", "0", "--write-config", str(file), "--quiet") as process:
        url = first_line(process).split()[1]
        config = yaml.safe_load(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert {row["type"] for row in config["adapters"].values()} == {wire.adapter_type for wire in all_wires()}
    assert all(row["base_url"].startswith(url) for row in config["adapters"].values())
    assert len(config["models"]) == len(all_wires()) * (len(BUILTINS) + len(FAULTS))
    assert config["default_model"] in config["models"]
    # Its own file may be written again, with another port.
    with running("--port", "0", "--write-config", str(file), "--quiet") as process:
        again = first_line(process).split()[1]
        assert again in file.read_text()


def test_without_a_file_it_prints_a_config_to_paste() -> None:
    with running("--port", "0") as process:
        urls = [first_line(process).split()[1] for _ in all_wires()]
        assert [url.rpartition("/")[2] for url in urls if "/v1" in url] == [
            wire.example_base_path[1:] for wire in all_wires() if wire.example_base_path
        ]
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        out = process.stdout.read()  # not communicate(), which would lose what readline has read ahead
    pasted = yaml.safe_load(out[out.index("adapters:") : out.index("Every script")])
    assert pasted["models"]["sim-openai:echo"] == {"adapter": "sim-openai", "wire_name": "sim-echo"}


@pytest.mark.parametrize(
    ("content", "says"),
    [("scripts: [", "scenario.yaml"), ("scripts: {a: {nothing: 1}}", "unknown field `nothing`"), (None, "No such file")],
)
def test_a_bad_scenario_is_an_error_with_its_place(content: str | None, says: str, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "scenario.yaml"
    if content is not None:
        file.write_text(content)
    assert run(["--scenario", str(file), "--list"]) == 1
    assert says in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with running("--list") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=10) == 0


def test_somebody_else_s_file_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("adapters: {}\n")
    assert run(["--port", "0", "--write-config", str(file)]) == 1
    assert "name another file" in capsys.readouterr().err
    assert file.read_text() == "adapters: {}\n"


def test_a_port_that_is_taken_is_an_error_with_a_next_step(capsys: Any) -> None:
    with running("--port", "0", "--json") as process:
        port = json.loads(first_line(process))["port"]
        assert run(["--port", str(port)]) == 1
    assert "--port 0" in capsys.readouterr().err


def test_the_list_names_everything(tmp_path: Path, capsys: Any) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("scripts: {mine: {steps: [Hi.]}}")
    assert run(["--list", "--scenario", str(scenario)]) == 0
    text = capsys.readouterr().out
    assert run(["--list", "--json", "--scenario", str(scenario)]) == 0
    data = json.loads(capsys.readouterr().out)
    models = [row["model"] for row in (*data["scripts"], *data["faults"])] + data["scenario_scripts"]
    assert len(models) == len(BUILTINS) + len(FAULTS) + 1
    assert all(f"  {model}" in text for model in models)


def test_a_line_for_a_request_says_nothing_of_its_body() -> None:
    record = RecordedRequest(
        7, 0.0, "POST", "/v1/messages", [("x-api-key", "secret")], b"prompt", 6, "sim-tool", "w", "tool", "auth", 401
    )
    assert request_line(record) == "    7  401  POST /v1/messages  sim-tool  tool + auth"
