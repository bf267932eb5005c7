"""What models.yaml holds: its types, the words that explain each field, and a JSON Schema for editors."""

from typing import Any

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, PriceTier, Pricing

from ..credentials.secret import Secret
from ..limits import DEFAULT_TIMEOUT_S, IDLE_TIMEOUT_S, MAX_CALLS_RUNNING_PER_KEY
from .field_docs import field_docs

DEFAULT_MAX_RETRIES = 2
MAX_RETRIES = 10
TIERS = ("fast", "balanced", "deep")
BUDGET_SCOPES = {
    "day": "What may be spent in one day, by everybody together.",
    "client": "What each client may spend in one day.",
    "session": "What each session may spend in all.",
}

TOP_FIELDS: dict[str, str] = {
    "adapters": "Where models are served: one entry per provider account or endpoint, by a name of your choice.",
    "models": "The models to offer, each by its id `provider:name`. Without this section: the built-in ones of every adapter.",
    "default_model": "The model of a request that names none: an id or an alias.",
    "budgets": "The most that may be spent in a day (day), by each client in a day (client), and by each session (session).",
    "retention": "How long the daemon keeps what it stores; for ever where nothing is said.",
    "clients": "Who may spend through which client, by the client's id; everyone where nothing is said.",
}

CLIENT_FIELDS: dict[str, str] = {
    "allow": "The programs inside this client (an editor's extensions, `publisher.name` or `publisher.*`) that may call models;"
    " the client's own calls need no entry.",
}

BUDGET_FIELDS: dict[str, str] = {
    "limit": "The most that may be spent; a call that could go beyond it is refused.",
    "warn": "From this amount on, calls carry a warning; 80 % of the limit unless given.",
    "currency": "The currency of both, USD unless given. Prices in other currencies don't count.",
}

RETENTION_FIELDS: dict[str, str] = {
    "calls_days": "Days after which the ledger forgets a call.",
    "sessions_days": "Days without a change after which a session is deleted; never while it runs or a tool call waits.",
    "sessions_count": "How many sessions are kept: beyond it the ones that were not changed for the longest time are deleted.",
    "sessions_mib": "How many MiB the messages of all sessions may have: beyond it the longest unchanged ones are deleted.",
}

ADAPTER_FIELDS: dict[str, str] = {
    "type": "What the adapter speaks to. May be left out where the adapter's name is a type.",
    "base_url": "Where the provider is, as its own SDK takes it; https, or http for a server on this machine.",
    "api_key": "The key itself. Anyone who reads this file reads the key: rather use api_key_env or api_key_command.",
    "api_key_env": "Name of the environment variable that holds the key.",
    "api_key_command": "Command that prints the key: a list of words, or one line that is split like a shell's, without a shell.",
    "api_key_keyring": "Where the system's keyring has the key, as `service/user`.",
    "timeout_seconds": "Seconds until the first content of an answer; for a call that isn't streamed, until its end.",
    "max_retries": "Further attempts after a failed one, 0 to 10; none begins later than timeout_seconds after the first.",
    "extra_headers": "Headers to send with every request. Keys don't belong here.",
    "options": "Settings for special cases: limits per key (max_concurrent_calls), and what only this type of adapter knows.",
}

ADAPTER_OPTIONS: dict[str, str] = {
    "max_concurrent_calls": "The most calls that may run at once with this adapter's key, of all clients together; others wait "
    "in a queue that is fair to clients. Adapters with the same key at the same address share the lowest of theirs.",
    "idle_timeout_seconds": "Seconds without content after which a running stream counts as dead.",
    "proxy": "Address of an HTTP proxy between here and the provider.",
    "region": "Which of the provider's regions to use, where it has some and base_url isn't given.",
}

MODEL_FIELDS: dict[str, str] = {
    "adapter": "Name of the adapter that serves the model.",
    "wire_name": "What the provider calls the model; the part of the id after the colon unless given.",
    "tier": "fast, balanced or deep: what the model is for.",
    "can_delegate": "Whether agents may hand work on to this model.",
    "aliases": "Other names for the model, each unique in the file.",
    "fallbacks": "Models to use instead while this one is unavailable, best first: ids or aliases.",
    "capabilities": "Corrections of what the catalog says that the model can do.",
    "limits": "Corrections of the model's limits, in tokens.",
    "options": "Settings that only this model needs, over the adapter's: tool_dialect (native, tagged, fenced) and the like.",
    "pricing": "Prices per million tokens, instead of the catalog's.",
}


class AdapterConfig(msgspec.Struct, frozen=True):
    """One entry of `adapters`. At most one of the four key sources counts, in the order in which they stand here."""

    name: str
    type: str
    base_url: str | None = None
    api_key: Secret | None = None
    api_key_env: str | None = None
    api_key_command: tuple[str, ...] | None = None
    api_key_keyring: str | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_S
    max_retries: int = DEFAULT_MAX_RETRIES
    extra_headers: dict[str, str] = {}
    options: dict[str, Any] = {}

    def __repr__(self) -> str:
        # Headers, options and a command's words may hold secrets.
        return f"AdapterConfig(name={self.name!r}, type={self.type!r}, …)"


class ModelConfig(msgspec.Struct, frozen=True):
    """One entry of `models`. `capabilities` and `limits` hold only what the file sets, checked against `Capabilities` and
    `ModelLimits`; `fallbacks` are ids where the file gives the models, else as written."""

    id: str
    adapter: str
    wire_name: str
    tier: str | None = None
    can_delegate: bool = False
    aliases: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    capabilities: dict[str, Any] = {}
    limits: dict[str, int | None] = {}
    pricing: Pricing | None = None
    options: dict[str, Any] = {}


class BudgetConfig(msgspec.Struct, frozen=True):
    """One entry of `budgets`; see BUDGET_FIELDS."""

    limit: float
    warn: float | None = None
    currency: str = "USD"


class RetentionConfig(msgspec.Struct, frozen=True):
    """`retention`; None sets no bound: unless a user asks for it nothing is ever forgotten."""

    calls_days: int | None = None
    sessions_days: int | None = None
    sessions_count: int | None = None
    sessions_mib: int | None = None


class ClientConfig(msgspec.Struct, frozen=True):
    """One entry of `clients`; names are in lower case. None allows everyone."""

    allow: tuple[str, ...] | None = None


class Config(msgspec.Struct, frozen=True):
    """A valid config; nobody changes it once it is made. `models_given` is false where the catalog's models are to be offered.
    `default_model` is an id where the file gives the models, else as written."""

    adapters: dict[str, AdapterConfig]
    models: dict[str, ModelConfig]
    default_model: str | None = None
    models_given: bool = True
    budgets: dict[str, BudgetConfig] = {}
    retention: RetentionConfig = RetentionConfig()
    clients: dict[str, ClientConfig] = {}


_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT, "uniqueItems": True}
_ADAPTER_SCHEMAS: dict[str, dict[str, Any]] = {
    "base_url": {"type": "string", "pattern": "^https?://[^\\s@?#]+$"},
    "api_key": _TEXT,
    "api_key_env": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    "api_key_command": {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    "api_key_keyring": {"type": "string", "pattern": "^[^/]+/.+$"},
    "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "default": DEFAULT_TIMEOUT_S},
    "max_retries": {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES, "default": DEFAULT_MAX_RETRIES},
    "extra_headers": {"type": "object", "additionalProperties": {"type": "string"}},
}
_OPTION_SCHEMAS: dict[str, dict[str, Any]] = {
    "max_concurrent_calls": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_CALLS_RUNNING_PER_KEY,
        "default": MAX_CALLS_RUNNING_PER_KEY,
    },
    "idle_timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "default": IDLE_TIMEOUT_S},
    "proxy": _TEXT,
    "region": _TEXT,
}
_MODEL_SCHEMAS: dict[str, dict[str, Any]] = {
    "adapter": _TEXT,
    "wire_name": _TEXT,
    "tier": {"anyOf": [{"enum": list(TIERS)}, _TEXT]},
    "can_delegate": {"type": "boolean", "default": False},
    "aliases": _TEXTS,
    "fallbacks": _TEXTS,
    "capabilities": {"$ref": "#/$defs/Capabilities"},
    "limits": {"$ref": "#/$defs/ModelLimits"},
    "options": {"type": "object"},
    "pricing": {"$ref": "#/$defs/Pricing"},
}


def json_schema(known_types: list[str] | tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON Schema of models.yaml (2020-12), for editors; `check` finds more than it can say."""
    structs = {kind.__name__: kind for kind in (Capabilities, ModelLimits, Pricing, PriceTier)}
    _, shapes = msgspec.json.schema_components(structs.values(), ref_template="#/$defs/{name}")
    for title, shape in shapes.items():
        shape["additionalProperties"] = False
        for name, words in field_docs(structs[title]).items():
            shape["properties"][name]["description"] = words
    kind = {"enum": list(known_types)} if known_types else _TEXT
    options = {**_described(_OPTION_SCHEMAS, ADAPTER_OPTIONS), "additionalProperties": True}
    adapter = _described({"type": kind, **_ADAPTER_SCHEMAS, "options": options}, ADAPTER_FIELDS)
    model = {**_described(_MODEL_SCHEMAS, MODEL_FIELDS), "required": ["adapter"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "models.yaml of modeld",
        **_described(
            {
                "adapters": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
                    "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Adapter"}, {"type": "null"}]},
                },
                "models": {
                    "type": ["object", "null"],
                    "propertyNames": {"pattern": "^[^:\\s]+:\\S+$"},
                    "additionalProperties": {"$ref": "#/$defs/Model"},
                },
                "default_model": {"type": ["string", "null"]},
                "budgets": _budgets_schema(),
                "retention": _retention_schema(),
                "clients": {
                    "type": ["object", "null"],
                    "additionalProperties": _described({"allow": {"type": ["array", "null"], "items": _TEXT}}, CLIENT_FIELDS),
                },
            },
            TOP_FIELDS,
        ),
        "required": ["adapters"],
        "$defs": {"Adapter": adapter, "Model": model, **shapes},
    }


def _budgets_schema() -> dict[str, Any]:
    amount: dict[str, Any] = {"type": "number", "minimum": 0}
    entry = _described({"limit": amount, "warn": amount, "currency": _TEXT}, BUDGET_FIELDS)
    scopes = {scope: {**entry, "description": words, "required": ["limit"]} for scope, words in BUDGET_SCOPES.items()}
    return {"type": ["object", "null"], "properties": scopes, "additionalProperties": False}


def _retention_schema() -> dict[str, Any]:
    bound: dict[str, Any] = {"type": ["integer", "null"], "minimum": 1}
    return {**_described(dict.fromkeys(RETENTION_FIELDS, bound), RETENTION_FIELDS), "type": ["object", "null"]}


def _described(properties: dict[str, dict[str, Any]], words: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {**schema, "description": words[name]} for name, schema in properties.items()},
        "additionalProperties": False,
    }
