"""What a simulated provider was sent, in the words of no wire: the turns of the conversation, and what was asked for."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from modeld.simulator import RecordedRequest
from modeld.simulator.ask import Ask, Call
from modeld.simulator.wires import all_wires, flavoured_wires

Json = dict[str, Any]
Media = tuple[str, str, str]
"""Kind, how it was given (base64, url, file_id), and the URL, the id, or the digest of the bytes."""


class Turn(msgspec.Struct):
    """One turn. Of a tool's result `answers` is the id of the call, or its name where the wire pairs by name."""

    role: str
    text: str = ""
    thinking: str = ""
    media: list[Media] = []
    calls: list[tuple[str, str, Json]] = []
    answers: str | None = None
    is_error: bool = False


class Received(msgspec.Struct):
    """`ask` is the simulator's own reading of the request; `raw` its body as text."""

    ask: Ask
    system: str
    turns: list[Turn]
    raw: str

    def roles(self) -> list[str]:
        return [turn.role for turn in self.turns]

    def media(self) -> list[Media]:
        return [medium for turn in self.turns for medium in turn.media]

    def results(self) -> list[Turn]:
        return [turn for turn in self.turns if turn.role == "tool"]

    def numbered(self) -> list[Turn]:
        """The turns with the places of calls for their ids."""
        places = {call[0]: str(place) for place, call in enumerate(self.calls())}
        return [
            msgspec.structs.replace(
                turn,
                calls=[(places[call[0]], *call[1:]) for call in turn.calls],
                answers=places[turn.answers] if turn.answers is not None else None,
            )
            for turn in self.turns
        ]

    def calls(self) -> list[tuple[str, str, Json]]:
        return [call for turn in self.turns for call in turn.calls]


def received(record: RecordedRequest) -> Received:
    """A recorded request, read."""
    wire = next(wire for wire in (*all_wires(), *flavoured_wires()) if wire.name == record.wire)
    url = urlsplit(record.path)
    call = Call(record.method, url.path, url.query, dict(record.headers), record.body)
    body = msgspec.json.decode(record.body, type=Json)
    read = next(read for prefix, read in _READERS.items() if record.wire.startswith(prefix))
    turns = list(_merged(read(body)))
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    ask = wire.read(call, require_key=False, refuse={})
    return Received(ask, system, [turn for turn in turns if turn.role != "system"], record.body.decode())


def digest(data: str | bytes) -> str:
    """Of bytes, or of what is base64 text of them."""
    raw = base64.b64decode(data) if isinstance(data, str) else data
    return hashlib.sha256(raw).hexdigest()[:16]


def _merged(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Turns of one role are one turn, but for results, of which each answers a call of its own."""
    last: Turn | None = None
    for turn in turns:
        if last is not None and last.role == turn.role != "tool":
            text = f"{last.text}\n{turn.text}" if last.text and turn.text else last.text + turn.text
            last = Turn(turn.role, text, last.thinking + turn.thinking, last.media + turn.media, last.calls + turn.calls)
            continue
        if last is not None:
            yield last
        last = turn
    if last is not None:
        yield last


def _from_url(kind: str, url: str) -> Media:
    if url.startswith("data:"):
        return kind, "base64", digest(url.partition(",")[2])
    if url.startswith("ms://"):
        return kind, "file_id", url.removeprefix("ms://")
    return kind, "url", url


def _failed(text: str) -> bool:
    return text.startswith("Error")


# ---- Chat Completions


def _chat(body: Json) -> Iterator[Turn]:
    for message in body["messages"]:
        role, content = message["role"], message.get("content") or ""
        parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        if text.startswith("fileid://"):
            yield Turn("user", media=[("file", "file_id", id.removeprefix("fileid://")) for id in text.split(",")])
            continue
        if role == "tool":
            yield Turn("tool", text, answers=message["tool_call_id"], is_error=_failed(text))
            continue
        yield Turn(
            "system" if role == "developer" else role,
            text,
            _chat_thinking(message),
            [_chat_media(part) for part in parts if part["type"] != "text"],
            [_chat_call(call) for call in message.get("tool_calls") or []],
        )


def _chat_thinking(message: Json) -> str:
    details = [entry.get("text") or entry.get("summary") or "" for entry in message.get("reasoning_details") or []]
    return "".join(details) or message.get("reasoning_content") or message.get("reasoning") or ""


def _chat_call(call: Json) -> tuple[str, str, Json]:
    return call["id"], call["function"]["name"], msgspec.json.decode(call["function"]["arguments"])


def _chat_media(part: Json) -> Media:
    match part["type"]:
        case "image_url":
            return _from_url("image", part["image_url"]["url"])
        case "input_audio":
            return "audio", "base64", digest(part["input_audio"]["data"])
        case _:
            if "file_id" in part:
                return "image", "file_id", part["file_id"]
            file = part["file"]
            return ("file", "file_id", file["file_id"]) if "file_id" in file else _from_url("file", file["file_data"])


# ---- Messages


def _messages(body: Json) -> Iterator[Turn]:
    system = body.get("system") or []
    yield Turn("system", system if isinstance(system, str) else "\n\n".join(block["text"] for block in system))
    for message in body["messages"]:
        content = message["content"]
        turn = Turn(message["role"])
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            match block["type"]:
                case "text":
                    turn.text += block["text"]
                case "thinking":
                    turn.thinking += block["thinking"]
                case "tool_use":
                    turn.calls = [*turn.calls, (block["id"], block["name"], block["input"])]
                case "tool_result":
                    assert turn == Turn(message["role"]), "results come before anything else"
                    yield _message_result(block)
                case "image" | "document":
                    turn.media = [*turn.media, _message_media(block)]
        if turn != Turn(message["role"]):
            yield turn


def _message_result(block: Json) -> Turn:
    content = block.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    media = [_message_media(part) for part in parts if part["type"] != "text"]
    return Turn("tool", text, media=media, answers=block["tool_use_id"], is_error=bool(block.get("is_error")))


def _message_media(block: Json) -> Media:
    kind, source = "image" if block["type"] == "image" else "file", block["source"]
    match source["type"]:
        case "base64":
            return kind, "base64", digest(source["data"])
        case "text":
            return kind, "base64", digest(source["data"].encode())
        case "url":
            return kind, "url", source["url"]
        case _:
            return kind, "file_id", source["file_id"]


# ---- Responses


def _responses(body: Json) -> Iterator[Turn]:
    yield Turn("system", body.get("instructions") or "")
    for item in body["input"]:
        match item.get("type", "message"):
            case "reasoning":
                yield Turn("assistant", thinking="".join(part["text"] for part in item["summary"]))
            case "function_call":
                yield Turn("assistant", calls=[(item["call_id"], item["name"], msgspec.json.decode(item["arguments"]))])
            case "function_call_output":
                text, media = _response_parts(item["output"])
                yield Turn("tool", text, media=media, answers=item["call_id"], is_error=_failed(text))
            case _:
                text, media = _response_parts(item["content"])
                role = "system" if item["role"] == "developer" else item["role"]
                yield Turn(role, text, media=media)


def _response_parts(content: Any) -> tuple[str, list[Media]]:
    parts: list[Json] = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    text = "\n".join(
        part.get("text") or part.get("refusal") or "" for part in parts if part["type"].endswith(("text", "refusal"))
    )
    return text, [_response_media(part) for part in parts if part["type"] in ("input_image", "input_file")]


def _response_media(part: Json) -> Media:
    kind = part["type"].removeprefix("input_")
    if "file_id" in part:
        return kind, "file_id", part["file_id"]
    return _from_url(kind, part.get("image_url") or part.get("file_data") or part["file_url"])


# ---- generateContent


def _gemini(body: Json) -> Iterator[Turn]:
    yield Turn("system", "\n\n".join(part["text"] for part in (body.get("systemInstruction") or {}).get("parts", [])))
    for content in body["contents"]:
        turn = Turn("assistant" if content.get("role") == "model" else "user")
        empty = Turn(turn.role)
        for part in content["parts"]:
            if "functionResponse" in part:
                yield _gemini_result(part["functionResponse"])
            elif "functionCall" in part:
                call = part["functionCall"]
                turn.calls = [*turn.calls, (call.get("id") or call["name"], call["name"], call.get("args") or {})]
            elif "text" in part:
                if part.get("thought"):
                    turn.thinking += part["text"]
                else:
                    turn.text += part["text"]
            else:
                turn.media = [*turn.media, _gemini_media(part)]
        if turn != empty:
            yield turn


def _gemini_result(result: Json) -> Turn:
    response = result["response"]
    value = response.get("error", response.get("output"))
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    media = [_gemini_media(part) for part in result.get("parts") or []]
    return Turn("tool", text, media=media, answers=result.get("id") or result["name"], is_error="error" in response)


_FILES = "https://generativelanguage.googleapis.com/v1beta/files/"


def _gemini_media(part: Json) -> Media:
    held = part.get("inlineData") or part["fileData"]
    kind = {"image": "image", "audio": "audio"}.get(held.get("mimeType", "").partition("/")[0], "file")
    if "data" in held:
        return kind, "base64", digest(held["data"])
    uri = held["fileUri"]
    return (kind, "file_id", uri.removeprefix(_FILES)) if uri.startswith(_FILES) else (kind, "url", uri)


# ---- Ollama


def _ollama(body: Json) -> Iterator[Turn]:
    for message in body["messages"]:
        media = [("image", "base64", digest(image)) for image in message.get("images") or []]
        text = message.get("content") or ""
        if message["role"] == "tool":
            yield Turn("tool", text, media=media, answers=message.get("tool_call_id"), is_error=_failed(text))
            continue
        calls = [
            (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []
        ]
        yield Turn(message["role"], text, message.get("thinking") or "", media, calls)


_READERS: dict[str, Callable[[Json], Iterator[Turn]]] = {
    "anthropic-messages": _messages,
    "gemini": _gemini,
    "ollama": _ollama,
    "openai-chat": _chat,
    "openai-responses": _responses,
}
