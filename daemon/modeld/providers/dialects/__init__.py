"""Tools as text, for models without tools of their own: chosen by the quirk `tool_dialect`."""

from modeld_protocol.content import ToolResultBlock, ToolUseBlock
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.usage import Warning

from ..assembler import Assembler
from ..spec import ModelSpec
from . import fenced, tagged
from .assembler import DialectAssembler
from .contract import Dialect
from .render import offers_tools, render_request

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (tagged.DIALECT, fenced.DIALECT)}


def in_dialect(request: CanonicalRequest, spec: ModelSpec) -> tuple[CanonicalRequest, list[Warning]]:
    """The request as the model's wire is to encode it, and warnings; the request itself where there is nothing to rewrite."""
    dialect = DIALECTS.get(spec.quirks.tool_dialect)
    if dialect is None or not (request.tools or _holds_calls(request)):
        return request, []
    return render_request(request, dialect)


def assembler_for(request: CanonicalRequest, spec: ModelSpec, message_id: str, provider: str) -> Assembler:
    """The assembler of an answer to `request`; `provider` is the adapter's name."""
    dialect = DIALECTS.get(spec.quirks.tool_dialect)
    kind, name = spec.provider_type, spec.wire_name
    if dialect is None or not offers_tools(request):
        return Assembler(message_id, spec.id, provider, provider_type=kind, wire_name=name, quirks=spec.quirks)
    return DialectAssembler(dialect, message_id, spec.id, provider, provider_type=kind, wire_name=name, quirks=spec.quirks)


def _holds_calls(request: CanonicalRequest) -> bool:
    if isinstance(request.messages, str):
        return False
    blocks = (block for message in request.messages if not isinstance(message.content, str) for block in message.content)
    return any(isinstance(block, ToolUseBlock | ToolResultBlock) for block in blocks)


__all__ = ["DIALECTS", "Dialect", "DialectAssembler", "assembler_for", "in_dialect"]
