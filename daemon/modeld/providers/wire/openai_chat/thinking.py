"""How a request asks for thinking on the chat wire: an effort level, and whatever else a provider's quirks put into the body.

The rules are those of `openai_shared.thinking`; besides, a provider may have switches (`thinking_on`, `thinking_off`), a token
budget (`budget_path`), and words for the display of reasoning. Level and budget never go together: the budget, which says
more, is sent. https://api-docs.deepseek.com/guides/thinking_mode, https://docs.z.ai/guides/capabilities/thinking-mode,
https://www.alibabacloud.com/help/en/model-studio/deep-thinking,
https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-11-20)
"""

from typing import NamedTuple

from modeld_protocol.request import CanonicalRequest, Thinking

from ...failure import ProviderFailure
from ...spec import ModelSpec, Quirks
from ..notes import Notes
from ..openai_shared.thinking import BUDGET_BOUNDS, LEVELS, nearest_level, plan_thinking
from .members import Members, merged, placed

PLAIN_EFFORT_PATH = "reasoning_effort"
_BUDGETS = {level: bound for bound, level in BUDGET_BOUNDS}


class ThinkingPlan(NamedTuple):
    """`effort` is the plain member of the body, None for nothing; `members` is what else goes in. `active` says whether the
    model will think, `off` that it was told not to."""

    effort: str | None
    members: Members
    active: bool
    off: bool = False


def plan_chat_thinking(request: CanonicalRequest, model: ModelSpec, notes: Notes) -> ThinkingPlan:
    """What the request's thinking means for this model. Raises ProviderFailure (`capability_mismatch`)."""
    asked, quirks = request.thinking, model.quirks
    off = asked is not None and (asked.mode == "off" or asked.effort == "none")
    if asked is None or not _has_switches(quirks):
        plan = plan_thinking(request, model, notes)
        if quirks.effort_path != PLAIN_EFFORT_PATH and plan.effort is not None:
            return ThinkingPlan(None, placed(quirks.effort_path, plan.effort), plan.active, off)
        _note_display(asked, quirks, notes)
        return ThinkingPlan(plan.effort, {}, plan.active, off)
    if off:
        return _turned_off(model)
    effort, members = _strength(asked, quirks, notes)
    members = merged(quirks.thinking_on, members)
    if asked.display is not None:
        members = merged(members, quirks.thinking_display.get(asked.display, {}))
        _note_display(asked, quirks, notes)
    return ThinkingPlan(effort, members, active=True)


def _has_switches(quirks: Quirks) -> bool:
    """Whether there is more to it than a level."""
    if quirks.thinking == "effort":
        return bool(quirks.thinking_on or quirks.thinking_off or quirks.budget_path)
    return quirks.thinking in ("budget", "switch")


def _turned_off(model: ModelSpec) -> ThinkingPlan:
    quirks = model.quirks
    if not quirks.thinking_can_be_off:
        lowest = next((level for level in LEVELS[1:] if level in quirks.efforts), None)
        instead = f"ask for effort {lowest}" if lowest else "leave thinking out"
        raise ProviderFailure("capability_mismatch", f"{model.id} can't stop thinking; {instead}, or use another model")
    if quirks.thinking_off or quirks.thinking != "effort":
        return ThinkingPlan(None, quirks.thinking_off, active=False, off=True)
    if quirks.effort_path != PLAIN_EFFORT_PATH:
        return ThinkingPlan(None, placed(quirks.effort_path, "none"), active=False, off=True)
    return ThinkingPlan("none", {}, active=False, off=True)


# ---- how hard


def _strength(asked: Thinking, quirks: Quirks, notes: Notes) -> tuple[str | None, Members]:
    """The level where it is a plain member, and the members of level or budget."""
    if quirks.thinking == "switch":
        for name in ("effort", "budget_tokens"):
            if getattr(asked, name) is not None:
                notes.add("parameter_ignored", "this model thinks or does not, there are no degrees", f"thinking.{name}")
        return None, {}
    if asked.budget_tokens is not None and quirks.budget_path is not None:
        if asked.effort is not None:
            notes.add("parameter_ignored", "a token budget and a level exclude each other here", "thinking.effort")
        return None, placed(quirks.budget_path, asked.budget_tokens)
    if quirks.thinking == "budget":
        return None, _budget_of_level(asked, quirks, notes)
    level = _level(asked, quirks, notes)
    if level is None or quirks.effort_path == PLAIN_EFFORT_PATH:
        return level, {}
    return None, placed(quirks.effort_path, level)


def _budget_of_level(asked: Thinking, quirks: Quirks, notes: Notes) -> Members:
    """Tokens for a level; the upper levels have no bound but the model's own."""
    if asked.effort is None:
        return {}
    tokens = _BUDGETS.get(asked.effort)
    told = f"a budget of {tokens} tokens" if tokens else "no bound"
    notes.add(
        "parameter_adjusted", f"this model has token budgets and no levels; effort {asked.effort} became {told}", "thinking"
    )
    return placed(quirks.budget_path, tokens) if tokens and quirks.budget_path else {}


def _level(asked: Thinking, quirks: Quirks, notes: Notes) -> str | None:
    if asked.effort is not None:
        level = nearest_level(asked.effort, quirks.efforts)
        if asked.budget_tokens is not None:
            notes.add("parameter_ignored", "this model has effort levels, no token budgets", "thinking.budget_tokens")
        if level != asked.effort:
            notes.add("parameter_adjusted", f"effort {asked.effort} became {level}, which the model has", "thinking.effort")
        return level
    if asked.budget_tokens is None:
        return None
    wanted = next((level for bound, level in BUDGET_BOUNDS if asked.budget_tokens <= bound), "xhigh")
    level = nearest_level(wanted, quirks.efforts)
    notes.add("parameter_adjusted", f"the token budget became effort {level}", "thinking.budget_tokens")
    return level


def _note_display(asked: Thinking | None, quirks: Quirks, notes: Notes) -> None:
    if asked is None or asked.display is None or quirks.thinking == "none" or asked.display in quirks.thinking_display:
        return
    notes.add("parameter_ignored", "this wire has no switch for the display of reasoning", "thinking.display")
