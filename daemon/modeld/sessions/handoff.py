"""What a switch of models means for a history: what is kept, degraded, dropped or refused, and what it costs. Pure.

The target's own encoder says what becomes of each block, so a preview and the turn after it can't differ.
"""

from collections.abc import Sequence

from modeld_protocol.content import Message
from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.session import HandoffReport
from modeld_protocol.usage import Usage, Warning

from ..ledger.pricing import cost_of
from ..providers.estimate import Tally, estimate_input_tokens
from ..providers.spec import ModelSpec
from .history import made_by

DROPPED = "content_dropped"
DEGRADED = "content_projected"


def last_model(messages: Sequence[Message]) -> str | None:
    """The model that gave the last answer of a history, None where none did."""
    for message in reversed(messages):
        if message.role == "assistant":
            return made_by(message)[1]
    return None


def report(
    request: CanonicalRequest,
    before: ModelSpec | None,
    from_model: str | None,
    to: ModelSpec,
    warnings: Sequence[Warning],
    refused: Sequence[Warning] = (),
    tally: Tally | None = None,
) -> HandoffReport:
    """`request` holds the history as it is stored, `warnings` are what encoding it for `to` said. `before` is the spec of
    `from_model`, None where it is no longer configured; `tally` that of the history."""
    tally = tally or Tally()
    messages = request.messages if not isinstance(request.messages, str) else [Message("user", request.messages)]
    dropped = [warning for warning in warnings if warning.code == DROPPED]
    degraded = [warning for warning in warnings if warning.code == DEGRADED]
    blocks = sum(1 if isinstance(message.content, str) else len(message.content) for message in messages)
    lost = sum(_count(warning) for warning in (*dropped, *degraded))
    params = TokenCountParams(request.messages, system_prompt=request.system_prompt, tools=request.tools)
    tokens = estimate_input_tokens(params, to.quirks.token_scale, tally)
    cost, _ = cost_of(Usage(input_tokens=tokens), to.pricing)
    stay = _stay_cost(params, before, tally)
    return HandoffReport(
        from_model,
        to.id,
        max(0, blocks - lost),
        degraded,
        dropped,
        tokens,
        cost.total_cost if cost else None,
        list(refused),
        stay,
        cost.currency if cost else None,
    )


def _stay_cost(params: TokenCountParams, before: ModelSpec | None, tally: Tally) -> float | None:
    """What reading the same history from its model's cache costs; None where no price is known."""
    if before is None:
        return None
    tokens = estimate_input_tokens(params, before.quirks.token_scale, tally)
    cost, _ = cost_of(Usage(cached_input_tokens=tokens), before.pricing)
    return cost.total_cost if cost else None


def _count(warning: Warning) -> int:
    count = (warning.detail or {}).get("count", 1)
    return count if isinstance(count, int) else 1
