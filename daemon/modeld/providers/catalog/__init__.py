"""The catalog: every provider as a row of data, its models, and their prices."""

from .load import (
    CatalogModel,
    ModelFacts,
    all_rows,
    base_url_of,
    default_key_env,
    facts_of,
    known_types,
    model_of,
    models_of,
    price_of,
    prices_version,
    row_of,
    telemetry_name,
    unknown_type,
    wire_of,
    with_capabilities,
    with_quirks,
)
from .rows import ModelRule, ProviderRow

__all__ = [
    "CatalogModel",
    "ModelFacts",
    "ModelRule",
    "ProviderRow",
    "all_rows",
    "base_url_of",
    "default_key_env",
    "facts_of",
    "known_types",
    "model_of",
    "models_of",
    "price_of",
    "prices_version",
    "row_of",
    "telemetry_name",
    "unknown_type",
    "wire_of",
    "with_capabilities",
    "with_quirks",
]
