"""Content parts of the Chat Completions wire: text, images, audio and files of user messages.

https://developers.openai.com/api/docs/guides/images-vision, …/audio, …/pdf-files (2026-11-20).
"""

from typing import Any, NoReturn

from modeld_protocol.content import AudioBlock, Base64Source, FileBlock, FileIdSource, ImageBlock, MediaBlock, UrlSource

from ...failure import ProviderFailure
from ...spec import Quirks
from ..media import parse_data_url, plain_media_type, sniff_media_type
from ..openai_shared.inline_media import DETAILS, default_filename, inline_data_url, standard_base64

Part = dict[str, Any]

_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def encode_media(block: MediaBlock, path: str, quirks: Quirks) -> Part:
    """One media block as a part. Raises ProviderFailure for a source that this wire does not take."""
    if isinstance(block, ImageBlock):
        return _encode_image(block, path, quirks)
    return _encode_audio(block, path) if isinstance(block, AudioBlock) else _encode_file(block, path)


def _encode_image(block: ImageBlock, path: str, quirks: Quirks) -> Part:
    source = block.source
    if isinstance(source, FileIdSource):
        if quirks.image_file_part:
            return {"type": "file", "file_id": source.file_id}
        if quirks.image_file_url is None:
            _refuse(path, "this wire takes no images by file id; give the image as base64 or as a URL")
        url = quirks.image_file_url + source.file_id.removeprefix(quirks.image_file_url)
    else:
        url = source.url if isinstance(source, UrlSource) else inline_data_url(block, source, path)
    image = {"url": url}
    if block.detail in DETAILS:
        image["detail"] = block.detail
    return {"type": "image_url", "image_url": image}


def _encode_audio(block: AudioBlock, path: str) -> Part:
    source, declared = block.source, block.media_type
    if isinstance(source, UrlSource):
        inline = parse_data_url(source.url)
        if inline is None:
            _refuse(path, "this wire takes no audio by URL; give it as base64")
        declared, source = inline.media_type or declared, Base64Source(inline.data)
    if isinstance(source, FileIdSource):
        _refuse(path, "this wire takes no audio by file id; give it as base64")
    data = standard_base64(source.data)
    kind = _AUDIO_FORMATS.get(plain_media_type(declared) or sniff_media_type(data) or "")
    if kind is None:
        _refuse(path, "this wire takes audio as wav or mp3 only; convert it, and name its media_type")
    return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


def _encode_file(block: FileBlock, path: str) -> Part:
    source = block.source
    if isinstance(source, FileIdSource):
        return {"type": "file", "file": {"file_id": source.file_id}}
    if isinstance(source, UrlSource):
        inline = parse_data_url(source.url)
        if inline is None:
            _refuse(path, "this wire takes no files by URL; give the file as base64 or as a file id")
        block = FileBlock(Base64Source(inline.data), inline.media_type or block.media_type, block.filename)
        source = Base64Source(inline.data)
    url = inline_data_url(block, source, path)
    name = block.filename or default_filename(url)
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _refuse(path: str, message: str) -> NoReturn:
    raise ProviderFailure("capability_mismatch", f"{path}: {message}")
