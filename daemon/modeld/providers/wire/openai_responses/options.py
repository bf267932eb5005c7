"""`provider_options` of the Responses wire: what it has and the canonical request has not.

https://developers.openai.com/api/reference/resources/responses/methods/create (2026-11-20).
"""

from typing import Annotated, Any, Literal

import msgspec

from modeld_protocol.request import CanonicalRequest

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..provider_options import parse_provider_options

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ResponsesOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The options under the adapter's type.

    `store` keeps the answer at the provider (off unless asked for), and the request's metadata with it. With
    `previous_response_id` or `conversation` the provider knows what came before: the messages are then only what is new.
    `server_tools` are tools that the provider runs, in its own form, sent before the client's; `strict_tools` asks for
    arguments that match their schema, for every tool whose schema allows the promise. `include` is sent beside what this
    wire asks for itself.
    """

    store: bool = False
    previous_response_id: _Id | None = None
    conversation: _Id | None = None
    server_tools: list[dict[str, Any]] = []
    strict_tools: bool = False
    include: list[str] = []
    reasoning_summary: Literal["auto", "concise", "detailed"] | None = None
    reasoning_context: Literal["auto", "current_turn", "all_turns"] | None = None
    reasoning_mode: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    max_tool_calls: Annotated[int, msgspec.Meta(ge=1)] | None = None
    context_management: list[dict[str, Any]] | None = None
    user: str | None = None
    safety_identifier: Annotated[str, msgspec.Meta(max_length=128)] | None = None


NONE = ResponsesOptions()


def parse_options(request: CanonicalRequest, model: ModelSpec) -> ResponsesOptions:
    """The request's options for this adapter type. Raises ProviderFailure (`invalid_request`) that names the field."""
    options = parse_provider_options(request, model, ResponsesOptions) or NONE
    if options.previous_response_id is not None and options.conversation is not None:
        raise ProviderFailure("invalid_request", "previous_response_id and conversation exclude each other; give one of them")
    return options
