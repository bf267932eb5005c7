"""What artefacts make of exchanges: keys cut in two, reasoning of every wire, bounds on files; and the debug knobs."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from modeld.clock import SYSTEM
from modeld.credentials.redact import Redactor
from modeld.observe import artefacts as module
from modeld.observe.artefacts import Artefacts, Request
from modeld.observe.debug import Debug, InvalidDebug, parse_debug
from modeld.observe.reasoning import HIDDEN, without_reasoning

KEY = "kk-canary-0123456789abcdef"
THOUGHT = "canary-thought"


def artefacts(folder: Path, knobs: str = "") -> Artefacts:
    return Artefacts(folder / "artefacts", parse_debug(knobs), Redactor([KEY]), SYSTEM)


def request(body: bytes = b"{}", *headers: tuple[str, str]) -> Request:
    return Request("POST", f"https://host/v1/x?key={KEY}", headers, body)


def exchange(out: Artefacts, *pieces: bytes, body: bytes = b"{}", headers: tuple[tuple[str, str], ...] = ()) -> None:
    capture = out.begin(request(body, *headers))
    capture.head(200, {"content-type": "text/plain", "set-cookie": "a=b", "x-echo": KEY})
    for piece in pieces:
        capture.data(piece)
    capture.end()
    capture.end("again")


def written(out: Artefacts) -> list[dict[str, Any]]:
    out.close()
    return [json.loads(path.read_bytes()) for path in sorted(out.directory.iterdir())]


def test_keys_are_in_no_part_of_a_file(tmp_path: Path) -> None:
    out = artefacts(tmp_path)
    headers = (("x-api-key", "other-secret-value"), ("x-team", "team-secret"), ("content-type", "application/json"))
    half = len(KEY) // 2
    exchange(out, b"say " + KEY[:half].encode(), KEY[half:].encode() + b" end", body=f'{{"a":"{KEY}"}}'.encode(), headers=headers)
    (one,) = written(out)
    text = json.dumps(one)
    assert not [secret for secret in (KEY, "other-secret-value", "team-secret", "a=b") if secret in text]
    assert one["request"]["headers"]["content-type"] == "application/json"
    assert one["response"]["body"] == "say [redacted] end"
    assert "problem" not in one


def test_a_key_at_the_end_of_what_was_captured_is_not_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CAPTURED_BYTES", 10_000)
    out = artefacts(tmp_path)
    exchange(out, b"y" * (10_000 - 8), KEY.encode(), b"z" * 50)
    (one,) = written(out)
    assert KEY[:6] not in json.dumps(one)
    assert one["response"]["body_bytes"] == 10_042 + len(KEY)
    assert 1_000 < len(one["response"]["body"]) < 10_000


def test_the_oldest_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    for start in (0, 4):
        out = artefacts(tmp_path)
        (out.directory / "notes.txt").write_text("the user's own")
        for number in range(start, start + 4):
            exchange(out, f"answer {number}".encode())
        out.close()
    (out.directory / "notes.txt").unlink()
    assert [one["response"]["body"] for one in written(out)] == ["answer 5", "answer 6", "answer 7"]


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 5_000)
    out = artefacts(tmp_path)
    for _ in range(20):
        exchange(out, b"x y " * 250)
    found = written(out)
    assert 0 < len(found) < 20
    assert sum(path.stat().st_size for path in out.directory.iterdir()) <= 5_000


def test_a_slow_disk_costs_artefacts_and_nothing_else(tmp_path: Path) -> None:
    out = artefacts(tmp_path)
    held = threading.Event()
    out.submit("first", lambda: {"held": held.wait(10)})
    for _ in range(module.MAX_WAITING + 5):
        exchange(out, b"x")
    held.set()
    assert len(written(out)) == module.MAX_WAITING
    assert out.dropped == 6


T = THOUGHT
BODIES = [
    {"content": [{"type": "thinking", "thinking": T, "signature": T}, {"type": "redacted_thinking", "data": T}]},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": T}},
    {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": T}},
    {"choices": [{"message": {"reasoning_content": T, "content": "kept"}}]},
    {"choices": [{"delta": {"reasoning": T, "reasoning_details": [{"type": "reasoning.text", "text": T}]}}]},
    {"choices": [{"message": {"content": f"<think>{T}</think>kept"}}]},
    {"message": {"thinking": T, "content": "kept"}},
    {"candidates": [{"content": {"parts": [{"thought": True, "text": T}, {"text": "kept", "thoughtSignature": T}]}}]},
    {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": T}], "encrypted_content": T}]},
    {"type": "response.reasoning_summary_text.delta", "delta": T},
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("form", ["{}", "event: x\ndata: {}\n\ndata: [DONE]\n\n", "{}\n{}\n"])
def test_reasoning_of_every_wire_is_left_out(body: dict[str, Any], form: str) -> None:
    whole = form.replace("{}", json.dumps(body))
    hidden = without_reasoning(whole)
    assert THOUGHT not in hidden
    assert HIDDEN in hidden
    assert hidden.count("kept") == whole.count("kept")
    assert hidden.count("data: ") == whole.count("data: ")


@pytest.mark.parametrize("name", ["thinking", "reasoning", "reasoning_content", "thoughts"])
@pytest.mark.parametrize("end", ["", '"', '", "content": "ke'])
def test_reasoning_in_a_body_that_broke_off_is_left_out(name: str, end: str) -> None:
    assert THOUGHT not in without_reasoning(f'{{"choices": [{{"{name}": "{THOUGHT} \\" {THOUGHT}{end}')


@pytest.mark.parametrize(
    "text",
    [
        '{"usage":{"reasoning_tokens":12,"thoughtsTokenCount":3},"content":"kept"}',
        '{"thinking":{"type":"enabled","budget_tokens":2000},"model":"m"}',
        "data: [DONE]\n\n: comment\n\n",
        "<html>502</html>",
    ],
)
def test_what_is_no_reasoning_stays(text: str) -> None:
    assert without_reasoning(text) == text


@pytest.mark.parametrize(
    ("text", "debug", "level"),
    [
        ("", Debug(), "warning"),
        ("verbose", Debug(verbose=True), "debug"),
        (" Token-Usage , no_cache", Debug(cache=False), "info"),
        ("raw_requests", Debug(raw_responses=False), "warning"),
        ("raw_requests,raw_responses", Debug(), "warning"),
        ("thinking,max_content_length=9", Debug(thinking=True, max_content_length=9), "warning"),
        ("no_retries", Debug(retries=False), "warning"),
    ],
)
def test_knobs_are_read(text: str, debug: Debug, level: str) -> None:
    found = parse_debug(text)
    assert found._replace(named=frozenset()) == debug
    assert found.level("warning") == level
    assert found.level("debug") == "debug"
    assert found.wants_artefacts is any(word in text for word in ("raw_", "thinking"))


@pytest.mark.parametrize(
    "text", ["everything", "verbose=1", "max_content_length", "max_content_length=-1", "no_redact", "redact_sensitive=off"]
)
def test_wrong_knobs_are_refused(text: str) -> None:
    with pytest.raises(InvalidDebug):
        parse_debug(text)
