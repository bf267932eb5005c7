"""`modeld models`: what there is, and with --discover what the providers say there is."""

import argparse
import sys

import msgspec
from rich.console import Console

from modeld_client import Client

from .ask import connect
from .terminal import console, money, table, tokens

_COLOURS = {"available": "green", "degraded": "yellow", "probing": "yellow", "unavailable": "red", "not_configured": "dim"}


def run(options: argparse.Namespace) -> int:
    """A table, or JSON."""
    with connect(options) as client:
        if options.discover:
            return _discover(client, options)
        if options.json:
            models = [model for model in client.models() if not options.provider or model.provider in options.provider]
            sys.stdout.write(msgspec.json.format(msgspec.json.encode({"models": models})).decode() + "\n")
            return 0
        show(client, console(), options.provider)
    return 0


def show(client: Client, out: Console, providers: list[str] | None = None) -> None:
    """The table of configured models."""
    rows = table("model", "aliases", "tier", "context#", "output#", "$/M in#", "$/M out#", "state")
    reasons: dict[str, str] = {}
    for model in client.models():
        if providers and model.provider not in providers:
            continue
        price = model.pricing
        rows.add_row(
            f"[bold]{model.id}[/bold] ★" if model.default else model.id,
            ", ".join(model.aliases),
            model.tier or "",
            tokens(model.limits.max_context_tokens),
            tokens(model.limits.max_output_tokens),
            money(price.input) if price and price.input is not None else "?",
            money(price.output) if price and price.output is not None else "?",
            f"[{_COLOURS[model.availability]}]{model.availability.replace('_', ' ')}[/]",
        )
        if model.reason:
            reasons[model.provider] = model.reason
    out.print(rows)
    for provider, reason in reasons.items():
        out.print(f"[dim]{provider}: {reason}[/dim]")
    if not rows.row_count:
        out.print("No models yet. Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or write a models.yaml; `modeld doctor` says where.")


def _discover(client: Client, options: argparse.Namespace) -> int:
    from rich.progress import Progress

    providers = options.provider or [provider.name for provider in client.providers()]
    found, failures = [], []
    with Progress(console=console(sys.stderr), transient=True, disable=options.json or not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking providers", total=len(providers))
        for name in providers:
            progress.update(task, description=f"asking {name}")
            result = client.discover(providers=[name])
            found += result.models
            failures += result.failures
            progress.advance(task)
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode({"models": found, "failures": failures})).decode() + "\n")
        return 1 if failures and not found else 0
    rows = table("model", "name", "context#", "output#", "configured")
    for model in found:
        limits = model.limits
        rows.add_row(
            model.id,
            model.display_name or "",
            tokens(limits.max_context_tokens) if limits else "",
            tokens(limits.max_output_tokens) if limits else "",
            "[green]yes[/green]" if model.configured else "",
        )
    console().print(rows)
    for failure in failures:
        console(sys.stderr).print(f"[red]{failure.provider}[/red]: {failure.message}")
    return 1 if failures and not found else 0
