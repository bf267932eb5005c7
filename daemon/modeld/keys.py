"""The keys of this process: resolved per adapter, bound to the adapter's origin, told to the redactor."""

from collections import ChainMap
from collections.abc import Mapping

from .config.redacted import key_source
from .config.schema import AdapterConfig
from .credentials.redact import Redactor
from .credentials.secret import Credential, Secret
from .credentials.sources import KeySources, Missing, find_key
from .providers.catalog import ProviderRow
from .providers.failure import ProviderFailure
from .providers.link import CredentialSource
from .upstream.contract import Origin

Env = Mapping[str, str]


class KeyRing:
    """Makes the credential source of each adapter. A value that a client lends counts only under the variable that the
    config or the catalog already names for that adapter, and goes to that adapter's origin alone."""

    def __init__(self, sources: KeySources, redactor: Redactor, environment: Env) -> None:
        self._sources = sources
        self._redactor = redactor
        self._environment = environment

    def source(self, adapter: AdapterConfig, row: ProviderRow, origin: Origin) -> CredentialSource:
        """The credential source of one adapter."""
        origins = frozenset((str(origin),))
        last: Credential | None = None

        async def credential(env: Env) -> Credential | None:
            nonlocal last
            found = await self._sources.resolve(adapter, row.key_env, self._seen_by(env))
            if found is None:
                return None
            if isinstance(found, Missing):
                raise ProviderFailure("not_configured", found.message)
            self._redactor.add(found.reveal())
            if last is None or last.secret != found:
                last = Credential(found, row.key_header, row.key_prefix, origins, adapter.name)
            return last

        return credential

    def rejected(self, adapter: AdapterConfig) -> None:
        """The provider refused the key: a command or the keyring is asked again at the next call."""
        self._sources.forget(adapter)

    def missing(self, adapter: AdapterConfig, row: ProviderRow, env: Env) -> str | None:
        """Why the adapter has no key, None where it has one or may get one by asking."""
        found = find_key(adapter, row.key_env, self._seen_by(env))
        return found.message if isinstance(found, Missing) else None

    def describe(self, adapter: AdapterConfig, row: ProviderRow) -> str | None:
        """Where the key comes from, in words."""
        return key_source(adapter, row.key_env)

    def learn(self, adapter: AdapterConfig, row: ProviderRow) -> None:
        """Tell the redactor what is known without asking, before anything can print it."""
        found = find_key(adapter, row.key_env, self._environment)
        if isinstance(found, Secret):
            self._redactor.add(found.reveal())

    def _seen_by(self, env: Env) -> Env:
        return ChainMap(dict(env), dict(self._environment)) if env else self._environment
