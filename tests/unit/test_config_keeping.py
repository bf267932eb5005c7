"""`budgets` and `retention` of a models.yaml: what is taken, what is told and where, and that editors' schema agrees."""

import jsonschema
import pytest
import yaml

from modeld.config.check import check
from modeld.config.schema import RETENTION_FIELDS, BudgetConfig, RetentionConfig, json_schema

HEAD = "adapters: {openai: {api_key_env: HOME}}\n"
TYPES = ("openai",)


def checked(text: str):
    return check((HEAD + text).encode(), "models.yaml", TYPES, {"HOME": "x"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RetentionConfig()),
        ("retention:", RetentionConfig()),
        ("retention: {}", RetentionConfig()),
        ("retention: {calls_days: 90}", RetentionConfig(calls_days=90)),
        (
            "retention: {sessions_days: 30, sessions_count: 500, sessions_mib: 1024}",
            RetentionConfig(None, 30, 500, 1024),
        ),
        ("retention: {sessions_days: }", RetentionConfig()),
    ],
)
def test_retention(text: str, expected: RetentionConfig) -> None:
    config, problems = checked(text)
    assert problems == []
    assert config is not None
    assert config.retention == expected


def test_budgets() -> None:
    config, problems = checked("budgets: {day: {limit: 5}, session: {limit: 1, warn: 0.5, currency: EUR}}")
    assert problems == []
    assert config is not None
    assert config.budgets == {"day": BudgetConfig(5), "session": BudgetConfig(1, 0.5, "EUR")}


MISTAKES = [
    ("wrong_type", "retention: {sessions_days: «soon»}", "a whole number of days above 0"),
    ("wrong_type", "retention: {sessions_days: «1.5»}", "a whole number of days above 0"),
    ("wrong_type", "retention: {sessions_count: «true»}", "a whole number above 0"),
    ("out_of_range", "retention: {sessions_days: «0»}", "above 0"),
    ("out_of_range", "retention: {calls_days: «-3»}", "above 0"),
    ("out_of_range", "retention: {sessions_mib: «0»}", "above 0"),
    ("out_of_range", "retention: {sessions_count: «1000000000000»}", "above 0"),
    ("unknown_field", "retention: {«sessions_day»: 1}", "'sessions_days'"),
    ("unknown_field", "retention: {«days»: 1}", "retention"),
    ("not_a_mapping", "retention: «30»", "retention must be a mapping"),
    ("not_a_mapping", "retention: «[30]»", "retention must be a mapping"),
    ("duplicate_key", "retention: {calls_days: 1, «calls_days»: 2}", "twice"),
    ("missing_field", "budgets: {day: «{warn: 1}»}", "limit: 5.00"),
    ("out_of_range", "budgets: {day: {limit: 1, warn: «2»}}", "must not be above its limit"),
    ("out_of_range", "budgets: {day: {limit: «-1»}}", "0 or more"),
]


@pytest.mark.parametrize(("code", "text", "words"), MISTAKES)
def test_mistake(code: str, text: str, words: str) -> None:
    start, end = text.index("«"), text.index("»") - 1
    config, problems = checked(text.replace("«", "").replace("»", ""))
    assert config is None
    (problem,) = problems
    assert (problem.code, problem.line, problem.column, problem.end_column) == (code, 2, start + 1, end + 1)
    assert words in problem.message


def test_the_json_schema_agrees() -> None:
    validator = jsonschema.Draft202012Validator(json_schema(TYPES))
    properties = json_schema(TYPES)["properties"]["retention"]["properties"]
    assert {name: field["description"] for name, field in properties.items()} == RETENTION_FIELDS
    assert set(RETENTION_FIELDS) == set(RetentionConfig.__struct_fields__)
    for _, text, _ in MISTAKES[:11]:
        assert (
            list(validator.iter_errors(yaml.safe_load(HEAD + text.replace("«", "").replace("»", "")))) or "1000000000000" in text
        )
    for good in ("retention: {sessions_days: 30, sessions_count: 5}", "retention:", "retention: {sessions_mib: }"):
        assert not list(validator.iter_errors(yaml.safe_load(HEAD + good)))
