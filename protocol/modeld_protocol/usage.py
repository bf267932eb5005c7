"""Tokens, money, time and warnings: what a call cost and what has to be said about it."""

from typing import Any, Literal

import msgspec


class Usage(msgspec.Struct):
    """Token counts, disjoint: `input_tokens` is what was neither read from nor written to a cache,
    `output_tokens` includes reasoning, `total_tokens` is the sum of the four disjoint parts.
    `estimated` marks numbers that the daemon made because the provider gave none."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    reasoning_tokens: int | None = None
    total_tokens: int = 0
    estimated: bool = False
    cache_creation_1h_input_tokens: int | None = None
    cache_breakpoints: int | None = None
    cache_ttl: Literal["5m", "1h"] | None = None


class Cost(msgspec.Struct):
    """Money for one call in `currency`; `cache_savings` is what the cached tokens would have cost more uncached."""

    currency: str
    input_cost: float
    output_cost: float
    cache_read_cost: float
    cache_write_cost: float
    total_cost: float
    cache_savings: float
    source: Literal["configured", "catalog", "provider_reported", "mixed"]
    pricing_version: str
    reasoning_cost: float | None = None


class Metrics(msgspec.Struct):
    """Times of one call; `attempts` counts from 1."""

    latency_ms: float
    attempts: int
    time_to_first_token_ms: float | None = None
    tokens_per_second: float | None = None
    provider_request_id: str | None = None


class Warning(msgspec.Struct, omit_defaults=True):
    """Something the caller should know that is no error; the same input gives the same warnings.

    Codes: `content_dropped`, `content_projected`, `parameter_ignored`, `parameter_adjusted`, `usage_estimated`,
    `price_missing`, `budget_near`, `tool_arguments_invalid`, `tool_call_truncated`, `stream_repaired`, `json_invalid`,
    `plaintext_key`, `fallback_used`, `cache_prefix_changed`.
    """

    code: str
    message: str
    path: str | None = None
    detail: dict[str, Any] | None = None
