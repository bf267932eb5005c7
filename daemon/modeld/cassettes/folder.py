"""Cassettes on disk: reading and writing of their directories."""

from collections.abc import Iterator
from pathlib import Path

from .format import BODY, EXPECTED, REQUEST, RESPONSE, Cassette, CassetteInvalid, parse_cassette, render_cassette

MAX_FILE_BYTES = 64 * 1024 * 1024


def cassette_folders(root: Path) -> list[Path]:
    """The directories at or below `root` that hold a request.json, sorted: a cassette, a provider's, or all."""
    return sorted(file.parent for depth in ("", "*/", "*/*/") for file in root.glob(depth + REQUEST))


def read_cassette(folder: Path) -> Cassette:
    """The cassette of one directory, whose last two names are provider and case. Raises CassetteInvalid."""
    folder = folder.resolve()
    return parse_cassette(folder.parent.name, folder.name, dict(_files(folder)))


def read_cassettes(root: Path) -> list[Cassette]:
    """Every cassette at or below `root`. Raises CassetteInvalid."""
    return [read_cassette(folder) for folder in cassette_folders(root)]


def write_cassette(root: Path, cassette: Cassette) -> Path:
    """Write `<root>/<provider>/<case>/`, in place of what was there; returns the directory."""
    folder = root / cassette.provider / cassette.case
    folder.mkdir(parents=True, exist_ok=True)
    files = render_cassette(cassette)
    for stale in (file for file in folder.iterdir() if file.name.startswith(BODY) and file.name not in files):
        stale.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.iterdir()):
        if file.name in (REQUEST, RESPONSE, EXPECTED) or file.name.startswith(BODY):
            if file.stat().st_size > MAX_FILE_BYTES:
                raise CassetteInvalid(f"{file} is larger than {MAX_FILE_BYTES} bytes")
            yield file.name, file.read_bytes()
