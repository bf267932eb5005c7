"""`clients` of a models.yaml: who may spend through which client."""

from typing import Any

from .fields import Field, Invalid, Report, read_entries, read_fields, read_texts
from .schema import CLIENT_FIELDS, ClientConfig
from .yaml_nodes import Node


def check_clients(report: Report, field: Field) -> dict[str, ClientConfig]:
    """The clients that are right, by id."""
    entries = read_entries(report, field.node, "clients", "clients by their id")
    return {entry.name: ClientConfig(**_read_client(report, entry)) for entry in entries}


def _read_client(report: Report, entry: Field) -> dict[str, Any]:
    readers = dict.fromkeys(CLIENT_FIELDS, _read_names)
    return read_fields(report, entry.node, f"client '{entry.name}'", readers).values


def _read_names(report: Report, field: Field) -> Any:
    found: list[tuple[str, Node]] | Invalid = read_texts(report, field)
    if isinstance(found, Invalid):
        return found
    for text, node in found:
        if "*" in text and not (text.endswith(".*") and text.count("*") == 1):
            message = f"an entry of {field.name} is a whole name, or 'publisher.*' for all of a publisher's"
            report.error(node, "bad_name", f"{message}; leave {field.name} out to allow everyone")
    return tuple(text.lower() for text, _ in found)
