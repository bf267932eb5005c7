"""`provider_options` of this wire: what it has and the canonical request has not.

https://docs.ollama.com/api/chat, https://docs.ollama.com/modelfile#valid-parameters-and-values (2026-11-20)
"""

from typing import Annotated

import msgspec

from modeld_protocol.request import CanonicalRequest

from ...spec import ModelSpec
from ..provider_options import parse_provider_options

_Count = Annotated[int, msgspec.Meta(ge=1)]


class OllamaOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The options under the adapter's type.

    `keep_alive` is how long the model stays in memory, as `5m` or in seconds, -1 for good. `num_ctx` is the context window in
    tokens; another one than the model was loaded with loads it again. `truncate: false` and `shift: false` make the server
    refuse what is longer than its window, instead of leaving the oldest out.
    """

    keep_alive: str | int | float | None = None
    truncate: bool | None = None
    shift: bool | None = None
    num_ctx: _Count | None = None
    num_keep: int | None = None
    num_batch: _Count | None = None
    num_gpu: int | None = None
    num_thread: int | None = None
    seed: int | None = None
    top_k: int | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    typical_p: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


BESIDE = ("keep_alive", "truncate", "shift")
"""Options that stand beside `options` in the body, not in it."""
_NONE = OllamaOptions()


def parse_options(request: CanonicalRequest, model: ModelSpec) -> OllamaOptions:
    """The request's options for this adapter type. Raises ProviderFailure (`invalid_request`) that names the field."""
    return parse_provider_options(request, model, OllamaOptions) or _NONE
