"""Token counts by the provider, where a relative of the chat wire has an endpoint for them.

`POST <count_path>` with model, messages and tools; the answer is `{"data": {"total_tokens": N}}`, or
`{"usage": {"total_tokens": N}}`. https://platform.kimi.ai/docs/api/estimate,
https://docs.z.ai/api-reference/tools/tokenizer (2026-11-20)
"""

from typing import Any, cast

import msgspec

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import Encoded
from ..loose_json import parse_json, whole_number
from ..openai_shared.errors import decode_failure
from .request import encode_request


def encode_count(params: TokenCountParams, model: ModelSpec) -> Encoded | None:
    """The count request, None where the provider has none. The messages are those that a call would send."""
    path = model.quirks.count_path
    if path is None:
        return None
    asked = CanonicalRequest(params.messages, system_prompt=params.system_prompt, tools=params.tools)
    whole = msgspec.json.decode(encode_request(asked, model, stream=False).body, type=dict[str, msgspec.Raw])
    counted = {name: whole[name] for name in ("model", "messages", "tools") if name in whole}
    return Encoded(path, msgspec.json.encode(counted))


def decode_count(body: bytes) -> int:
    """The count. Raises ProviderFailure for what is none."""
    try:
        value: Any = parse_json(body)[0]
    except ValueError:
        raise decode_failure(200, {}, body) from None
    whole = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    for found in (whole, whole.get("data"), whole.get("usage")):
        if isinstance(found, dict):
            counts = cast("dict[str, Any]", found)
            count = whole_number(counts.get("total_tokens", counts.get("prompt_tokens")))
            if count is not None and count >= 0:
                return count
    raise ProviderFailure("server_error", "the provider's token count holds no count; model/estimateTokens counts locally")
