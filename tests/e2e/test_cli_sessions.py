"""`modeld sessions`, `modeld tail` and `modeld chat --session`."""

import asyncio
import json
from collections.abc import AsyncIterator

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
    assert (await daemon.run("sessions", "--delete", session_id))[0] == 0
    code, _, err = await daemon.run("sessions", "--delete", session_id)
    assert (code, session_id in err) == (1, True)


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
    assert "while you watch" in out
    code, out, err = await lines
    assert code == 0, err
    assert [json.loads(line) for line in out.splitlines()] == reply.events
