"""`provider_options` of a request: what the adapter's type has and the canonical request has no word for. Pure."""

from typing import TypeVar

import msgspec

from modeld_protocol.request import CanonicalRequest

from ..failure import ProviderFailure
from ..spec import ModelSpec

_T = TypeVar("_T", bound=msgspec.Struct)


def parse_provider_options(request: CanonicalRequest, model: ModelSpec, options: type[_T]) -> _T | None:
    """`provider_options` for this adapter type, None where there are none. Raises ProviderFailure (`invalid_request`) that
    names the field."""
    given = (request.provider_options or {}).get(model.provider_type)
    if not given:
        return None
    try:
        return msgspec.convert(given, options)
    except msgspec.ValidationError as error:
        told = str(error).replace("`$", f"`provider_options.{model.provider_type}")
        known = ", ".join(options.__struct_fields__)
        raise ProviderFailure("invalid_request", f"{told}; options here are {known}") from None
