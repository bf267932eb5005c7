"""Takes reasoning out of bodies of any wire before they are written down: by the names it goes by. Pure."""

import re
from typing import Any, Final, cast

import msgspec

HIDDEN: Final = "[reasoning left out; the debug knob `thinking` keeps it]"
_NAMES: Final = re.compile(r"thinking|thought|reasoning", re.IGNORECASE)
_SEALED: Final = ("signature", "thoughtSignature", "encrypted_content")  # reasoning too, in a provider's own cipher
_KEPT: Final = ("type", "id", "role", "status", "item_id", "name", "model")
_TAGGED: Final = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)
_NAMED_TEXT: Final = re.compile(r'("[A-Za-z_]*(?:thinking|thought|reasoning)[A-Za-z_]*"\s*:\s*)"(?:[^"\\]|\\.)*"?', re.IGNORECASE)
_MAX_DEPTH: Final = 100


def without_reasoning(body: str) -> str:
    """The body, one of JSON, of lines of JSON or of server-sent events, without the text of its reasoning."""
    whole = _of_json(body)
    if whole is not None:
        return whole
    return "\n".join(_of_line(line) for line in body.split("\n"))


def _of_line(line: str) -> str:
    head, data = ("data: ", line[5:]) if line.startswith("data:") else ("", line)
    found = _of_json(data.strip())
    if found is not None:
        return head + found
    return _TAGGED.sub(HIDDEN, _NAMED_TEXT.sub(lambda match: f'{match[1]}"{HIDDEN}"', line))  # a line that broke off


def _of_json(text: str) -> str | None:
    if text[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.encode(_hidden(msgspec.json.decode(text), 0)).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _hidden(value: Any, depth: int) -> Any:
    """The value without what is reasoning in it."""
    if depth > _MAX_DEPTH:
        return HIDDEN
    if isinstance(value, str):
        return _TAGGED.sub(HIDDEN, value) if "<think>" in value else value
    if isinstance(value, list):
        return [_hidden(one, depth + 1) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    if _is_reasoning(members):
        return {name: one if name in _KEPT else _blanked(one) for name, one in members.items()}
    return {
        name: _blanked(one) if name in _SEALED or (_NAMES.search(name) and _is_text(one)) else _hidden(one, depth + 1)
        for name, one in members.items()
    }


def _is_reasoning(members: dict[str, Any]) -> bool:
    kind = members.get("type")
    return members.get("thought") is True or (isinstance(kind, str) and bool(_NAMES.search(kind)))


def _is_text(value: Any) -> bool:
    """Whether it may be reasoning, and isn't a setting or a count."""
    return isinstance(value, list) or (isinstance(value, str) and len(value) > 0)


def _blanked(value: Any) -> Any:
    """The same shape with every text hidden."""
    if isinstance(value, str):
        return HIDDEN if value else value
    if isinstance(value, list):
        return [_blanked(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: one if name in _KEPT else _blanked(one) for name, one in members.items()}
    return value
