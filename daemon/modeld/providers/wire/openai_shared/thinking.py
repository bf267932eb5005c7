"""How hard to think, where a wire knows effort levels and no token budgets.

Rules: `off` (or effort none) is the level none; `on` and `adaptive` are the level asked for, or the model's own default
where it thinks by default, else medium. A level that the model lacks becomes the nearest one that it has, the higher of two;
never none. A budget without a level becomes the level below whose bound it stays. A model that can't think refuses `on` and
ignores `adaptive`; one that must think refuses `off`.
https://developers.openai.com/api/docs/guides/reasoning (2026-11-20); the bounds are ours.
"""

from typing import NamedTuple

import msgspec

from modeld_protocol.request import CanonicalRequest, Thinking

from ...failure import ProviderFailure
from ...spec import ModelSpec, Quirks
from ..notes import Notes

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
BUDGET_BOUNDS: tuple[tuple[int, str], ...] = ((1_024, "minimal"), (4_096, "low"), (16_384, "medium"), (32_768, "high"))


class Plan(NamedTuple):
    """`effort` is what to send, None for nothing; `active` says whether the model will think."""

    effort: str | None
    active: bool


def settle_thinking(request: CanonicalRequest, model: ModelSpec, notes: Notes) -> CanonicalRequest:
    """The request with thinking turned off, where a tool is forced on a model that can't be forced while it thinks: who did not
    insist on thinking gets the call."""
    asked, choice, quirks = request.thinking, request.tool_choice, model.quirks
    if quirks.forced_tool_choice_with_thinking or choice is None or choice.type not in ("required", "tool"):
        return request
    thinks = quirks.thinking_default_on if asked is None else asked.mode == "adaptive" and asked.effort != "none"
    if not thinks or not quirks.thinking_can_be_off or quirks.thinking == "none":
        return request
    notes.add("parameter_adjusted", "this model calls no tool by force while it thinks; thinking was set to off", "thinking")
    return msgspec.structs.replace(request, thinking=Thinking("off"))


def plan_thinking(request: CanonicalRequest, model: ModelSpec, notes: Notes) -> Plan:
    """What the request's thinking means for this model, apart from its display. Raises ProviderFailure
    (`capability_mismatch`)."""
    asked, quirks = request.thinking, model.quirks
    plan = _plan(asked, model, notes) if asked is not None else Plan(None, quirks.thinking_default_on)
    if request.tools and plan.active and not quirks.tools_with_reasoning:
        return _without_thinking(asked, model, notes)
    return plan


def _plan(asked: Thinking, model: ModelSpec, notes: Notes) -> Plan:
    quirks = model.quirks
    off = asked.mode == "off" or asked.effort == "none"
    if quirks.thinking != "effort":
        return _plan_without_levels(asked, model, notes, off=off)
    if off:
        return Plan(_off_level(model), active=False)
    if asked.effort is None and asked.budget_tokens is None:
        return Plan(None if quirks.thinking_default_on else nearest_level("medium", quirks.efforts), active=True)
    return Plan(_level(asked, quirks, notes), active=True)


def _plan_without_levels(asked: Thinking, model: ModelSpec, notes: Notes, *, off: bool) -> Plan:
    default_on = model.quirks.thinking_default_on
    if off and default_on:
        raise ProviderFailure("capability_mismatch", f"{model.id} always thinks here; leave thinking out, or use another model")
    if not off and asked.mode == "on" and not default_on:
        raise ProviderFailure("capability_mismatch", f"{model.id} can't think; set thinking to off or use a reasoning model")
    if not off:
        notes.add("parameter_ignored", "this model takes no settings for thinking", "thinking")
    return Plan(None, active=default_on)


def _off_level(model: ModelSpec) -> str | None:
    quirks = model.quirks
    if not quirks.thinking_can_be_off:
        lowest = next((level for level in LEVELS[1:] if level in quirks.efforts), "low")
        raise ProviderFailure(
            "capability_mismatch", f"{model.id} can't stop thinking; ask for effort {lowest}, or use another model"
        )
    if not quirks.efforts or "none" in quirks.efforts:
        return "none"
    return None if not quirks.thinking_default_on else "none"


def _level(asked: Thinking, quirks: Quirks, notes: Notes) -> str | None:
    if asked.effort is not None:
        wanted = asked.effort
        if asked.budget_tokens is not None:
            notes.add("parameter_ignored", "this wire has effort levels, no token budgets", "thinking.budget_tokens")
    else:
        wanted = next((level for bound, level in BUDGET_BOUNDS if (asked.budget_tokens or 0) <= bound), "xhigh")
    level = nearest_level(wanted, quirks.efforts)
    if asked.effort is None:
        notes.add("parameter_adjusted", f"the token budget became effort {level}", "thinking.budget_tokens")
    elif level != wanted:
        notes.add("parameter_adjusted", f"effort {wanted} became {level}, which the model has", "thinking.effort")
    return level


def nearest_level(wanted: str, efforts: tuple[str, ...]) -> str | None:
    """The level to send; any where the model's levels are unknown. Levels outside the scale serve where there is no other."""
    if not efforts or wanted in efforts:
        return wanted
    on_scale = [level for level in LEVELS[1:] if level in efforts]
    if not on_scale:
        return next((level for level in efforts if level != "none"), None)
    rank = LEVELS.index(wanted)
    return min(on_scale, key=lambda level: (abs(LEVELS.index(level) - rank), -LEVELS.index(level)))


def _without_thinking(asked: Thinking | None, model: ModelSpec, notes: Notes) -> Plan:
    """Tools on a model that takes none while it thinks: who did not insist on thinking gets the tools."""
    if (asked is None or asked.mode == "adaptive") and model.quirks.thinking_can_be_off:
        notes.add("parameter_adjusted", "this model takes no tools while it thinks; thinking was set to off", "thinking")
        return Plan("none", active=False)
    raise ProviderFailure(
        "capability_mismatch",
        f"{model.id} takes no tools while it thinks on this wire; set thinking to off, or use the provider's newer wire",
    )
