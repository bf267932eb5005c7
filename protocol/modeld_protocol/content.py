"""Messages and the content blocks they are made of: the vendor-neutral record of a conversation."""

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]

ProviderRaw = dict[str, Any]
"""Opaque provider state of one block, replayed byte for byte to where it came from and to nobody else.

Keys that the daemon writes: `provider` (adapter type), `model` (wire name) and the provider's own fields
(`signature`, `data`, …). Clients store it and give it back unchanged.
"""


class _Block(msgspec.Struct, tag_field="type", omit_defaults=True):
    """Base of every content block; the tag field is `type`."""


class TextBlock(_Block, tag="text"):
    """Text. `provider_raw` holds state that belongs to it (a signature, a phase)."""

    text: str
    provider_raw: ProviderRaw | None = None


class JsonBlock(_Block, tag="json"):
    """A JSON value."""

    value: Any


class RefusalBlock(_Block, tag="refusal"):
    """The words in which a model declined."""

    text: str


class ThinkingBlock(_Block, tag="thinking"):
    """Reasoning as text. `text` may be empty while `provider_raw` holds a signature: both must be kept."""

    text: str = msgspec.field(default_factory=str)  # unlike a plain default it is written out where it is empty
    provider_raw: ProviderRaw | None = None


class RedactedThinkingBlock(_Block, tag="redacted_thinking"):
    """Reasoning that the provider keeps to itself; only `provider_raw` is there."""

    provider_raw: ProviderRaw


class OpaqueBlock(_Block, tag="opaque"):
    """A provider's own block without a canonical form (a hosted tool's call or result).

    Goes back unchanged to the wire that made it, so that a paused turn can be resumed; dropped with a warning elsewhere.
    """

    provider_raw: ProviderRaw


class Base64Source(msgspec.Struct, tag_field="kind", tag="base64"):
    """The bytes themselves, in base64."""

    data: str


class UrlSource(msgspec.Struct, tag_field="kind", tag="url"):
    """Where the provider fetches it; the daemon never does."""

    url: str


class FileIdSource(msgspec.Struct, tag_field="kind", tag="file_id", omit_defaults=True):
    """A file that a provider has, and no other. `provider` is the name of the one that keeps it, as `file/upload` gave it; where
    it is left out the daemon goes by the ids that it has seen. Never sent on."""

    file_id: str
    provider: str | None = None


Source = Base64Source | UrlSource | FileIdSource


class ImageBlock(_Block, tag="image"):
    """An image; `detail` is low, high or auto where the provider knows it."""

    source: Source
    media_type: str | None = None
    filename: str | None = None
    detail: str | None = None


class AudioBlock(_Block, tag="audio"):
    """Sound."""

    source: Source
    media_type: str | None = None
    filename: str | None = None
    detail: str | None = None


class FileBlock(_Block, tag="file"):
    """A document."""

    source: Source
    media_type: str | None = None
    filename: str | None = None
    detail: str | None = None


MediaBlock = ImageBlock | AudioBlock | FileBlock


class ToolUseBlock(_Block, tag="tool_use"):
    """A call the model makes. Calls emitted together carry the same `group`."""

    id: str
    name: str
    input: dict[str, Any]
    group: str | None = None
    provider_raw: ProviderRaw | None = None


ResultBlock = TextBlock | JsonBlock | ImageBlock | AudioBlock | FileBlock
"""What a tool result may hold; results do not nest."""


class ToolResultBlock(_Block, tag="tool_result"):
    """What a tool gave back for one call."""

    tool_use_id: str
    content: str | list[ResultBlock]
    is_error: bool = False


Block = (
    TextBlock
    | JsonBlock
    | RefusalBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | OpaqueBlock
    | ImageBlock
    | AudioBlock
    | FileBlock
    | ToolUseBlock
    | ToolResultBlock
)


class Message(msgspec.Struct, omit_defaults=True):
    """One message. `content` may be given as a string, which stands for one text block."""

    role: Role
    content: str | list[Block]
    id: str | None = None
    metadata: dict[str, Any] | None = None

    def blocks(self) -> list[Block]:
        """The content as blocks, whichever way it was given."""
        return [TextBlock(self.content)] if isinstance(self.content, str) else self.content
