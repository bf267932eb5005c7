"""Every kind of mistake in models.yaml: its code, its exact place, and what its message says and keeps to itself."""

import textwrap
from pathlib import Path

import jsonschema
import pytest
import yaml

from modeld.cli.surroundings import surroundings
from modeld.config import yaml_nodes
from modeld.config.check import check
from modeld.config.load import load, render
from modeld.config.schema import ADAPTER_FIELDS, MODEL_FIELDS, Config, json_schema
from modeld.credentials.secret import Secret
from modeld.limits import MAX_CONFIG_BYTES
from modeld_protocol.config import Problem

TYPES = ("anthropic", "openai", "openai-compatible", "ollama")
ENV = {"ANTHROPIC_API_KEY": "sk-ant-1", "OPENAI_API_KEY": "sk-2"}
KEY_ENV = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}.get

GOOD = """\
adapters:
  anthropic: {type: anthropic, api_key_env: ANTHROPIC_API_KEY, base_url: https://api.anthropic.com,
    timeout_seconds: 600, max_retries: 2}
  local:     {type: openai-compatible, base_url: http://127.0.0.1:8080/v1}
  openai:
models:
  anthropic:claude-sonnet-4-6: {adapter: anthropic, wire_name: claude-sonnet-4-6, tier: balanced, can_delegate: true,
    aliases: [sonnet, balanced], fallbacks: [gpt]}
  openai:gpt-5: {adapter: openai, aliases: [gpt], capabilities: {images: true, efforts: [low]}, limits: {max_output_tokens: 9},
    pricing: {input: 1, output: 2.5, above: [{input_tokens: 200000, input: 2}]}}
default_model: sonnet
"""


def checked(text: str | bytes, env: dict[str, str] = ENV) -> tuple[Config | None, list[Problem]]:
    data = text if isinstance(text, bytes) else text.encode()
    return check(data, "models.yaml", TYPES, env, default_key_env=KEY_ENV)


def marked(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The text without its `«…»` marks, and where they were: line, column and end column, each from 1."""
    places: list[tuple[int, int, int]] = []
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        while "«" in line:
            start = line.index("«")
            end = line.index("»") - 1
            line = line.replace("«", "", 1).replace("»", "", 1)
            places.append((number, start + 1, end + 1))
        lines.append(line)
    return "\n".join(lines), places


places_in = marked


def test_good_file() -> None:
    config, problems = checked(GOOD)
    assert problems == []
    assert config is not None
    assert list(config.adapters) == ["anthropic", "local", "openai"]
    anthropic, local = config.adapters["anthropic"], config.adapters["local"]
    assert (anthropic.api_key_env, anthropic.timeout_seconds, anthropic.max_retries) == ("ANTHROPIC_API_KEY", 600, 2)
    assert (local.type, local.base_url, local.api_key) == ("openai-compatible", "http://127.0.0.1:8080/v1", None)
    assert config.adapters["openai"].type == "openai"
    sonnet, gpt = config.models.values()
    assert (sonnet.aliases, sonnet.fallbacks, sonnet.can_delegate) == (("sonnet", "balanced"), ("openai:gpt-5",), True)
    assert (gpt.wire_name, gpt.capabilities, gpt.limits) == (
        "gpt-5",
        {"images": True, "efforts": ["low"]},
        {"max_output_tokens": 9},
    )
    assert gpt.pricing is not None
    assert (gpt.pricing.input, gpt.pricing.output, gpt.pricing.above[0].input_tokens) == (1, 2.5, 200000)
    assert (config.default_model, config.models_given) == ("anthropic:claude-sonnet-4-6", True)


def test_without_models_the_names_stay_as_written() -> None:
    config, problems = checked("adapters: {anthropic: }\ndefault_model: sonnet\n")
    assert problems == []
    assert config is not None
    assert (config.models_given, config.models, config.default_model) == (False, {}, "sonnet")


def test_a_default_among_the_catalogs_models() -> None:
    def check_default(name: str) -> list[tuple[int, str]]:
        text = f"adapters: {{openai: }}\ndefault_model: {name}\n"
        config, problems = check(text.encode(), "f", TYPES, {}, offered=lambda config: [f"{n}:gpt-5" for n in config.adapters])
        assert (config is None) == bool(problems)
        return [(problem.line, problem.message) for problem in problems]

    assert check_default("openai:gpt-5") == []
    assert [line for line, message in check_default("openai:gtp-5") if "'openai:gpt-5'" in message] == [2]


M = "models:\n  a:m: {adapter: openai, "
A = "adapters:\n  a: {type: openai, "
WITH_MODELS = "adapters: {openai: }\n"

MISTAKES: list[tuple[str, str, str, str]] = [
    # code, severity, text with the place marked, words of the message
    ("unknown_field", "error", "adapters: {openai: }\n«modles»: {}", "'models'"),
    ("unknown_field", "error", A + "«apikey»: sk-CANARY-123}", "'api_key'"),
    ("unknown_field", "error", A + "«sk-proj-CANARY123456789»: 1}", "(not shown)"),
    ("unknown_field", "error", WITH_MODELS + M + "«alias»: [x]}", "'aliases'"),
    ("unknown_field", "error", WITH_MODELS + M + "capabilities: {«toolz»: true}}", "'tools'"),
    ("unknown_field", "error", WITH_MODELS + M + "pricing: {«inptu»: 1}}", "'input'"),
    ("not_a_mapping", "error", "«- a»\n- b", "adapters:"),
    ("not_a_mapping", "error", "«hello»", "mapping"),
    ("not_a_mapping", "error", "adapters: «[openai]»", "not a list"),
    ("not_a_mapping", "error", "adapters: {openai: «7»}", "not a number"),
    ("not_a_mapping", "error", WITH_MODELS + "models:\n  a:m: «openai»", "not text"),
    ("empty", "error", "«»", "adapters:"),
    ("empty", "error", "«»# nothing\n---\n", "adapters:"),
    ("no_adapters", "error", "«adapters»: {}", "adapters"),
    ("missing_field", "error", "«»default_model: null", "adapters"),
    ("missing_field", "error", "adapters:\n  «mine»: {max_retries: 1}", "type: …"),
    ("missing_field", "error", "adapters:\n  «mine»: {type: openai-compatible}", "base_url"),
    ("missing_field", "error", WITH_MODELS + "models:\n  «openai:m»: {tier: fast}", "'adapter: openai'"),
    ("missing_field", "error", WITH_MODELS + "models:\n  «openai:m»:", "'adapter: openai'"),
    ("missing_field", "error", WITH_MODELS + M + "pricing: {above: [«{input: 1}»]}}", "input_tokens"),
    ("wrong_type", "error", A + "timeout_seconds: «soon»}", "seconds"),
    ("wrong_type", "error", A + "timeout_seconds: «true»}", "seconds"),
    ("wrong_type", "error", A + "max_retries: «2.5»}", "whole number"),
    ("wrong_type", "error", A + "base_url: «5»}", "quotes"),
    ("wrong_type", "error", A + "api_key: «{value: sk-CANARY-9}»}", "text"),
    ("wrong_type", "error", WITH_MODELS + M + "aliases: «sonnet»}", "a list"),
    ("wrong_type", "error", WITH_MODELS + M + "aliases: [«4»]}", "quotes"),
    ("wrong_type", "error", WITH_MODELS + M + 'wire_name: «""»}', "empty"),
    ("wrong_type", "error", WITH_MODELS + M + "can_delegate: «maybe»}", "true or false"),
    ("wrong_type", "error", WITH_MODELS + M + "capabilities: {tools: «1»}}", "true or false"),
    ("wrong_type", "error", WITH_MODELS + M + "capabilities: {efforts: «low»}}", "a list"),
    ("wrong_type", "error", WITH_MODELS + M + "capabilities: {prompt_cache: «some»}}", "automatic"),
    ("wrong_type", "error", WITH_MODELS + M + "pricing: {above: «7»}}", "a list"),
    ("out_of_range", "error", A + "timeout_seconds: «0»}", "above 0"),
    ("out_of_range", "error", A + "timeout_seconds: «-1»}", "above 0"),
    ("out_of_range", "error", A + "timeout_seconds: «.inf»}", "above 0"),
    ("out_of_range", "error", A + "timeout_seconds: «1e999»}", "above 0"),
    ("out_of_range", "error", A + "max_retries: «11»}", "0 to 10"),
    ("out_of_range", "error", A + "options: {max_concurrent_calls: «0»}}", "from 1 to"),
    ("wrong_type", "error", A + "options: {max_concurrent_calls: «many»}}", "a whole number of calls"),
    ("wrong_type", "error", A + "options: {max_concurrent_calls: «1.5»}}", "a whole number of calls"),
    ("out_of_range", "error", A + "max_retries: «-1»}", "0 to 10"),
    ("out_of_range", "error", A + "options: {idle_timeout_seconds: «0»}}", "above 0"),
    ("out_of_range", "error", WITH_MODELS + M + "pricing: {output: «-0.1»}}", "0 or more"),
    ("out_of_range", "error", WITH_MODELS + M + "limits: {max_context_tokens: «0»}}", "tokens"),
    ("unknown_type", "error", "adapters:\n  a: {type: «antropic»}", "'anthropic'"),
    ("unknown_type", "error", "adapters:\n  a: {type: «sk-CANARY-123»}", "(not shown)"),
    ("unknown_adapter", "error", WITH_MODELS + "models:\n  a:m: {adapter: «opnai»}", "'openai'"),
    ("bad_model_id", "error", WITH_MODELS + "models:\n  «gpt-5»: {adapter: openai}", "'openai:gpt-5'"),
    ("bad_model_id", "error", WITH_MODELS + "models:\n  «':x'»: {adapter: openai}", "provider:name"),
    ("bad_name", "error", "adapters:\n  «a b»: {type: openai}", "letters"),
    ("bad_name", "error", "adapters:\n  «a:b»: {type: openai}", "letters"),
    ("duplicate_key", "error", A + "max_retries: 1, «max_retries»: 2}", "line 2"),
    ("duplicate_key", "error", "adapters:\n  a: {type: openai}\n  «a»: {type: openai}", "line 2"),
    ("duplicate_key", "error", WITH_MODELS + "models:\n  a:m: {adapter: openai}\n  «a:m»: {adapter: openai}", "line 3"),
    ("duplicate_key", "error", "adapters: {openai: }\n«adapters»: {openai: }", "line 1"),
    ("duplicate_alias", "error", WITH_MODELS + M + "aliases: [x]}\n  a:n: {adapter: openai, aliases: [y, «x»]}", "'a:m'"),
    ("duplicate_alias", "error", WITH_MODELS + M + "aliases: [x, «x»]}", "this model"),
    ("alias_is_id", "error", WITH_MODELS + M + "aliases: [«a:n»]}\n  a:n: {adapter: openai}", "another"),
    ("bad_alias", "error", WITH_MODELS + M + "aliases: [«a b»]}", "one word"),
    ("unknown_model", "error", WITH_MODELS + M + "fallbacks: [«a:n»]}\n  a:nn: {adapter: openai}", "'a:nn'"),
    ("unknown_model", "error", WITH_MODELS + M + "}\ndefault_model: «a:mm»", "'a:m'"),
    ("unknown_model", "error", WITH_MODELS + M + "}\ndefault_model: «m»", "'a:m'"),
    ("fallback_cycle", "error", WITH_MODELS + M + "fallbacks: [«a:m»]}", "its own"),
    ("bad_base_url", "error", A + "base_url: «ftp://x»}", "https://"),
    ("bad_base_url", "error", A + "base_url: «api.openai.com/v1»}", "https://"),
    ("bad_base_url", "error", A + "base_url: «https://me:sk-CANARY-1@host/v1»}", "password"),
    ("bad_base_url", "error", A + 'base_url: «"https://host /v1"»}', "spaces"),
    ("bad_base_url", "error", A + "base_url: «https://host/v1?key=CANARY»}", "query"),
    ("bad_base_url", "error", A + "base_url: «https:///v1»}", "host"),
    ("bad_base_url", "error", A + "base_url: «https://h:99999»}", "port"),
    ("bad_base_url", "error", A + "base_url: «'https://[::1'»}", "port"),
    ("insecure_http", "warning", A + "base_url: «http://10.0.0.1/v1»}", "https"),
    ("insecure_http", "warning", "adapters:\n  openai: {api_key_env: OPENAI_API_KEY, base_url: «http://h»}", "https"),
    ("several_key_sources", "warning", A + "api_key_env: OPENAI_API_KEY, «api_key_command»: [pass, x]}", "only api_key_env"),
    ("plaintext_key", "warning", A + "«api_key»: sk-CANARY-1}", "api_key_env"),
    ("key_is_reference", "error", A + "api_key: «'${OPENAI_API_KEY}'»}", "api_key_env: OPENAI_API_KEY"),
    ("key_is_reference", "error", A + "api_key: «$OPENAI_API_KEY»}", "api_key_env: OPENAI_API_KEY"),
    ("bad_key", "error", A + "api_key: «'CANARY with spaces'»}", "again"),
    ("bad_key", "error", A + "api_key: «'CANARY\\é'»}", "again"),
    ("bad_key", "error", A + 'api_key: «"CANARY\\nX"»}', "again"),
    ("key_not_set", "warning", A + "api_key_env: «MY_KEY»}", "MY_KEY"),
    ("key_not_set", "warning", "adapters:\n  l: {type: ollama, api_key_env: «L_KEY»}", "L_KEY"),
    ("bad_variable", "error", A + "api_key_env: «sk-CANARY-12345»}", "NAME"),
    ("bad_variable", "error", A + "api_key_env: «gsk_CANARYabcdefghijklmnop1234»}", "NAME"),
    ("bad_variable", "error", A + "api_key_env: «$MY_KEY»}", "'api_key_env: MY_KEY'"),
    ("bad_command", "error", A + "api_key_command: «[]»}", "empty"),
    ("bad_command", "error", A + "api_key_command: «'pass \"CANARY'»}", "quote"),
    ("shell_syntax", "warning", A + "api_key_command: «'pass x | head'»}", "sh, -c"),
    ("wrong_type", "error", A + "api_key_command: «{a: b}»}", "a command"),
    ("bad_keyring", "error", A + "api_key_keyring: «CANARY»}", "service/user"),
    ("bad_header", "error", A + 'extra_headers: {X: «"a\\r\\nb"»}}', "line break"),
    ("bad_header", "error", A + 'extra_headers: {«"X\\nY"»: b}}', "line breaks"),
    ("bad_header", "error", A + "extra_headers: {«Host»: b}}", "remove"),
    ("auth_header", "error", A + "extra_headers: {«Authorization»: Bearer CANARY}}", "api_key_env"),
    ("plaintext_key", "warning", A + "extra_headers: {«X-Session-Token»: CANARY}}", "plain text"),
    ("unknown_tier", "warning", WITH_MODELS + M + "tier: «blanced»}", "'balanced'"),
    ("alias", "error", "adapters: {openai: &o {max_retries: 1}, anthropic: «*o»}", "write the value"),
    ("alias", "error", "adapters: {anthropic: {«<<»: {max_retries: 1}}}", "<<"),
    ("tag", "error", "adapters: {openai: «!!python/object/apply:os.system [ls]»}", "tag"),
    ("several_documents", "error", "adapters: {openai: }\n«---»\nadapters: {}", "one document"),
    ("syntax", "error", "adapters: {openai: }\nmodels: a«»: b", "quotes"),
    ("syntax", "error", "adapters:\n«\t»openai:", "spaces"),
    ("syntax", "error", "adapters: [a\n«»", "']'"),
    ("binary", "error", "adapters: «\x00»", "U+0000"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "severity", "text", "words"), MISTAKES)
def test_mistake(code: str, severity: str, text: str, words: str) -> None:
    plain, places = marked(text)
    config, problems = checked(plain)
    found = [problem for problem in problems if problem.code == code]
    assert [(p.line, p.column, p.end_column) for p in found] == places, problems
    assert {p.severity for p in found} == {severity}
    assert words in found[0].message
    assert (config is None) == any(p.severity == "error" for p in problems)
    assert not any("CANARY" in problem.message for problem in problems)
    assert all(p.file == "models.yaml" and p.end_line == p.line and "\n" not in p.message for p in problems)


NO_PROBLEM = [
    "adapters:\n  l: {type: ollama}",
    "adapters:\n  l: {type: openai-compatible, base_url: 'http://[::1]:8080'}",
    "adapters:\n  l: {type: openai, base_url: http://localhost:8080}",
    "adapters:\n  l: {type: openai-compatible, base_url: http://10.0.0.1}",  # no key goes there
    "adapters:\n  openai: {api_key_command: 'pass show openai'}",
    "adapters:\n  openai: {api_key_keyring: modeld/openai, extra_headers: {X-Title: 5}, options: {a: {b: [1, null]}}}",
    "adapters:\n  openai: {api_key: null, base_url: }",
    "\ufeffadapters: {openai: }",
    "adapters: {openai: }\nmodels: {'openrouter:a/b:free': {adapter: openai, can_delegate: yes, wire_name: !!str 4}}\n",
    "adapters: {openai: }\nmodels:\ndefault_model:\n",
    WITH_MODELS + M + "fallbacks: [n]}\n  a:n: {adapter: openai, aliases: [n], fallbacks: [a:o, a:m]}\n"
    "  a:o: {adapter: openai, fallbacks: [a:m]}",  # each other's; a call visits each model once
    "%YAML 1.1\n---\nadapters:\r\n  openai:\r\n...\n",
]


@pytest.mark.parametrize("text", NO_PROBLEM)
def test_no_problem(text: str) -> None:
    config, problems = checked(text)
    assert problems == []
    assert config is not None


def test_all_problems_at_once() -> None:
    text = """\
    adapters:
      a: {type: antropic, max_retries: 99, oops: 1}
      b: {type: openai-compatible}
    models:
      m: {adapter: c, aliases: x}
      a:n: {fallbacks: [zzz]}
    default_model: nothing
    """
    config, problems = checked(textwrap.dedent(text))
    assert config is None
    assert [(p.line, p.code) for p in problems] == [
        (2, "unknown_type"),
        (2, "out_of_range"),
        (2, "unknown_field"),
        (3, "missing_field"),
        (5, "bad_model_id"),
        (5, "unknown_adapter"),
        (5, "wrong_type"),
        (6, "missing_field"),
        (6, "unknown_model"),
        (7, "unknown_model"),
    ]


def test_columns_count_characters_and_lines_are_an_editors() -> None:
    config, problems = checked(
        'adapters:\r\n  openai: {base_url: "https://\U0001f600", oops: 1}\r  b: {x: "\u2028\x85", oops: 1}\n'
    )
    assert config is None
    assert [(p.line, p.column) for p in problems if p.code == "unknown_field"] == [(2, 35), (3, 7), (3, 16)]


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85"])
def test_what_ends_no_line_for_an_editor_ends_none_for_yaml(odd: str) -> None:
    text = f"# a{odd}b: [\nadapters: {{}} # {odd}c\nmodels: 'x{odd} y'\ndefault_model: &k a{odd} b\n"
    document = yaml_nodes.compose(text)
    assert isinstance(document.root, yaml_nodes.Mapping)
    values = {name.value(): value for name, value in document.root.pairs if isinstance(name, yaml_nodes.Scalar)}
    assert list(values) == ["adapters", "models", "default_model"]
    for name, stored in (("models", f"x{odd} y"), ("default_model", f"a{odd} b")):
        value = values[name]
        assert isinstance(value, yaml_nodes.Scalar)
        assert value.value() == stored
        assert text[value.start : value.end].strip("'").endswith(stored)


def test_a_text_full_of_private_characters_keeps_them() -> None:
    private = "".join(chr(point) for point in range(0xE000, 0xF8FE))
    document = yaml_nodes.compose(f"a: '{private}\u2028\u2029'\n")
    assert isinstance(document.root, yaml_nodes.Mapping)
    value = document.root.pairs[0][1]
    assert isinstance(value, yaml_nodes.Scalar)
    assert value.value() == f"{private}\u2028\u2029"


BOMBS = {
    "brackets": "[" * 200_000,
    "braces": "{a: " * 100_000,
    "indentation": "\n".join(" " * depth + "a:" for depth in range(1_000)),
    "dashes": "- " * 300_000,
    "questions": "? " * 300_000,
    "wide": "adapters:\n" + "".join(f" a{n}: {{}}\n" for n in range(60_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    config, problems = checked(BOMBS[name])
    assert config is None
    assert [problem.code for problem in problems] == ["too_complex"]


def test_aliases_expand_to_nothing() -> None:
    levels = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9))
    config, problems = checked("a: &a [lol, lol]\n" + levels)
    assert config is None
    assert sum(problem.code == "alias" for problem in problems) == 81


def test_a_file_full_of_mistakes_is_checked_in_time_and_reported_in_part() -> None:
    lines = "".join(f" a:m{n}: {{adapter: openai, tier: t{n}, fallbacks: [x{n}]}}\n" for n in range(4_000))
    config, problems = checked("adapters: {openai: }\nmodels:\n" + lines)
    assert config is None
    assert [sum(p.severity == severity for p in problems) for severity in ("error", "warning")] == [500, 500]


def test_long_fallback_chains_are_walked_without_recursion() -> None:
    lines = "".join(f" a:m{n}: {{adapter: openai, fallbacks: [a:m{n + 1}]}}\n" for n in range(5_000))
    config, problems = checked("adapters: {openai: }\nmodels:\n" + lines + " a:m5000: {adapter: openai}\n")
    assert (config is not None, problems) == (True, [])


KEYS = [
    "sk-ant-api03-CANARYabcdefgh-ijklmnop_qrstuv",
    "sk-proj-CANARY1234567890",
    "AIzaSyCANARY_abcdefghijklmnopqrstuvw",
    "gsk_CANARYabcdefghijklmnop1234567890",
    "CANARY1234567890abcdef1234567890abcd.QWERTYuiop123456",
    "eyJhbGciOiJIUzI1NiJ9.CANARY.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_in_any_field_is_not_repeated(key: str) -> None:
    for field in ADAPTER_FIELDS:
        for text in (f"{field}: {key}", f"{field}: [{key}]", f"{field}: {{{key}: 1}}", f"{field}: {{x: {key}}}"):
            assert_silent(f"adapters:\n  {key}:\n    {text}\n  openai:\n    {text}\n", key)
    for field in MODEL_FIELDS:
        for text in (f"{field}: {key}", f"{field}: [{key}]", f"{field}: {{{key}: {key}}}"):
            assert_silent(f"adapters: {{openai: }}\nmodels:\n  {key}:\n    {text}\n  a:{key}:\n    {text}\n", key)
    assert_silent(f"adapters: {{openai: }}\n{key}: 1\nmodels: {{a:m: {{adapter: openai}}}}\ndefault_model: {key}\n", key)
    assert_silent(f"{key}", key)
    assert_silent(f"adapters:\n  openai: {{api_key: {key}: x}}\n", key)
    assert_silent(f"adapters:\n  openai: {{api_key: '{key}\n", key)


def assert_silent(text: str, key: str) -> None:
    _, problems = checked(text, {})
    assert not any(key in problem.message or "CANARY" in problem.message for problem in problems), problems


def test_a_plaintext_key_is_a_secret() -> None:
    config, _ = checked(A + "api_key: sk-CANARY-1, extra_headers: {X-A: CANARY}, options: {b: CANARY}}")
    assert config is not None
    assert config.adapters["a"].api_key == Secret("sk-CANARY-1")
    assert "CANARY" not in repr(config)


FILES: list[tuple[str, bytes, str, str]] = [
    ("empty", b"", "empty", "adapters"),
    ("utf-16", "adapters: {}".encode("utf-16"), "not_utf8", "UTF-8"),
    ("latin-1", b"adapters: {a: \xe9}", "not_utf8", "UTF-8"),
    ("binary", bytes(range(32)), "binary", "text file"),
    ("elf", b"\x7fELF\x02\x01\x01\x00", "binary", "text file"),
    ("large", b"#" * (MAX_CONFIG_BYTES + 1), "too_large", "4 MiB"),
]


@pytest.mark.parametrize(("name", "data", "code", "words"), FILES)
def test_files_that_are_no_config(tmp_path: Path, name: str, data: bytes, code: str, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    config, problems = load(path, TYPES, ENV)
    assert config is None
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {"nothing": "missing_file", ".": "is_directory", "pipe": "not_a_file", "loop": "unreadable", "a\0b": "unreadable"}
    for name, code in cases.items():
        config, problems = load(tmp_path / name, TYPES, ENV)
        assert config is None
        assert [problem.code for problem in problems] == [code]


def test_a_key_in_a_file_that_others_may_read(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(A + "api_key: sk-CANARY-1}")
    for mode, codes in ((0o600, ["plaintext_key"]), (0o644, ["plaintext_key", "open_to_others"])):
        path.chmod(mode)
        config, problems = load(path, TYPES, ENV)
        assert config is not None
        assert [problem.code for problem in problems] == codes


def test_render() -> None:
    _, problems = checked(A + "max_retries: 11, api_key_env: NOPE}")
    assert render(problems) == [
        "models.yaml:2:34: error: max_retries of adapter 'a' must be a whole number from 0 to 10",
        "models.yaml:2:51: warning: the environment variable NOPE isn't set, so adapter 'a' is not configured: "
        "set it before the daemon starts; everything else works",
    ]


def test_json_schema_takes_what_check_takes() -> None:
    validator = jsonschema.Draft202012Validator(json_schema(TYPES))
    jsonschema.Draft202012Validator.check_schema(json_schema(TYPES))
    assert list(validator.iter_errors(yaml.safe_load(GOOD))) == []
    for bad in (
        "{}",
        "adapters: {}",
        "adapters: {a: {type: nope}}",
        "adapters: {openai: {oops: 1}}",
        "adapters: {openai: }\nx: 1",
    ):
        assert list(validator.iter_errors(yaml.safe_load(bad))), bad
    for bad in ("tier: 4", "aliases: x", "capabilities: {tools: 1}", "limits: {x: 1}"):
        models = f"adapters: {{openai: }}\nmodels: {{'a:m': {{adapter: openai, {bad}}}}}"
        assert list(validator.iter_errors(yaml.safe_load(models))), bad


@pytest.mark.parametrize(
    "marked",
    [
        "adapters: {kimi: {options: {«region»: moon}}}",
        "adapters: {kimi: {options: {max_concurrent_calls: 3, «stop»: 5}}}",
        "adapters: {kimi: }\nmodels: {'kimi:a': {adapter: kimi, options: {stop: true, «nope»: 1}}}",
        "adapters: {kimi: }\nmodels: {'kimi:a': {adapter: kimi, options: {«stop»: 3}}}",
        "adapters: {kimi: {options: {«region»: sk-proj-0123456789abcdef}}}",
    ],
)
def test_what_the_catalog_refuses_has_its_place(marked: str) -> None:
    text, [place] = places_in(marked)
    config, problems = surroundings().check(text.encode(), "models.yaml")
    found = [problem for problem in problems if problem.severity == "error"]
    assert config is None
    assert [(one.code, one.line, one.column, one.end_column) for one in found] == [("refused_by_catalog", *place)]
    assert "sk-proj" not in found[0].message
