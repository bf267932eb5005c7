"""Parameters that the OpenAI wires spell differently and mean alike: the choice of tools, sampling, schemas, caching, options.

What a model refuses is left out with a warning where the answer stays what was asked for, and refused where it would not.
"""

import re
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

import msgspec

from modeld_protocol.request import CanonicalRequest, ResponseFormat, ToolChoice

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..notes import Notes
from .schemas import is_strict_schema

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME_CHARS = 64
_T = TypeVar("_T", bound=msgspec.Struct)

# ---- tools


def check_tools(request: CanonicalRequest, model: ModelSpec) -> bool:
    """Whether there are tools to send. Raises ProviderFailure for a choice without them, and for too many."""
    if not request.tools:
        choice = request.tool_choice
        if choice is not None and choice.type in ("required", "tool"):
            raise ProviderFailure("invalid_request", f"tool_choice {choice.type} needs tools; give tools or leave it out")
        return False
    most = model.quirks.max_function_count
    if most is not None and len(request.tools) > most:
        raise ProviderFailure("capability_mismatch", f"{model.id} takes {most} tools, not {len(request.tools)}; give fewer")
    return True


def settle_tool_choice(
    choice: ToolChoice, request: CanonicalRequest, model: ModelSpec, *, thinking: bool
) -> Literal["none", "auto", "required", "tool"]:
    """The choice that this model can be given: any tool is the one tool where there is no other. Raises ProviderFailure where it
    names none of the tools, and where the model can't be forced."""
    if choice.type in ("none", "auto"):
        return choice.type
    if choice.type == "tool" and not any(tool.name == choice.name for tool in request.tools):
        raise ProviderFailure("invalid_request", "tool_choice.name names none of the tools; name one of them")
    quirks = model.quirks
    known = quirks.tool_choices if quirks.forced_tool_choice else ()
    settled = "tool" if choice.type == "required" and "required" not in known and len(request.tools) == 1 else choice.type
    if settled not in known:
        _refuse_choice(model, "use auto and ask for it in the prompt")
    if thinking and not quirks.forced_tool_choice_with_thinking:
        _refuse_choice(model, "turn thinking off, or use auto", " while it thinks")
    return settled


def _refuse_choice(model: ModelSpec, instead: str, when: str = "") -> NoReturn:
    raise ProviderFailure("capability_mismatch", f"tool_choice: {model.id} can't be made to call a tool{when}; {instead}")


# ---- sampling


class Sampling(NamedTuple):
    """What to send; None for nothing."""

    temperature: float | None
    top_p: float | None


def plan_sampling(request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool) -> Sampling:
    """Temperature and top_p as far as the model takes them."""
    quirks = model.quirks
    sampling = quirks.sampling
    refused = sampling == "none" or (thinking and (sampling == "without_reasoning" or not quirks.sampling_with_thinking))
    temperature, top_p = request.temperature, request.top_p
    if temperature is not None and refused:
        notes.add("parameter_ignored", "this model takes no temperature here; it was left out", "temperature")
    if top_p is not None and (refused or (sampling == "one_of_two" and temperature is not None)):
        notes.add("parameter_ignored", "this model takes no top_p here; it was left out", "top_p")
        top_p = None
    return Sampling(None if refused else temperature, top_p)


# ---- structured output


class NamedSchema(NamedTuple):
    """A schema of the answer. `strict`: it keeps to the subset that the API can promise to follow."""

    name: str
    schema: dict[str, Any]
    strict: bool


def named_schema(asked: ResponseFormat) -> NamedSchema:
    """The schema of a json_schema format. Raises ProviderFailure where it is missing."""
    if asked.schema is None:
        raise ProviderFailure("invalid_request", "response_format.schema is missing; json_schema needs one")
    name = _NOT_IN_NAMES.sub("_", asked.name or "")[:_MAX_NAME_CHARS] or "output"
    return NamedSchema(name, asked.schema, is_strict_schema(asked.schema))


# ---- caching, metadata, options


def plan_cache_key(request: CanonicalRequest, notes: Notes) -> str | None:
    """Prefixes are cached without being asked; a key keeps related requests together. There are no lifetimes to choose that
    match ours, and on most models no switch."""
    cache = request.cache
    if cache is None:
        return None
    if cache.mode == "off":
        notes.add("parameter_ignored", "the provider caches by itself; this wire has no switch for it", "cache.mode")
    if cache.ttl is not None:
        notes.add("parameter_ignored", "this wire has no such cache lifetimes", "cache.ttl")
    return cache.key if cache.mode != "off" else None


def encode_metadata(metadata: dict[str, Any]) -> dict[str, str]:
    """Values are text here."""
    return {key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in metadata.items()}
