"""What is offered where, in whole and in half-written texts, and what becomes of the text when it is taken."""

import pytest
from tests.harness.language import analysis_of, apply_edits, without_mark

from modeld.language.completion import complete
from modeld.language.lsp import CompletionItem

HEAD = """\
adapters:
  openai:
  box: {type: openai-compatible, base_url: http://127.0.0.1:1/v1}
models:
  openai:gpt-5: {adapter: openai, aliases: [big], tier: deep}
  box:mini:
    adapter: box
"""


def offered(marked: str) -> tuple[str, list[CompletionItem]]:
    text, index = without_mark(marked)
    analysis = analysis_of(text)
    return text, complete(analysis, analysis.range(index, index).start).items


OFFERS: list[tuple[str, set[str], set[str]]] = [
    # the text, what is offered among others, what isn't
    ("¦", {"adapters", "models", "default_model", "budgets", "retention"}, {"openai", "type"}),
    ("adapters:\n  openai:\nmo¦", {"models"}, {"adapters"}),
    ("adapters:\n  ¦", {"openai", "openai-compatible", "ollama"}, {"type", "adapters"}),
    ("adapters:\n  openai:\n  ¦", {"ollama"}, {"openai"}),
    ("adapters:\n  openai:\n    ¦", {"type", "base_url", "api_key_env", "max_retries"}, {"adapter", "tier"}),
    ("adapters:\n  openai:\n    type: openai\n    ba¦", {"base_url"}, {"type"}),
    ("adapters:\n  openai:\n    ba¦\n    type: openai\n", {"base_url"}, {"type"}),
    ("adapters:\n  box:\n    type: ¦", {"openai", "openai-compatible"}, {"true", "fast"}),
    ("adapters:\n  box: {type: ¦", {"openai"}, {"type"}),
    ('{"adapters": {"box": {"type": "¦', {"openai"}, {"type"}),
    ('{\n "adapters": {\n  "box": {\n   "¦"\n  }\n }\n}', {"type", "base_url"}, {"adapters"}),
    ("adapters:\n  openai:\n    api_key_env: ¦", {"OPENAI_API_KEY", "OTHER_API_KEY"}, set()),
    ("adapters:\n  kimi:\n    options:\n      region: ¦", {"international", "china"}, set()),
    ("adapters:\n  kimi:\n    options:\n      ¦", {"region", "max_concurrent_calls"}, {"type"}),
    (HEAD + "  ¦", {"openai:gpt-5.5"}, {"openai:gpt-5", "adapter"}),
    (HEAD + "  openai:gpt-5.5:\n    ¦", {"adapter", "tier", "aliases", "fallbacks"}, {"type"}),
    (HEAD + "  openai:gpt-5.5:\n    adapter: ¦", {"openai", "box"}, {"ollama"}),
    (HEAD + "  openai:gpt-5.5: {adapter: op¦}", {"openai", "box"}, set()),
    (HEAD + "  openai:gpt-5.5:\n    tier: ¦", {"fast", "balanced", "deep"}, {"openai"}),
    (HEAD + "  openai:gpt-5.5:\n    can_delegate: ¦", {"true", "false"}, set()),
    (HEAD + "  openai:x:\n    adapter: openai\n    wire_name: ¦", {"gpt-4.1", "gpt-5.5"}, {"openai:gpt-5.5"}),
    (HEAD + "  openai:x:\n    adapter: openai\n    fallbacks: [big, ¦]", {"big", "openai:gpt-5", "box:mini"}, {"openai:x"}),
    (HEAD + "  openai:x:\n    adapter: openai\n    fallbacks:\n      - ¦", {"big", "openai:gpt-5"}, {"openai:x"}),
    (HEAD + "  openai:x:\n    adapter: openai\n    fallbacks:\n    - bi¦", {"big"}, {"openai:x"}),
    (HEAD + "  box:x:\n    options: {tool_dialect: ¦}", {"native", "tagged", "fenced"}, set()),
    (HEAD + "  box:x:\n    options:\n      ¦", {"tool_dialect"}, {"adapter"}),
    (HEAD + "  openai:x:\n    capabilities:\n      ¦", {"images", "prompt_cache"}, {"adapter"}),
    (HEAD + "  openai:x:\n    capabilities: {prompt_cache: ¦}", {"none", "automatic", "explicit"}, set()),
    (HEAD + "  openai:x:\n    pricing:\n      above:\n        - ¦", {"input_tokens", "input"}, {"above"}),
    (HEAD + "  openai:x:\n    limits: {¦", {"max_context_tokens", "max_output_tokens"}, set()),
    (HEAD + "default_model: ¦", {"big", "openai:gpt-5", "box:mini"}, {"openai:gpt-5.5"}),
    (HEAD + "default_model:¦", {"big", "openai:gpt-5"}, set()),
    ("adapters:\n  openai:\ndefault_model: ¦", {"openai:gpt-5.5"}, {"openai"}),
    ("budgets:\n  ¦", {"day", "client", "session"}, {"limit"}),
    ("budgets:\n  day: {¦", {"limit", "warn", "currency"}, {"day"}),
    ("retention:\n  ¦", {"calls_days"}, set()),
]


@pytest.mark.parametrize(("marked", "some", "none"), OFFERS, ids=[repr(case[0][-24:]) for case in OFFERS])
def test_offers(marked: str, some: set[str], none: set[str]) -> None:
    labels = [item.label for item in offered(marked)[1]]
    assert some <= set(labels)
    assert not none & set(labels)
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    "marked", ["# ¦", "adapters: # ty¦", "a: |\n  some ¦text", "nothing:\n  ¦", "adapters:\n  x:\n    extra_headers:\n      ¦"]
)
def test_where_nothing_is_offered(marked: str) -> None:
    assert offered(marked)[1] == []


TAKEN = [
    ("adapters:\n  openai:\n    ba¦", "base_url", "adapters:\n  openai:\n    base_url: "),
    ("adapters:\n  openai:\n    ba¦: x", "base_url", "adapters:\n  openai:\n    base_url: x"),
    ("adapters:\n  openai:\n    opt¦", "options", "adapters:\n  openai:\n    options:\n      "),
    ("adapters:\n    openai:\n        opt¦", "options", "adapters:\n    openai:\n        options:\n            "),
    ("adapters:\n  openai: {ba¦}", "base_url", "adapters:\n  openai: {base_url: }"),
    ('{"adapters": {"x": {"ty¦": "y"}}}', "type", '{"adapters": {"x": {"type": "y"}}}'),
    ('{"adapters": {"x": {"type": "op¦"}}}', "openai", '{"adapters": {"x": {"type": "openai"}}}'),
    ("adapters:\n  op¦", "openai", "adapters:\n  openai:"),
    ("adapters:\n  op¦", "openai-compatible", "adapters:\n  openai-compatible:\n    base_url: "),
    (HEAD + "  openai:gp¦t", "openai:gpt-5.5", HEAD + "  openai:gpt-5.5:\n    adapter: openai"),
    (HEAD + "default_model:¦", "big", HEAD + "default_model: big"),
    (HEAD + "default_model: b¦i", "openai:gpt-5", HEAD + "default_model: openai:gpt-5"),
    (HEAD + "    fallbacks: ¦", "big", HEAD + "    fallbacks: [big]"),
    (HEAD + "    fallbacks:\n      ¦", "big", HEAD + "    fallbacks:\n      - big"),
    ("adapters:\r\n  😀é: {type: op¦}", "openai", "adapters:\r\n  😀é: {type: openai}"),
    ("adapters:\n  a\u2028b: {type: op¦}", "openai", "adapters:\n  a\u2028b: {type: openai}"),
]


@pytest.mark.parametrize(("marked", "label", "after"), TAKEN, ids=[repr(case[0][-16:] + case[1]) for case in TAKEN])
def test_taken(marked: str, label: str, after: str) -> None:
    text, items = offered(marked)
    item = next(item for item in items if item.label == label)
    assert apply_edits(text, [item.text_edit]) == after


def test_models_come_with_limits_and_prices() -> None:
    item = next(item for item in offered(HEAD + "default_model: ¦")[1] if item.label == "big")
    assert item.documentation is not None
    assert "context 400,000" in item.documentation.value
    assert "USD per million tokens: input" in item.documentation.value


def test_every_place_of_a_text_is_safe() -> None:
    """At no index of a config, cut off there or whole, does a request fail."""
    whole = HEAD + "default_model: big\nbudgets: {day: {limit: 5}}\n# end\n"
    in_whole = analysis_of(whole)
    for index in range(len(whole) + 1):
        for analysis in (analysis_of(whole[:index]), in_whole):
            complete(analysis, analysis.range(index, index).start)
