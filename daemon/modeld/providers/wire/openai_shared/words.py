"""The words of a history: what a message says as text, and the system prompt that goes before all of it."""

import msgspec

from modeld_protocol.content import JsonBlock, Message, RefusalBlock, TextBlock

from ..notes import Notes

BETWEEN = "\n\n"  # of blocks that a client wrote apart; an assistant's own text blocks are one text that was interrupted
_encode_json = msgspec.json.Encoder().encode


def json_text(value: object) -> str:
    """A JSON value as text."""
    return _encode_json(value).decode()


def drop_block(block: object, path: str, notes: Notes) -> None:
    """Say that a block was left out."""
    kind = str(getattr(block, "__struct_config__").tag)  # noqa: B009  # the type checker knows no such attribute
    notes.add("content_dropped", f"{kind} has no place here on this wire; it was left out", path)


def text_of(message: Message, number: int, notes: Notes) -> str:
    """The text of a message that can hold nothing else."""
    if isinstance(message.content, str):
        return message.content
    texts: list[str] = []
    for place, block in enumerate(message.content):
        if isinstance(block, TextBlock | RefusalBlock):
            texts.append(block.text)
        elif isinstance(block, JsonBlock):
            texts.append(json_text(block.value))
        else:
            drop_block(block, f"messages[{number}].content[{place}]", notes)
    return BETWEEN.join(texts)


def system_words(prompt: str | None, messages: list[Message], notes: Notes, *, anywhere: bool) -> tuple[str, int]:
    """The system prompt and leading system messages as one text, with later ones where the model takes none between others
    (`anywhere` off), and where the rest of the messages begins."""
    texts = [prompt] if prompt else []
    start = 0
    while start < len(messages) and messages[start].role == "system":
        texts.append(text_of(messages[start], start, notes))
        start += 1
    if not anywhere:
        for number in range(start, len(messages)):
            if messages[number].role == "system":
                notes.add("content_projected", "this model takes system messages at the front only", f"messages[{number}]")
                texts.append(text_of(messages[number], number, notes))
    return BETWEEN.join(text for text in texts if text), start
