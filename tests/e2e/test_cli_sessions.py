"""`modeld sessions`, `modeld tail` and `modeld chat --session`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.sessions import create, messages_of, turn

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text", "sim-echo"])
        async with DaemonProcess(config) as daemon:
            yield daemon


async def test_a_chat_is_kept_and_goes_on(daemon: DaemonProcess) -> None:
    code, out, err = await daemon.run("chat", "--session", "new", "-m", "openai:sim-echo", stdin=b"first\nsecond\n")
    assert (code, out) == (0, "first\nsecond\n")
    session_id = err.split()[1]
    code, out, err = await daemon.run("chat", "--session", session_id, stdin=b"third\n/model anthropic:sim-echo\nfourth\n")
    assert (code, out) == (0, "third\nfourth\n"), err
    peer = await daemon.peer()
    stored = await messages_of(peer, session_id)
    assert [message["content"] for message in stored if message["role"] == "user"] == ["first", "second", "third", "fourth"]
    assert stored[-1]["metadata"]["model"] == "anthropic:sim-echo"
    code, out, err = await daemon.run("chat", "--session", "ses_nowhere", stdin=b"x\n")
    assert code == 1
    assert "ses_nowhere" in err


async def test_sessions_are_listed_and_deleted(daemon: DaemonProcess) -> None:
    peer = await daemon.peer()
    session_id = await create(peer, "openai:sim-text")
    code, out, _ = await daemon.run("sessions")
    assert code == 0
    assert out.splitlines()[1].startswith(session_id)
    listed = json.loads((await daemon.run("sessions", "--json", "-n", "1"))[1])
    assert [one["session_id"] for one in listed["sessions"]] == [session_id]
    assert (await daemon.run("sessions", "delete", session_id))[0] == 0
    code, _, err = await daemon.run("sessions", "delete", session_id)
    assert (code, session_id in err) == (1, True)


async def test_one_session_is_shown_forked_and_carried_elsewhere(daemon: DaemonProcess, tmp_path: Path) -> None:
    peer = await daemon.peer()
    session_id = await create(peer, "openai:sim-echo", system_prompt="Be brief.")
    for words in ("first", "second"):
        (await turn(peer, session_id, words)).ok()
    code, out, err = await daemon.run("sessions", "show", session_id)
    assert code == 0, err
    assert "openai:sim-echo" in out and "Be brief." in out
    assert out.splitlines()[-4:] == ["  1 user: first", "  2 assistant: first", "  3 user: second", "  4 assistant: second"]
    assert (await daemon.run("sessions", "show"))[1] == out, "the one used last"
    shown = json.loads((await daemon.run("sessions", "show", "last", "--json"))[1])
    assert (len(shown["messages"]), shown["valid"], shown["problems"]) == (4, True, [])
    code, out, _ = await daemon.run("sessions", "fork", session_id, "--at", "2")
    assert code == 0
    forked = await messages_of(peer, out.strip())
    assert [message["content"] for message in forked][:1] == ["first"] and len(forked) == 2
    file = tmp_path / "kept.json"
    assert (await daemon.run("sessions", "export", session_id, "-o", str(file)))[0] == 0
    assert json.loads((await daemon.run("sessions", "export", session_id))[1]) == json.loads(file.read_bytes())
    code, out, err = await daemon.run("sessions", "import", str(file))
    assert code == 0, err
    assert out.strip() != session_id
    assert [one["content"] for one in await messages_of(peer, out.strip())] == [
        one["content"] for one in await messages_of(peer, session_id)
    ]
    assert len((await daemon.run("sessions", "import", stdin=file.read_bytes()))[1].split()) == 1


async def test_what_another_model_would_change_is_told(daemon: DaemonProcess) -> None:
    peer = await daemon.peer()
    session_id = await create(peer, "openai:sim-text")
    (await turn(peer, session_id, "before")).ok()
    code, out, err = await daemon.run("sessions", "preview", session_id, "anthropic:sim-text")
    assert code == 0, err
    assert out.splitlines()[0] == "openai:sim-text → anthropic:sim-text"
    assert "tokens to read" in out
    report = json.loads((await daemon.run("sessions", "preview", session_id, "anthropic:sim-text", "--json"))[1])
    assert (report["from_model"], report["to_model"]) == ("openai:sim-text", "anthropic:sim-text")


MISUSES = [
    (("sessions", "show", "ses_none"), 1, "ses_none"),
    (("sessions", "show", "a", "b"), 2, "one session"),
    (("sessions", "delete"), 2, "the sessions to delete"),
    (("sessions", "list", "x"), 2, "no session"),
    (("sessions", "preview", "x"), 2, "a session and a model"),
    (("sessions", "fork", "last", "--at", "99"), 1, "no message 99"),
    (("sessions", "import", "/nowhere.json"), 1, "/nowhere.json"),
    (("sessions", "import"), 1, "no export of a session"),
    (("sessions", "frobnicate"), 2, "invalid choice"),
    (("tail", "ses_none"), 1, "ses_none"),
    (("chat", "--session", "ses_none"), 1, "ses_none"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), MISUSES)
async def test_misuse_is_explained(daemon: DaemonProcess, arguments: tuple[str, ...], code: int, said: str) -> None:
    await create(await daemon.peer(), "openai:sim-text")
    found, out, err = await daemon.run(*arguments, stdin=b"{}")
    assert (found, out) == (code, "")
    assert said in err and "Traceback" not in err


async def test_tail_watches_another_client(daemon: DaemonProcess) -> None:
    peer = await daemon.peer()
    session_id = await create(peer, "openai:sim-echo")
    (await turn(peer, session_id, "before")).ok()
    plain = asyncio.create_task(daemon.run("tail", session_id, "--once"))
    lines = asyncio.create_task(daemon.run("tail", "--once", "--json"))
    async with asyncio.timeout(10):
        while (await peer.call("daemon/status")).ok()["clients"] < len([one for one in daemon.peers if not one.closed]) + 2:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)  # they are connected; now they subscribe
    reply = await turn(peer, session_id, "while you watch")
    code, out, err = await plain
    assert code == 0, err
    assert out.splitlines()[:2] == ["user: before", "assistant: before"]
    assert out.splitlines()[2:] == ["user: while you watch", "while you watch"]
    code, out, err = await lines
    assert code == 0, err
    assert [json.loads(line) for line in out.splitlines()] == reply.events
