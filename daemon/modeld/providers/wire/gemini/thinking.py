"""How hard to think: a token budget on Gemini 2.5, a level from Gemini 3 on, never both.

https://ai.google.dev/gemini-api/docs/thinking (2026-11-20): a budget of 0 is off, -1 leaves it to the model; levels have no
off. Where the model thinks by default, asking for no more than that says nothing but whether thoughts are to be shown.
"""

from typing import Any, Final

from modeld_protocol.request import CanonicalRequest, Thinking

from ...failure import ProviderFailure
from ...spec import ModelSpec, Quirks
from ..notes import Notes

LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
DYNAMIC_BUDGET: Final = -1
_BUDGETS: Final = {"minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""Of effort levels on models that have none; low to high as the provider's own compatible endpoint maps them
(https://ai.google.dev/gemini-api/docs/openai, 2026-11-20)."""


def plan_thinking(request: CanonicalRequest, model: ModelSpec, notes: Notes) -> dict[str, Any] | None:
    """The `thinkingConfig` to send, None for none. Raises ProviderFailure (`capability_mismatch`)."""
    asked, quirks = request.thinking, model.quirks
    if asked is None:
        return None
    if asked.mode == "off" or asked.effort == "none":
        return _off(model)
    if quirks.thinking == "none":
        if asked.mode == "on":
            raise ProviderFailure("capability_mismatch", f"{model.id} can't think; leave thinking out, or use a model that does")
        notes.add("parameter_ignored", "this model takes no settings for thinking", "thinking")
        return None
    config = _budget(asked, quirks, notes) if quirks.thinking == "budget" else _level(asked, quirks, notes)
    if (asked.display or quirks.display) == "summarized":
        config = {"includeThoughts": True, **config}
    return config or None


def _off(model: ModelSpec) -> dict[str, Any] | None:
    quirks = model.quirks
    if quirks.thinking == "none":
        return None
    if not quirks.thinking_can_be_off:
        lowest = next((level for level in LEVELS if level in quirks.efforts), "low")
        raise ProviderFailure(
            "capability_mismatch", f"{model.id} can't stop thinking; ask for effort {lowest}, or use another model"
        )
    return {"thinkingBudget": 0}


def _budget(asked: Thinking, quirks: Quirks, notes: Notes) -> dict[str, Any]:
    if asked.budget_tokens is not None:
        return {"thinkingBudget": _clamped(asked.budget_tokens, quirks, notes, "thinking.budget_tokens")}
    if asked.effort is not None:
        budget = _clamped(_BUDGETS[asked.effort], quirks, None, "")
        notes.add("parameter_adjusted", f"this model has budgets, no efforts; {budget} tokens are sent", "thinking.effort")
        return {"thinkingBudget": budget}
    return {} if asked.mode == "on" and quirks.thinking_default_on else {"thinkingBudget": DYNAMIC_BUDGET}


def _clamped(wanted: int, quirks: Quirks, notes: Notes | None, path: str) -> int:
    least, most = quirks.thinking_budget or (1, wanted)
    budget = min(max(wanted, least), most)
    if budget != wanted and notes is not None:
        notes.add("parameter_adjusted", f"this model's budgets lie between {least} and {most}; {budget} is sent", path)
    return budget


def _level(asked: Thinking, quirks: Quirks, notes: Notes) -> dict[str, Any]:
    if asked.effort is None and asked.budget_tokens is not None:
        return _level_or_budget(asked.budget_tokens, quirks, notes)
    if asked.budget_tokens is not None:
        notes.add("parameter_ignored", "a level and a budget exclude each other; the level is sent", "thinking.budget_tokens")
    wanted = asked.effort
    if wanted is None:
        if quirks.thinking_default_on:
            return {}
        wanted = "medium"
    level = nearest_level(wanted, quirks.efforts)
    if level != asked.effort and asked.effort is not None:
        notes.add("parameter_adjusted", f"effort {asked.effort} became {level}, which the model has", "thinking.effort")
    return {"thinkingLevel": level.upper()}


def _level_or_budget(budget: int, quirks: Quirks, notes: Notes) -> dict[str, Any]:
    if quirks.thinking_budget is not None:
        return {"thinkingBudget": _clamped(budget, quirks, notes, "thinking.budget_tokens")}
    wanted = next((level for level, tokens in _BUDGETS.items() if budget <= tokens), "high")
    level = nearest_level(wanted, quirks.efforts)
    notes.add("parameter_adjusted", f"the token budget became effort {level}", "thinking.budget_tokens")
    return {"thinkingLevel": level.upper()}


def nearest_level(wanted: str, efforts: tuple[str, ...]) -> str:
    """The level to send: the one wanted, or the nearest that the model has, the higher of two; any where its own are unknown."""
    known = [level for level in LEVELS if level in efforts] or list(LEVELS[:4])
    rank = LEVELS.index(wanted)
    return min(known, key=lambda level: (abs(LEVELS.index(level) - rank), -LEVELS.index(level)))
