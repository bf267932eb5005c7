"""Thinking, effort, the output limit and sampling: parameters that constrain each other, per model.

Documentation: https://platform.claude.com/docs/en/build-with-claude/thinking and the 2026-10-21 migration page (2026-11-20).
"""

from typing import Final

import msgspec

from modeld_protocol.request import CanonicalRequest, Thinking
from modeld_protocol.usage import Warning

from ...failure import ProviderFailure
from ...spec import ModelSpec
from .types import ThinkingConfig

PLAIN_VERSION = "2023-06-01"
NO_SAMPLING_VERSION = "2026-10-21"  # from here on temperature, top_p and top_k are refused, whatever their value

# The wire requires max_tokens. Without one asked for: room for a long answer, more where thinking counts into it; eight
# thousand where the model's own limit is unknown, which every model since 2024 takes.
DEFAULT_MAX_TOKENS = 16_384
DEFAULT_MAX_TOKENS_THINKING = 32_768
DEFAULT_MAX_TOKENS_UNKNOWN = 8_192

MIN_BUDGET = 1_024
DEFAULT_BUDGET = 8_192
_BUDGETS: Final = {"minimal": 1_024, "low": 4_096, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


class Reasoning(msgspec.Struct):
    """What the request says about thinking. `active`: the model will, or may, think."""

    max_tokens: int
    config: ThinkingConfig | None = None
    effort: str | None = None
    active: bool = False


class Sampling(msgspec.Struct):
    """Sampling parameters; None where one is not sent."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


def plan_reasoning(request: CanonicalRequest, model: ModelSpec, warnings: list[Warning]) -> Reasoning:
    """Thinking, effort and the output limit as this model takes them. Raises ProviderFailure."""
    thinking, quirks = request.thinking, model.quirks
    if thinking is None:
        return Reasoning(_max_tokens(request, model, thinks=quirks.thinking_default_on), active=quirks.thinking_default_on)
    if thinking.mode == "off" or thinking.effort == "none":
        return _off(request, thinking, model, warnings)
    form = quirks.thinking
    if form == "none" and not model.capabilities.thinking:
        if thinking.mode == "on":
            raise ProviderFailure(
                "capability_mismatch", f"thinking: {model.id} does not think; leave thinking out or choose a model that does"
            )
        _warn(warnings, "parameter_ignored", "this model does not think", "thinking")
        return Reasoning(_max_tokens(request, model, thinks=False))
    if form == "budget" or (form == "none" and thinking.budget_tokens):
        return _budget(request, thinking, model, warnings)
    if thinking.budget_tokens:
        _warn(warnings, "parameter_ignored", "this model has no thinking budget, it has effort", "thinking.budget_tokens")
    config = ThinkingConfig("adaptive", display=thinking.display or quirks.display) if form != "effort" else None
    return Reasoning(_max_tokens(request, model, thinks=True), config, _effort(thinking, model, warnings), active=True)


def _off(request: CanonicalRequest, thinking: Thinking, model: ModelSpec, warnings: list[Warning]) -> Reasoning:
    if not model.quirks.thinking_can_be_off:
        raise ProviderFailure(
            "capability_mismatch", f"thinking: {model.id} always thinks; ask for mode adaptive with effort low instead"
        )
    effort = _effort(thinking, model, warnings) if thinking.effort != "none" else None
    if effort in ("xhigh", "max") and model.quirks.thinking_default_on:
        _warn(warnings, "parameter_adjusted", f"effort {effort} needs thinking; high is sent", "thinking.effort")
        effort = "high"
    return Reasoning(_max_tokens(request, model, thinks=False), ThinkingConfig("disabled"), effort)


def _budget(request: CanonicalRequest, thinking: Thinking, model: ModelSpec, warnings: list[Warning]) -> Reasoning:
    effort = _effort(thinking, model, warnings) if model.quirks.efforts else None
    if thinking.mode == "adaptive" and effort and not thinking.budget_tokens:
        # Adaptive leaves it to the model whether it thinks. Here effort alone says how hard to try.
        _warn(warnings, "parameter_adjusted", "this model has no adaptive thinking; effort alone is sent", "thinking.mode")
        return Reasoning(_max_tokens(request, model, thinks=False), None, effort)
    if thinking.mode == "adaptive":
        _warn(warnings, "parameter_adjusted", "this model has no adaptive thinking; a budget is sent", "thinking.mode")
    wanted = thinking.budget_tokens or _BUDGETS.get(thinking.effort or "", DEFAULT_BUDGET)
    limit = request.max_output_tokens
    if limit is None:
        limit = min(max(_max_tokens(request, model, thinks=True), wanted + DEFAULT_MAX_TOKENS_UNKNOWN), _ceiling(model))
    budget = _fitting_budget(wanted, limit)
    if thinking.effort and not (thinking.budget_tokens or effort):
        _warn(warnings, "parameter_adjusted", f"this model has budgets, no efforts; {budget} tokens are sent", "thinking.effort")
    if thinking.budget_tokens and budget != wanted:
        _warn(warnings, "parameter_adjusted", f"{budget} is sent: at least 1024, below max_tokens", "thinking.budget_tokens")
    config = ThinkingConfig("enabled", budget, thinking.display or model.quirks.display)
    return Reasoning(limit, config, effort, active=True)


def _fitting_budget(wanted: int, max_tokens: int) -> int:
    """A legal budget near the one wanted that leaves a quarter of the limit for the answer. Raises ProviderFailure."""
    if max_tokens <= MIN_BUDGET:
        raise ProviderFailure(
            "invalid_request",
            f"max_output_tokens: {max_tokens} leaves no room to think; give more than {MIN_BUDGET}, or turn thinking off",
        )
    budget = wanted if wanted < max_tokens else max_tokens * 3 // 4
    return max(budget, MIN_BUDGET)


def _effort(thinking: Thinking, model: ModelSpec, warnings: list[Warning]) -> str | None:
    """The effort to send: the one asked for, or the nearest below it that the model has."""
    wanted = thinking.effort
    if wanted is None:
        return None
    known = [effort for effort in _EFFORTS if effort in model.quirks.efforts] or list(_EFFORTS)
    if wanted in known:
        return wanted
    rank = _EFFORTS.index(wanted) if wanted in _EFFORTS else -1
    lower = [effort for effort in known if _EFFORTS.index(effort) <= rank]
    sent = lower[-1] if lower else known[0]
    _warn(warnings, "parameter_adjusted", f"this model has no effort {wanted}; {sent} is sent", "thinking.effort")
    return sent


def _ceiling(model: ModelSpec) -> int:
    return model.limits.max_output_tokens or 1 << 30


def _max_tokens(request: CanonicalRequest, model: ModelSpec, *, thinks: bool) -> int:
    """What was asked for, unchanged: above the model's limit the provider says so itself. Else a default."""
    if request.max_output_tokens is not None:
        return request.max_output_tokens
    if model.limits.max_output_tokens is None:
        return DEFAULT_MAX_TOKENS_UNKNOWN
    return min(model.limits.max_output_tokens, DEFAULT_MAX_TOKENS_THINKING if thinks else DEFAULT_MAX_TOKENS)


def plan_sampling(
    request: CanonicalRequest, top_k: int | None, model: ModelSpec, reasoning: Reasoning, warnings: list[Warning]
) -> Sampling:
    """Sampling parameters as far as this model takes them; the rest is left out, since one of them too many is a 400."""
    found = Sampling(request.temperature, request.top_p, top_k)
    if found.temperature is None and found.top_p is None and found.top_k is None:
        return found
    version = model.quirks.api_version or PLAIN_VERSION
    if model.quirks.sampling == "none" or version >= NO_SAMPLING_VERSION:
        return _without_sampling(found, "this model takes no sampling parameters", warnings)
    if reasoning.active and not model.quirks.sampling_with_thinking:
        neutral = found.temperature if found.temperature == 1 else None
        _without_sampling(Sampling(None if neutral else found.temperature, found.top_p, top_k), "not while thinking", warnings)
        return Sampling(neutral)
    if found.temperature is not None and found.temperature > 1:
        _warn(warnings, "parameter_adjusted", "temperature ends at 1 here; 1 is sent", "temperature")
        found.temperature = 1.0
    if found.temperature is not None and found.top_p is not None and model.quirks.sampling == "one_of_two":
        _warn(warnings, "parameter_ignored", "this model takes temperature or top_p, not both", "top_p")
        found.top_p = None
    return found


def _without_sampling(given: Sampling, why: str, warnings: list[Warning]) -> Sampling:
    for name in ("temperature", "top_p", "top_k"):
        if getattr(given, name) is not None:
            _warn(warnings, "parameter_ignored", f"{name} was left out: {why}", name)
    return Sampling()


def _warn(warnings: list[Warning], code: str, message: str, path: str) -> None:
    warnings.append(Warning(code, message, path))
