"""The keys of this process: resolved per adapter, bound to the adapter's origin, told to the redactor."""

from collections import ChainMap
from collections.abc import Mapping

from .config.schema import AdapterConfig
from .credentials.redact import Redactor
from .credentials.secret import Credential
from .credentials.sources import KeySources, Missing
from .providers.catalog import ProviderRow
from .providers.failure import ProviderFailure
from .providers.link import CredentialSource
from .upstream.contract import Origin


class KeyRing:
    """Makes the credential source of each adapter. A value that a client lends counts only under a variable name that the
    config or the catalog already names for that adapter, and goes to that adapter's origin alone."""

    def __init__(self, redactor: Redactor, sources: KeySources) -> None:
        self._redactor = redactor
        self._sources = sources

    def source(self, adapter: AdapterConfig, row: ProviderRow, origin: Origin, environment: Mapping[str, str]) -> CredentialSource:
        """The credential source of one adapter."""
        allowed = frozenset((str(origin),))

        async def credential(env: Mapping[str, str]) -> Credential | None:
            lookup = ChainMap(dict(env), dict(environment)) if env else environment
            found = await self._sources.resolve(adapter, row.key_env, lookup)
            if isinstance(found, Missing):
                if not row.needs_key and not found.named:
                    return None
                raise ProviderFailure("not_configured", found.message)
            self._redactor.add(found.reveal())
            return Credential(found, row.key_header, row.key_prefix, allowed, adapter.name)

        return credential
