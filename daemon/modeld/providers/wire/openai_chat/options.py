"""`provider_options` of the Chat Completions wire: what it has and the canonical request has not.

https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create (2026-11-20).
"""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from modeld_protocol.request import CanonicalRequest

from ...failure import ProviderFailure
from ...spec import ModelSpec

_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]


class ChatOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The options under the adapter's type. `store` also sends the request's metadata, which is kept with the answer."""

    seed: int | None = None
    logit_bias: dict[str, Annotated[int, msgspec.Meta(ge=-100, le=100)]] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    service_tier: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    user: str | None = None
    safety_identifier: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    store: bool | None = None
    prompt_cache_options: dict[str, Any] | None = None


class Options(NamedTuple):
    """`plain` are those of the wire, `further` the members that this provider has besides."""

    plain: ChatOptions
    further: dict[str, Any]


_NONE = Options(ChatOptions(), {})


def parse_options(request: CanonicalRequest, model: ModelSpec) -> Options:
    """The request's options for this adapter type. Raises ProviderFailure (`invalid_request`) that names the field."""
    given = (request.provider_options or {}).get(model.provider_type)
    if not given:
        return _NONE
    own = model.quirks.options
    try:
        plain = msgspec.convert({name: value for name, value in given.items() if name not in own}, ChatOptions)
    except msgspec.ValidationError as error:
        told = str(error).replace("`$", f"`provider_options.{model.provider_type}")
        known = ", ".join([*ChatOptions.__struct_fields__, *own])
        raise ProviderFailure("invalid_request", f"{told}; options here are {known}") from None
    return Options(plain, {name: value for name, value in given.items() if name in own})
