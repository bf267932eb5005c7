"""Cures for mistakes in models.yaml: the text before, what is offered where, and the text after."""

import textwrap
from typing import Any

import pytest
from tests.harness.language import analysis_of, apply_edits, without_mark

from modeld.language.actions import actions
from modeld.language.text import Range

HEAD = "adapters:\n  openai:\n  local: {type: openai-compatible, base_url: http://127.0.0.1:1/v1}\n"


def offered(marked: str) -> tuple[str, list[Any]]:
    """The text, and what is offered at its mark."""
    text, index = without_mark(textwrap.dedent(marked))
    analysis = analysis_of(text)
    at = analysis.range(index, index).start
    return text, actions(analysis, "file:///models.yaml", Range(at, at))


CASES: list[tuple[str, str, str]] = [
    # what is written (the mark ¦ is where the editor asks), the title, what it becomes
    ("adapters: {openai: {ty¦p: openai}}", "Change to 'type'", "adapters: {openai: {type: openai}}"),
    ('{"adapters": {"openai": {"ty¦p": "openai"}}}', "Change to 'type'", '{"adapters": {"openai": {"type": "openai"}}}'),
    (
        "adapters:\n  openai:\n    typ¦: openai\n    max_retries: 1\n",
        "Remove 'typ'",
        "adapters:\n  openai:\n    max_retries: 1\n",
    ),
    ("adapters: {openai: {fo¦o: 1, max_retries: 1}}", "Remove 'foo'", "adapters: {openai: {max_retries: 1}}"),
    ("adapters: {openai: {max_retries: 1, fo¦o: 1}}", "Remove 'foo'", "adapters: {openai: {max_retries: 1}}"),
    ("adapters: {a: {type: opena¦}}", "Change to 'openai'", "adapters: {a: {type: openai}}"),
    ("adapters:\n  oll¦ma: {max_retries: 1}", "Add 'type: ollama'", "adapters:\n  ollma: {type: ollama, max_retries: 1}"),
    ("adapters:\n  oll¦ma:\n", "Add 'type: ollama'", "adapters:\n  ollma:\n    type: ollama\n"),
    (
        "adapters:\n  oll¦ma:\n    max_retries: 1\n",
        "Add 'type: ollama'",
        "adapters:\n  ollma:\n    type: ollama\n    max_retries: 1\n",
    ),
    (
        "adapters:\n  openai:\n    api_ke¦y: sk-proj-abcdefghijklmnop\n",
        "Take the key from the environment variable OPENAI_API_KEY (set it before the daemon starts)",
        "adapters:\n  openai:\n    api_key_env: OPENAI_API_KEY\n",
    ),
    (
        '{"adapters": {"my box": {"type": "openai", "api_k¦ey": "sk-proj-abcdefghijklmnop"}}}',
        "Take the key from the environment variable OPENAI_API_KEY (set it before the daemon starts)",
        '{"adapters": {"my box": {"type": "openai", "api_key_env": "OPENAI_API_KEY"}}}',
    ),
    (
        "adapters:\n  openai:\n    api_key: $¦{MY_KEY}\n",
        "Write api_key_env: MY_KEY",
        "adapters:\n  openai:\n    api_key_env: MY_KEY\n",
    ),
    ("adapters: {openai: {api_key_env: $MY¦_KEY}}", "Change to MY_KEY", "adapters: {openai: {api_key_env: MY_KEY}}"),
    (
        "adapters: {openai: {api_key_env: sk-proj¦-abcdefghijklmnop}}",
        "Change to OPENAI_API_KEY",
        "adapters: {openai: {api_key_env: OPENAI_API_KEY}}",
    ),
    (
        "adapters:\n  openai:\n    api_key_env: A_KEY\n    api_key_com¦mand: pass x\n",
        "Remove 'api_key_command'",
        "adapters:\n  openai:\n    api_key_env: A_KEY\n",
    ),
    ("adapters: {openai: {max_retries: ¦'3'}}", "Remove the quotes", "adapters: {openai: {max_retries: 3}}"),
    ("adapters: {openai: {api_key: 123¦456}}", "Put it in quotes", 'adapters: {openai: {api_key: "123456"}}'),
    (
        "adapters: {local: {type: openai-compatible, base_url: local¦host:1/v1}}",
        "Put http:// before it",
        "adapters: {local: {type: openai-compatible, base_url: http://localhost:1/v1}}",
    ),
    (
        "adapters: {openai: {base_url: api.¦example.com}}",
        "Put https:// before it",
        "adapters: {openai: {base_url: https://api.example.com}}",
    ),
    (
        "adapters: {openai: {api_key_env: A, base_url: http://a.¦example}}",
        "Use https",
        "adapters: {openai: {api_key_env: A, base_url: https://a.example}}",
    ),
    (
        "adapters: {openai: {api_key_command: cat x |¦ head}}",
        "Run it with a shell",
        "adapters: {openai: {api_key_command: [sh, -c, 'cat x | head']}}",
    ),
    ("adapters:\n¦\topenai:\n", "Indent with spaces", "adapters:\n  openai:\n"),
    (
        "adapters: {openai: }\nmodels:\n  openai:a: {adapter: opnai¦}\n",
        "Change to 'openai'",
        "adapters: {openai: }\nmodels:\n  openai:a: {adapter: openai}\n",
    ),
    (
        "adapters:\n  openai:\nmodels:\n  groq:a: {adapter: gro¦q}\n",
        "Add adapter 'groq'",
        "adapters:\n  groq:\n  openai:\nmodels:\n  groq:a: {adapter: groq}\n",
    ),
    (HEAD + "models:\n  ope¦nai:a:\n", "Add 'adapter: openai'", HEAD + "models:\n  openai:a:\n    adapter: openai\n"),
    (
        HEAD + "models:\n  gpt¦-5: {adapter: openai}\n",
        "Change to 'openai:gpt-5'",
        HEAD + "models:\n  openai:gpt-5: {adapter: openai}\n",
    ),
    (
        HEAD + "models:\n  openai:a: {adapter: openai, tier: fas¦}\n",
        "Change to 'fast'",
        HEAD + "models:\n  openai:a: {adapter: openai, tier: fast}\n",
    ),
    (
        HEAD + "models:\n  openai:a: {adapter: openai, aliases: on¦e}\n",
        "Write it as a list",
        HEAD + "models:\n  openai:a: {adapter: openai, aliases: [one]}\n",
    ),
    (
        HEAD + "models:\n  openai:a: {adapter: openai, aliases: [one, o¦ne]}\n",
        "Remove 'one'",
        HEAD + "models:\n  openai:a: {adapter: openai, aliases: [one]}\n",
    ),
    (
        HEAD + "models:\n  openai:a:\n    adapter: openai\n    aliases:\n    - one\n    - o¦ne\n",
        "Remove 'one'",
        HEAD + "models:\n  openai:a:\n    adapter: openai\n    aliases:\n    - one\n",
    ),
    (
        HEAD + "models:\n  openai:a: {adapter: openai, aliases: [a¦ b]}\n",
        "Change to 'a-b'",
        HEAD + "models:\n  openai:a: {adapter: openai, aliases: [a-b]}\n",
    ),
    (
        HEAD + "models:\n  openai:a: {adapter: openai, fallbacks: [openai:¦a]}\n",
        "Remove 'openai:a'",
        HEAD + "models:\n  openai:a: {adapter: openai, fallbacks: []}\n",
    ),
    (
        HEAD + "models:\n  openai:a: {adapter: openai}\ndefault_model: ¦a\n",
        "Change to 'openai:a'",
        HEAD + "models:\n  openai:a: {adapter: openai}\ndefault_model: openai:a\n",
    ),
    (
        "adapters:\n  openai:\ndefault_model: openai:gpt¦-5.5x\n",
        "Change to 'openai:gpt-5.5'",
        "adapters:\n  openai:\ndefault_model: openai:gpt-5.5\n",
    ),
    ("adapters:\n  openai:\n  openai¦:\n    max_retries: 1\n", "Remove 'openai'", "adapters:\n  openai:\n"),
]


@pytest.mark.parametrize(
    ("marked", "title", "after"), CASES, ids=[f"{number}-{case[1][:30]}" for number, case in enumerate(CASES)]
)
def test_cures(marked: str, title: str, after: str) -> None:
    text, found = offered(marked)
    titles = [action.title for action in found]
    assert title in titles
    action = found[titles.index(title)]
    assert action.kind == "quickfix"
    assert len(action.diagnostics) == 1
    assert apply_edits(text, action.edit.changes["file:///models.yaml"]) == after
    assert "sk-proj" not in repr(found).replace(text, "")


@pytest.mark.parametrize("marked", ["adapters: {openai: {max_retries: 1¦}}", "¦", "# ¦ nothing", "adapters: {openai: {¦"])
def test_where_nothing_is_wrong_or_nothing_helps(marked: str) -> None:
    assert offered(marked)[1] == []


def test_an_action_leaves_fewer_errors() -> None:
    """Whatever is offered as the best cure of an error takes that error away."""
    for marked, _, _ in CASES:
        text, found = offered(marked)
        for action in found:
            if not action.is_preferred:
                continue
            code = action.diagnostics[0].code
            before = [one.code for one in analysis_of(text).problems].count(code)
            after = apply_edits(text, action.edit.changes["file:///models.yaml"])
            assert [one.code for one in analysis_of(after).problems].count(code) < before, (text, action.title)
