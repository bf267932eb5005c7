"""What a provider row and its rules are, and what several rows share."""

from typing import Any

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits

from ...spec import Quirks


class ModelRule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the models whose wire name contains `pattern` (a regular expression, case-insensitive).

    `quirks`, `capabilities` and `limits` hold only what changes. Capabilities that follow from quirks (thinking, efforts,
    forced tool choice, sampling, stop sequences) are not given here: `load` derives them.
    """

    pattern: str
    reason: str
    source: str
    date: str
    quirks: dict[str, Any] = {}
    capabilities: dict[str, Any] = {}
    limits: dict[str, Any] = {}


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One provider type.

    `base_url` is what the provider's own SDK takes, "" where the config must give one; `default_path` is appended where a
    base URL has no path. The key goes into `key_header` after `key_prefix`; `key_env` is the variable it is looked up in
    where the config names none. `prices` is the provider's name in prices.json; `free` marks one that charges nothing.

    `regions` are further base URLs by name; `options: {region: …}` of the adapter picks one. `option_headers` are headers whose
    value an option of the adapter gives, by the option's name. `telemetry_name` is `gen_ai.provider.name` where it isn't
    the type: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md (2026-11-20).
    """

    type: str
    wire: str
    documentation: str
    capabilities: Capabilities
    quirks: Quirks = Quirks()
    limits: ModelLimits = msgspec.field(default_factory=ModelLimits)
    base_url: str = ""
    default_path: str = ""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    key_env: str | None = None
    needs_key: bool = True
    headers: dict[str, str] = {}
    regions: dict[str, str] = {}
    option_headers: dict[str, tuple[str, ...]] = {}
    telemetry_name: str | None = None
    prices: str | None = None
    free: bool = False
    rules: tuple[ModelRule, ...] = ()


ALL_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max")
LOW_TO_HIGH = ("low", "medium", "high")
IMAGE_TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp"]
ANY_SOURCE = ["base64", "url", "file_id"]
INLINE_OR_URL = ["base64", "url"]
INLINE = ["base64"]
INLINE_OR_ID = ["base64", "file_id"]
BY_ID = ["file_id"]
WAV_AND_MP3 = ["audio/wav", "audio/mpeg"]
