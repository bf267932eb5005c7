"""`modeld models`: what there is, and with --discover what the providers say there is."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from modeld_client import Client
from modeld_protocol.model import DiscoveredModel, DiscoverFailure, ModelInfo

from ..config.locations import config_place
from .daemon import connect
from .figures import prices, tokens
from .table import Column, lay_out, render
from .terminal import paint, say, width, write_json

_STYLES = {"available": "green", "degraded": "yellow", "probing": "yellow", "unavailable": "red", "not_configured": "dim"}
_STATES = {"not_configured": "no key"}
_COLUMNS = (
    Column("model"),
    Column("aliases", floor=8, worth=3),
    Column("tier", worth=2),
    Column("context", right=True, worth=5),
    Column("output", right=True, worth=1),
    Column("in /M", right=True, worth=4),
    Column("out /M", right=True, worth=4),
    Column("state", worth=6),
)
_FOUND_COLUMNS = (
    Column("model"),
    Column("name", floor=12, worth=1),
    Column("context", right=True, worth=3),
    Column("output", right=True, worth=2),
    Column("configured", worth=4),
)


def run(options: argparse.Namespace) -> int:
    """A table, or JSON; 1 where there is nothing to show."""
    with connect(options) as client:
        if options.discover:
            return _discover(client, options)
        models = client.models()
        if options.provider:
            _check_providers(options.provider, client)
            models = [model for model in models if model.provider in options.provider]
        if options.json:
            write_json({"models": models})
            return 0
        # Without a config the table is the whole catalog: providers that nobody has a key for would bury the others.
        brief = not (options.all or options.provider or client.status().config_file)
    usable = [model for model in models if model.availability != "not_configured"]
    show(usable if brief and usable else models, sys.stdout)
    _explain(models, options, brief=brief)
    return 0


def _check_providers(names: Iterable[str], client: Client) -> None:
    known = [provider.name for provider in client.providers()]
    for name in names:
        if name not in known:
            say(f"modeld: no provider is called {name}; configured are: {', '.join(known) or 'none'}")


def show(models: Sequence[ModelInfo], stream: TextIO) -> None:
    """The table of configured models, those that can be used first."""
    ordered = sorted(models, key=lambda model: model.availability == "not_configured")
    if not ordered:
        return
    titles, *rows = lay_out(_COLUMNS, [_row(model) for model in ordered], width(stream))
    print(paint(render([titles])[0], "bold", stream), file=stream)
    for model, row in zip(ordered, rows, strict=True):
        style = _STYLES[model.availability]
        if model.default:
            row[0] = paint(row[0], "bold", stream)
        if row[-1].strip():
            row[-1] = paint(row[-1].rstrip(), style, stream)
        print(render([row])[0], file=stream)


def _row(model: ModelInfo) -> list[str]:
    return [
        f"{model.id} ★" if model.default else model.id,
        ", ".join(model.aliases),
        model.tier or "",
        tokens(model.limits.max_context_tokens),
        tokens(model.limits.max_output_tokens),
        *prices(model.pricing),
        _STATES.get(model.availability, model.availability),
    ]


def _explain(models: Sequence[ModelInfo], options: argparse.Namespace, *, brief: bool) -> None:
    """Below the table: why some can't be used; what to do where there are none."""
    if not models:
        place = config_place(options.config, os.environ)
        say(f"No models. `modeld doctor` looks for the cause; models are configured in {place.path}")
    elif brief:
        _explain_briefly([model for model in models if model.availability == "not_configured"], len(models))
    else:
        reasons = {model.provider: model.reason for model in models if model.reason}
        for provider, reason in reasons.items():
            say(reason if provider in reason else f"{provider}: {reason}", "dim")


def _explain_briefly(keyless: Sequence[ModelInfo], count: int) -> None:
    from .nearby import keys_in_words, wrapped

    if keyless and len(keyless) == count:
        lines = wrapped(f"None can be asked yet. Set the key of a provider that you have: {keys_in_words()}.")
    elif keyless:
        names = ", ".join(dict.fromkeys(model.provider for model in keyless))
        lines = wrapped(f"{len(keyless)} more (--all shows them) of providers without a key: {names}.")
    else:
        lines = []
    for line in lines:
        say(line, "dim")


# ---- what providers say


def _discover(client: Client, options: argparse.Namespace) -> int:
    providers = options.provider or [one.name for one in client.providers() if one.availability != "not_configured"]
    found, failures = _ask_all(client, providers, quiet=options.json)
    if options.json:
        write_json({"models": found, "failures": failures})
        return 1 if failures and not found else 0
    if found:
        lines = render(lay_out(_FOUND_COLUMNS, [_found_row(model) for model in found], width(sys.stdout)))
        print(paint(lines[0], "bold", sys.stdout), *lines[1:], sep="\n")
    for failure in failures:
        say(f"{failure.provider}: {failure.error_class}: {failure.message}", "red")
    if not providers:
        say("No provider has a key: nobody to ask. `modeld doctor` says what to do.")
    return 0 if found else 1


def _ask_all(client: Client, providers: list[str], *, quiet: bool) -> tuple[list[DiscoveredModel], list[DiscoverFailure]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from .terminal import console

    found: list[DiscoveredModel] = []
    failures: list[DiscoverFailure] = []
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    unseen = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=console(sys.stderr), transient=True, disable=unseen) as progress:
        task = progress.add_task("", total=len(providers))
        for name in providers:
            progress.update(task, description=f"asking {name}")
            result = client.discover([name])
            found += result.models
            failures += result.failures
            progress.advance(task)
    return found, failures


def _found_row(model: DiscoveredModel) -> list[str]:
    limits = model.limits
    return [
        model.id,
        model.display_name or "",
        tokens(limits.max_context_tokens) if limits else "",
        tokens(limits.max_output_tokens) if limits else "",
        "yes" if model.configured else "",
    ]
