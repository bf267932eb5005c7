"""Who may spend through a client: `clients` of models.yaml, and what becomes of a call's initiator."""

import pytest

from modeld.config.check import check
from modeld.config.redacted import redacted
from modeld.config.schema import ClientConfig
from modeld.providers.failure import ProviderFailure
from modeld.routing.initiators import admit

CLIENTS = {
    "vscode": ClientConfig(("acme.agent", "trusted.*")),
    "closed": ClientConfig(()),
    "open": ClientConfig(),
}


@pytest.mark.parametrize(
    ("client", "initiator", "whose"),
    [
        ("vscode", "acme.agent", "vscode/acme.agent"),
        ("vscode", "Acme.Agent", "vscode/acme.agent"),
        ("vscode", "trusted.anything", "vscode/trusted.anything"),
        ("open", "anyone", "open/anyone"),
        ("unknown", "anyone", "unknown/anyone"),
        (None, "anyone", "client/anyone"),
    ],
)
def test_who_is_admitted_is_named(client: str | None, initiator: str, whose: str) -> None:
    assert admit(CLIENTS, client, initiator) == whose


@pytest.mark.parametrize(
    ("client", "initiator"),
    [("vscode", "acme.other"), ("vscode", "trusted"), ("vscode", "trustedish.a"), ("vscode", "core"), ("closed", "acme.agent")],
)
def test_who_is_refused_is_told_how_to_be_allowed(client: str, initiator: str) -> None:
    with pytest.raises(ProviderFailure, match=rf"{initiator}.*clients\.{client}\.allow.*models\.yaml") as refusal:
        admit(CLIENTS, client, initiator)
    assert (refusal.value.error_class, refusal.value.retryable) == ("auth", False)


def _checked(clients: str) -> tuple[object, list[str]]:
    text = f"adapters: {{a: {{type: ollama}}}}\nclients: {clients}\n"
    config, problems = check(text.encode(), "models.yaml", ("ollama",), {})
    return (config.clients if config else None), [f"{problem.code} {problem.message}" for problem in problems]


def test_clients_are_read() -> None:
    found, problems = _checked("{vscode: {allow: [Acme.Agent, trusted.*]}, nvim: {allow: []}, other: {}}")
    assert problems == []
    assert found == {
        "vscode": ClientConfig(("acme.agent", "trusted.*")),
        "nvim": ClientConfig(()),
        "other": ClientConfig(),
    }


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        ("{vscode: {allow: ['*']}}", "bad_name an entry of allow is a whole name, or 'publisher.*'"),
        ("{vscode: {allow: ['a*b.*']}}", "bad_name an entry of allow"),
        ("{vscode: {allow: acme.agent}}", "wrong_type allow of client 'vscode' must be a list of text"),
        ("{vscode: {deny: [a]}}", "unknown_field unknown field 'deny' in client 'vscode'"),
        ("{vscode: [a]}", "not_a_mapping"),
        ("[vscode]", "not_a_mapping"),
    ],
)
def test_mistakes_in_clients(clients: str, words: str) -> None:
    found, problems = _checked(clients)
    assert found is None
    assert any(problem.startswith(words) for problem in problems), problems


def test_the_config_shows_its_clients() -> None:
    text = b"adapters: {a: {type: ollama}}\nclients: {vscode: {allow: [acme.agent]}}\n"
    config, _ = check(text, "models.yaml", ("ollama",), {})
    assert config is not None
    assert redacted(config)["clients"] == {"vscode": {"allow": ("acme.agent",)}}
