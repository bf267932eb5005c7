"""`budgets` and `retention` of a models.yaml: what may be spent, and how long what is stored is kept."""

import math
from typing import Any

from .fields import Field, Fields, Report, is_null, number_reader, read_fields, read_text
from .schema import BUDGET_FIELDS, BUDGET_SCOPES, RETENTION_FIELDS, BudgetConfig, RetentionConfig

_read_amount = number_reader("an amount of 0 or more", lambda value: value >= 0 and math.isfinite(value))
_read_days = number_reader("a whole number of days above 0", lambda value: 0 < value < 100_000, whole=True)
_read_many = number_reader("a whole number above 0", lambda value: 0 < value < 1_000_000_000, whole=True)
_BUDGET_READERS = {**dict.fromkeys(BUDGET_FIELDS, _read_amount), "currency": read_text}
_RETENTION_READERS = {name: _read_days if name.endswith("_days") else _read_many for name in RETENTION_FIELDS}


def check_budgets(report: Report, field: Field) -> dict[str, BudgetConfig]:
    """The budgets that are right, by scope."""
    scopes = read_fields(report, field.node, "budgets", dict.fromkeys(BUDGET_SCOPES, _read_budget))
    return {name: budget for name, budget in scopes.values.items() if isinstance(budget, BudgetConfig)}


def check_retention(report: Report, field: Field) -> RetentionConfig:
    """What is kept for how long."""
    found = read_fields(report, field.node, "retention", _RETENTION_READERS)
    return RetentionConfig(**found.values)


def _read_budget(report: Report, field: Field) -> Any:
    found: Fields = read_fields(report, field.node, f"the {field.name} budget", _BUDGET_READERS)
    limit, warn = found.values.get("limit"), found.values.get("warn")
    if "limit" not in found.entries or is_null(found.entries["limit"].node):
        return report.error(field.node, "missing_field", f"the {field.name} budget needs limit; write 'limit: 5.00'")
    if limit is None:
        return None  # said already
    if warn is not None and warn > limit:
        node = found.entries["warn"].node
        return report.error(node, "out_of_range", f"warn of the {field.name} budget must not be above its limit")
    return BudgetConfig(**found.values)
