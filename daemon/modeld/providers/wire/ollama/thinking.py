"""The `think` switch: true, false, or a level.

Nothing is sent where nothing was asked for; the server then lets a model think that can. `on` and `adaptive` are true, or
the level asked for; a level that the model lacks becomes the nearest one, the higher of two. A budget becomes the level below
whose bound it stays. https://docs.ollama.com/capabilities/thinking (2026-11-20); the bounds are ours.
"""

from msgspec import UNSET, UnsetType

from modeld_protocol.request import Thinking

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..notes import Notes

_SCALE = ("minimal", "low", "medium", "high", "xhigh", "max")
_BOUNDS = ((4_096, "low"), (16_384, "medium"))  # of a token budget; above them: high


def encode_think(asked: Thinking | None, model: ModelSpec, notes: Notes) -> bool | str | UnsetType:
    """What to send. Raises ProviderFailure (`capability_mismatch`) where a model is to think that can't."""
    if asked is None:
        return UNSET
    quirks = model.quirks
    if asked.mode == "off" or asked.effort == "none":
        if quirks.thinking != "none" and not quirks.thinking_can_be_off:
            if not quirks.thinking_off_ignored:
                raise ProviderFailure("capability_mismatch", f"{model.id} thinks whatever it is told; ask for effort low instead")
            message = "this model thinks whatever it is told; a low effort makes it think less"
            notes.add("parameter_ignored", message, "thinking.mode")
        return False
    if quirks.thinking == "none":
        if asked.mode == "on":
            raise ProviderFailure("capability_mismatch", f"{model.id} can't think; set thinking to off or use a model that can")
        notes.add("parameter_ignored", "this model does not think", "thinking")
        return UNSET
    if asked.display is not None:
        notes.add("parameter_ignored", "this wire has no switch for the display of reasoning", "thinking.display")
    return _level(asked, quirks.efforts, notes)


def _level(asked: Thinking, efforts: tuple[str, ...], notes: Notes) -> bool | str:
    budget = asked.budget_tokens
    if asked.effort is None and budget is None:
        return True
    if asked.effort is None:
        wanted = next((level for bound, level in _BOUNDS if (budget or 0) <= bound), "high")
    else:
        wanted = asked.effort
        if budget is not None:
            notes.add("parameter_ignored", "this wire has effort levels, no token budgets", "thinking.budget_tokens")
    level = _nearest(wanted, efforts)
    if level is None:
        notes.add("parameter_adjusted", "this model thinks or does not; it has no levels", "thinking")
        return True
    if asked.effort is None:
        notes.add("parameter_adjusted", f"the token budget became effort {level}", "thinking.budget_tokens")
    elif level != wanted:
        notes.add("parameter_adjusted", f"effort {wanted} became {level}, which the model has", "thinking.effort")
    return level


def _nearest(wanted: str, efforts: tuple[str, ...]) -> str | None:
    known = [level for level in efforts if level in _SCALE]
    if not known:
        return None
    rank = _SCALE.index(wanted)
    return min(known, key=lambda level: (abs(_SCALE.index(level) - rank), -_SCALE.index(level)))
