"""What the tests of requests share: canonical blocks as JSON, and what an encoding says of itself."""

from collections.abc import Mapping
from typing import Any

from modeld.providers.wire.contract import Encoded


def codes(encoded: Encoded) -> list[tuple[str, str | None]]:
    return [(warning.code, warning.path) for warning in encoded.warnings]


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def image(**source: str) -> dict[str, Any]:
    return {"type": "image", "source": source}


def call(number: int, **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"tu_call_{number}", "name": "weather", "input": input}


def result(number: int, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"tu_call_{number}", "content": content, **more}


def consumed(value: Any) -> Any:
    """The validator reads iterables lazily: reading them is what validates."""
    if isinstance(value, str | bytes | None | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: consumed(item) for key, item in value.items()}
    return [consumed(item) for item in value]
