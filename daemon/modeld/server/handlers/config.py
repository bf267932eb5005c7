"""`config/*`: check, reload, and show what is in force."""

import asyncio
from pathlib import Path

from modeld_protocol.config import CheckParams, CheckResult, ConfigGetResult, ReloadResult
from modeld_protocol.jsonrpc import Empty

from ...config.redacted import redacted
from ...config.reload import ConfigSource
from ..errors import invalid_params
from ..requests import CallContext
from ..router import Router


class ConfigHandlers:
    """The handlers of `config/*` over the daemon's config source."""

    def __init__(self, source: ConfigSource) -> None:
        self._source = source

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("config/check", self.check)
        router.add("config/reload", self.reload)
        router.add("config/get", self.get)

    async def check(self, context: CallContext, params: CheckParams) -> CheckResult:
        """Every problem of a text, a file, or the config in force."""
        file = Path(params.file) if params.file else self._source.file
        surroundings = self._source.surroundings
        if params.text is not None:
            text = params.text.encode("utf-8", "surrogatepass")
            config, problems = await asyncio.to_thread(surroundings.check, text, str(file or "models.yaml"))
        elif file is not None:
            config, problems = await asyncio.to_thread(surroundings.load, file)
        else:
            raise invalid_params("there is no config file to check; give `file` or `text`")
        return CheckResult(config is not None, problems)

    async def reload(self, context: CallContext, params: Empty) -> ReloadResult:
        """Read the file again now."""
        return await self._source.reload_now()

    def get(self, context: CallContext, params: Empty) -> ConfigGetResult:
        """The effective config, redacted."""
        source = self._source
        return ConfigGetResult(
            str(source.file) if source.file else None, source.version, redacted(source.config), source.problems
        )
