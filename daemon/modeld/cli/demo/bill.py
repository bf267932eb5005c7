"""What the demo's calls cost: by client and model, from the responses themselves. Pure."""

import msgspec

from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import TurnResult

from ..figures import money, tokens

TITLES = ("client", "model", "calls", "in", "out", "cached", "cost", "saved")


class Line(msgspec.Struct):
    """The sum of some calls; money in USD."""

    client: str
    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    saved: float = 0.0

    def add(self, response: CanonicalResponse | TurnResult) -> None:
        """What a call used. What was written to a cache is input too."""
        usage = response.usage
        self.input_tokens += usage.input_tokens + usage.cache_creation_input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_input_tokens
        if response.cost:
            self.cost += response.cost.total_cost
            self.saved += response.cost.cache_savings

    def cells(self) -> list[str]:
        """As text, in the order of TITLES."""
        counts = (tokens(self.input_tokens), tokens(self.output_tokens), tokens(self.cached_tokens))
        return [self.client, self.model, str(self.calls), *counts, money(self.cost), money(self.saved)]


class Bill:
    """Every call so far."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}

    def add(self, client: str, model: str, response: CanonicalResponse | TurnResult | None) -> None:
        """Count a call by what it ended with; one that failed before its first word used nothing."""
        line = self._lines.setdefault((client, model), Line(client, model))
        line.calls += 1
        if response is not None:
            line.add(response)

    def lines(self) -> list[Line]:
        """By client, then by model."""
        return [self._lines[key] for key in sorted(self._lines, reverse=True)]

    def total(self) -> Line:
        """Everything."""
        total = Line("total", "")
        for line in self._lines.values():
            total.calls += line.calls
            total.input_tokens += line.input_tokens
            total.output_tokens += line.output_tokens
            total.cached_tokens += line.cached_tokens
            total.cost += line.cost
            total.saved += line.saved
        return total
