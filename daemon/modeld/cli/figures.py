"""Numbers as people read them: tokens, money, time. Pure."""

from modeld_protocol.model import Pricing
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import TurnResult
from modeld_protocol.usage import Cost


def tokens(count: int | None) -> str:
    """`950`, `1.2k`, `1M`; empty for unknown."""
    if count is None:
        return ""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size * 0.99995:
            return f"{count / size:.1f}".removesuffix(".0") + letter
    return str(count)


def counted(number: int, what: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def money(amount: float | None, currency: str = "USD") -> str:
    """An amount with as many digits as say something: `$0`, `$0.00042`, `$1.50`; `?` for unknown."""
    if amount is None:
        return "?"
    if amount == 0:
        digits = "0"
    elif abs(amount) < 0.0995:
        digits = f"{amount:.2g}" if abs(amount) >= 0.0001 else f"{amount:.8f}".rstrip("0").rstrip(".")
    else:
        digits = f"{amount:.2f}"
    return _with_currency(digits, currency)


def price(amount: float | None, currency: str = "USD") -> str:
    """A price for a million tokens: `$4.00`, `$0.075`; `?` for unknown."""
    if amount is None:
        return "?"
    return _with_currency(f"{amount:.2f}" if round(amount, 2) == amount else f"{amount:g}", currency)


def prices(pricing: Pricing | None) -> tuple[str, str]:
    """Input and output price."""
    if pricing is None:
        return "?", "?"
    return price(pricing.input, pricing.currency), price(pricing.output, pricing.currency)


def _with_currency(digits: str, currency: str) -> str:
    if currency != "USD":
        return f"{digits} {currency}"
    return f"-${digits[1:]}" if digits.startswith("-") else f"${digits}"


def cost(what: Cost | None) -> str:
    """The total of a call."""
    return money(what.total_cost, what.currency) if what else "price unknown"


def duration(seconds: float) -> str:
    """`2 h 5 min`, `5 min 3 s`, `12 s`, `0.8 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def mebibytes(count: int | None) -> str:
    """`35 MiB`; `?` for unknown."""
    return "?" if count is None else f"{count / 1_048_576:.0f} MiB"


def turn_summary(result: TurnResult) -> str:
    """One line on what a turn took."""
    usage = result.usage
    about = "~" if usage.estimated else ""
    parts = [result.model or "", f"{about}{tokens(usage.input_tokens)} in", f"{about}{tokens(usage.output_tokens)} out"]
    if usage.cached_input_tokens:
        parts.append(f"{tokens(usage.cached_input_tokens)} cached")
    return " · ".join([*parts, cost(result.cost)])


def summary(response: CanonicalResponse) -> str:
    """One line on what an answer took."""
    usage, metrics = response.usage, response.metrics
    about = "~" if usage.estimated else ""
    parts = [response.model, f"{about}{tokens(usage.input_tokens)} in", f"{about}{tokens(usage.output_tokens)} out"]
    if usage.cached_input_tokens:
        parts.append(f"{tokens(usage.cached_input_tokens)} cached")
    if usage.cache_creation_input_tokens:
        parts.append(f"{tokens(usage.cache_creation_input_tokens)} to cache")
    parts += [cost(response.cost), duration(metrics.latency_ms / 1000)]
    if metrics.attempts > 1:
        parts.append(f"{metrics.attempts} attempts")
    return " · ".join(parts)
