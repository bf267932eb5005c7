"""Sessions in tests: making one, running turns on it, and what must hold of what a provider was sent."""

import itertools
from typing import Any

from tests.harness.peer import Message, Peer, Reply

_numbers = itertools.count(1)
TOOL = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def create(peer: Peer, model: str = "anthropic:sim-text", **fields: Any) -> str:
    """A new session's id."""
    return (await peer.call("session/create", {"model": model, **fields})).ok()["session"]["session_id"]


def begin_turn(peer: Peer, session_id: str, given: Any = "Hello", **fields: Any) -> tuple[Any, str]:
    """Start a turn without waiting; the request's id and its request_id."""
    request_id = fields.pop("request_id", None) or f"turn-test-{next(_numbers)}"
    params = {"session_id": session_id, "input": given, "request_id": request_id, **fields}
    return peer.request("turn/start", params), request_id


async def turn(peer: Peer, session_id: str, given: Any = "Hello", **fields: Any) -> Reply:
    """A whole turn, with its events."""
    number, request_id = begin_turn(peer, session_id, given, **fields)
    return await peer.reply(number, request_id=request_id)


async def messages_of(peer: Peer, session_id: str) -> list[Message]:
    """The stored history."""
    return (await peer.call("session/get", {"session_id": session_id})).ok()["messages"]


async def problems_of(peer: Peer, session_id: str) -> list[Message]:
    """What session/validate finds."""
    return (await peer.call("session/validate", {"session_id": session_id})).ok()["problems"]


def calls_of(message: Message) -> list[str]:
    """The ids of a message's tool calls."""
    return [block["id"] for block in message["content"] if block["type"] == "tool_use"]


def results_for(ids: list[str], text: str = "sunny") -> list[Message]:
    """A message that answers calls."""
    return [{"role": "tool", "content": [{"type": "tool_result", "tool_use_id": one, "content": text} for one in ids]}]


def session_events(peer: Peer, session_id: str) -> list[Message]:
    """The stream events of one session, as this client got them."""
    return [params for params in peer.notifications("stream/event") if params.get("session_id") == session_id]


def wire_pairs(body: Message) -> tuple[list[str], list[str]]:
    """The call ids and the result ids of a request to a provider, in order, on any of the wires."""
    calls: list[str] = []
    results: list[str] = []
    for item in body.get("messages") or body.get("input") or []:
        content = item.get("content")
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_use":
                calls.append(block["id"])
            elif block.get("type") == "tool_result":
                results.append(block["tool_use_id"])
        calls += [call["id"] for call in item.get("tool_calls") or []]
        if item.get("role") == "tool":
            results.append(item["tool_call_id"])
        if item.get("type") == "function_call":
            calls.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            results.append(item["call_id"])
    for part in (part for item in body.get("contents") or [] for part in item["parts"]):
        if call := part.get("functionCall"):
            calls.append(call.get("id") or call["name"])
        if answer := part.get("functionResponse"):
            results.append(answer.get("id") or answer["name"])
    return calls, results
