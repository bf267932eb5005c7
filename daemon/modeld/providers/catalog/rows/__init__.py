"""Provider rows: what each provider is, where it departs from its wire, and which of its models depart further. Data only.

A further provider that is only data is one more row, in the file of its family, its models in `models.json` and a cassette.
Rules are applied in order, every one whose pattern is found in the wire name; a later rule wins. A name that no rule knows
has the row's base, which allows everything: a guess must not refuse what the provider would have taken.
"""

from .anthropic import ANTHROPIC, ANTHROPIC_COMPATIBLE
from .cerebras import CEREBRAS
from .deepseek import DEEPSEEK
from .gemini import GEMINI
from .glm import GLM
from .groq import GROQ
from .kimi import KIMI
from .minimax import MINIMAX
from .ollama import OLLAMA
from .openai import OPENAI, OPENAI_COMPATIBLE, OPENAI_RESPONSES
from .openrouter import OPENROUTER
from .qwen import QWEN
from .row import ModelRule, ProviderRow

__all__ = ["PLANNED_TYPES", "ROWS", "ModelRule", "ProviderRow"]

PLANNED_TYPES: tuple[str, ...] = ()
"""Types that the protocol names and this version has no row for."""

ROWS: dict[str, ProviderRow] = {
    row.type: row
    for row in (
        *(ANTHROPIC, ANTHROPIC_COMPATIBLE, OPENAI, OPENAI_COMPATIBLE, OPENAI_RESPONSES, GEMINI, OLLAMA),
        *(DEEPSEEK, QWEN, GLM, KIMI, MINIMAX, OPENROUTER, GROQ, CEREBRAS),
    )
}
