"""Reads an answer whose members have other types than the documentation says, into the same Structs.

Seen of compatible servers: content as a list of parts, arguments as an object, counts as text or fractions, lone
surrogates, bytes that are no UTF-8. Slow, and only reached where the strict decoder gave up.
"""

from typing import Any, TypeGuard, cast

import msgspec

from ..loose_json import whole_number
from .types import (
    Choice,
    Chunk,
    CompletionDetails,
    CostDetails,
    Delta,
    Extension,
    FunctionPart,
    PromptDetails,
    ToolCallPart,
    WireUsage,
)


def read_chunk(value: dict[str, Any]) -> Chunk:
    """A chunk or whole answer from parsed JSON; members that make no sense count as absent."""
    extension = value.get("x_groq")
    return Chunk(
        choices=[_choice(item) for item in _objects(value.get("choices"))],
        model=_text_or_none(value.get("model")),
        usage=_usage(value.get("usage")),
        error=value.get("error"),
        x_groq=Extension(_usage(extension.get("usage")), extension.get("error")) if _is_object(extension) else None,
        base_resp=value.get("base_resp"),
    )


def _choice(value: dict[str, Any]) -> Choice:
    return Choice(
        index=whole_number(value.get("index")),
        delta=_delta(value.get("delta")),
        finish_reason=_text_or_none(value.get("finish_reason")),
        message=_delta(value.get("message")),
        usage=_usage(value.get("usage")),
        error=value.get("error"),
    )


def _delta(value: Any) -> Delta | None:
    if not _is_object(value):
        return None
    content, thought, refused = _content(value.get("content"))
    details = value.get("reasoning_details")
    return Delta(
        content=content,
        reasoning_content=_joined(value.get("reasoning_content")) or thought or None,
        reasoning=_joined(value.get("reasoning")),
        thinking=_joined(value.get("thinking")),
        reasoning_details=cast("list[Any]", details) if isinstance(details, list) else None,
        encrypted_content=_joined(value.get("encrypted_content")),
        refusal=_joined(value.get("refusal")) or refused or None,
        tool_calls=[_call(item) for item in _objects(value.get("tool_calls"))],
        function_call=_function(value.get("function_call")),
        audio=value.get("audio"),
        images=value.get("images"),
    )


def _content(value: Any) -> tuple[str | None, str, str]:
    """Text, thinking and refusal of `content`, which may be a string, a part or a list of parts."""
    if isinstance(value, str) or value is None:
        return value, "", ""
    found = {"text": "", "thinking": "", "refusal": ""}
    for part in _objects([value] if _is_object(value) else value):
        kind = part.get("type")
        kind = kind if kind in ("thinking", "refusal") else "text"
        found[kind] += _joined(part.get(kind)) or ""
    if isinstance(value, list):
        found["text"] += "".join(part for part in cast("list[Any]", value) if isinstance(part, str))
    return found["text"] or None, found["thinking"], found["refusal"]


def _joined(value: Any) -> str | None:
    """A string, or the text of a part or of a list of parts."""
    if isinstance(value, str):
        return value
    if _is_object(value):
        return _joined(value.get("text") or value.get("content"))
    if isinstance(value, list):
        return "".join(_joined(item) or "" for item in cast("list[Any]", value))
    return None


def _call(value: dict[str, Any]) -> ToolCallPart:
    function = value.get("function")
    index = value.get("index")
    if index is None and _is_object(function):
        index = function.get("index")
    return ToolCallPart(whole_number(index), _text_or_none(value.get("id")), _function(function))


def _function(value: Any) -> FunctionPart | None:
    if not _is_object(value):
        return None
    arguments = value.get("arguments")
    if isinstance(arguments, dict | list):
        arguments = msgspec.json.encode(arguments).decode()
    return FunctionPart(_text_or_none(value.get("name")), _text_or_none(arguments))


def _usage(value: Any) -> WireUsage | None:
    if not _is_object(value):
        return None
    prompt, completion = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    costs = value.get("cost_details")
    return WireUsage(
        prompt_tokens=whole_number(value.get("prompt_tokens")),
        completion_tokens=whole_number(value.get("completion_tokens")),
        total_tokens=whole_number(value.get("total_tokens")),
        prompt_tokens_details=PromptDetails(
            whole_number(prompt.get("cached_tokens")),
            whole_number(prompt.get("cache_write_tokens")),
            whole_number(prompt.get("cache_creation_input_tokens")),
        )
        if _is_object(prompt)
        else None,
        completion_tokens_details=CompletionDetails(whole_number(completion.get("reasoning_tokens")))
        if _is_object(completion)
        else None,
        prompt_cache_hit_tokens=whole_number(value.get("prompt_cache_hit_tokens")),
        cached_tokens=whole_number(value.get("cached_tokens")),
        cache_creation_input_tokens=whole_number(value.get("cache_creation_input_tokens")),
        cost=_amount(value.get("cost")),
        is_byok=value.get("is_byok") is True,
        cost_details=CostDetails(_amount(costs.get("upstream_inference_cost"))) if _is_object(costs) else None,
    )


def _amount(value: Any) -> float | None:
    """An amount of money, also where it came as text."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _text_or_none(value: Any) -> str | None:
    """Text as it is; a number as text (ids and models that are numbers)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in cast("list[Any]", value) if _is_object(item)] if isinstance(value, list) else []


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
