"""`provider_options` of this wire: what the API takes and the canonical request has no word for."""

from typing import Annotated, Any, Literal

import msgspec

from modeld_protocol.request import CanonicalRequest

from ...spec import ModelSpec
from ..provider_options import parse_provider_options


class MessagesOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Keyed by the adapter's type in `provider_options`.

    `betas` go into the `anthropic-beta` header; `server_tools` are tools that the provider runs, in its own form, sent before
    the client's; `strict_tools` asks for arguments that match their schema; `citations` turns them on for documents.
    """

    user_id: str | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    betas: list[str] = []
    speed: Literal["standard", "fast"] | None = None
    inference_geo: str | None = None
    container: str | dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    server_tools: list[dict[str, Any]] = []
    strict_tools: bool = False
    citations: bool = False

    def required_betas(self) -> list[str]:
        """Beta headers that these options can't do without (SDK types of 2026-11)."""
        found = ["context-management-2025-06-27"] if self.context_management else []
        return [*found, "fast-mode-2026-02-01"] if self.speed == "fast" else found


NONE = MessagesOptions()


def parse_options(request: CanonicalRequest, model: ModelSpec) -> MessagesOptions:
    """The options meant for this adapter type; those of other types are none of ours. Raises ProviderFailure."""
    return parse_provider_options(request, model, MessagesOptions) or NONE
