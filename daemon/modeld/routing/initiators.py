"""Who spends through a client: a program inside it, such as an extension of an editor, is named with each call. Pure."""

from collections.abc import Mapping

from ..config.schema import ClientConfig
from ..providers.failure import ProviderFailure


def admit(clients: Mapping[str, ClientConfig], client_id: str | None, initiator: str) -> str:
    """The id under which a call for `initiator` stands in the ledger and counts for budgets: `client/initiator`, in lower case.

    Raises ProviderFailure where the client has an allow-list and the initiator isn't on it.
    """
    client = client_id or "client"
    name = initiator.lower()
    config = clients.get(client)
    if config is not None and config.allow is not None and not _listed(name, config.allow):
        raise ProviderFailure(
            "auth",
            f"{name} may not call models through the client {client}: it is not in clients.{client}.allow of models.yaml."
            " Nothing was sent. Add its name there to allow it",
        )
    return f"{client}/{name}"


def _listed(name: str, allow: tuple[str, ...]) -> bool:
    publisher, dot, _ = name.partition(".")
    return name in allow or (bool(dot) and f"{publisher}.*" in allow)
