"""`provider_options` of the Chat Completions wire: what it has and the canonical request has not.

https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create (2026-11-20).
"""

from typing import Annotated, Literal

import msgspec

from modeld_protocol.request import CanonicalRequest

from ...spec import ModelSpec
from ..openai_shared.parameters import parse_provider_options

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


_NONE = ChatOptions()


def parse_options(request: CanonicalRequest, model: ModelSpec) -> ChatOptions:
    """The request's options for this adapter type. Raises ProviderFailure (`invalid_request`) that names the field."""
    return parse_provider_options(request, model, ChatOptions) or _NONE
