"""Canonical blocks as JSON, and what the Messages wire makes of some, for the tests of its requests."""

import base64
from typing import Any

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 16).decode()
PDF = base64.b64encode(b"%PDF-1.7 " + b"0" * 16).decode()
NOTE = base64.b64encode("Grüße".encode()).decode()
BMP = base64.b64encode(b"BM" + b"0" * 16).decode()
TOOL = {"name": "weather", "description": "Now.", "input_schema": {"type": "object", "properties": {}}}
MINE = {"provider": "anthropic", "model": "m-1"}
CALL = {"type": "tool_use", "id": "tu_toolu_1", "name": "weather", "input": {"city": "Rome"}}
RESULT = {"type": "tool_result", "tool_use_id": "tu_toolu_1", "content": "sunny"}
SERVER_BLOCK = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def image(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "image", "source": source, **more}


def file(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "file", "source": source, **more}


def inline(data: str) -> dict[str, Any]:
    return {"kind": "base64", "data": data}


HI = {"role": "user", "content": "Hi"}
WIRE_CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
WIRE_RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
