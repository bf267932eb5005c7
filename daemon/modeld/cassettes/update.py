"""`python -m modeld.cassettes.update`: makes what can be made of a cassette anew, and shows what that changes.

From the canonical request it makes method, path, headers and body; from the body it makes expected.json. A difference is a
change of behaviour: read it before it is committed.
"""

import argparse
import asyncio
import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from .folder import cassette_folders, read_cassette, write_cassette
from .format import BODY, RESPONSE, Cassette, CassetteInvalid, recut, render_cassette, render_json
from .golden import GoldenRun


def main(argv: Sequence[str] | None = None) -> int:
    """Update the cassettes that are named. Returns 1 where `--check` found a difference, or a cassette that is none."""
    options = _parser().parse_args(argv)
    folders = [folder for root in options.paths for folder in cassette_folders(root)]
    if not folders:
        print(f"no cassettes below {', '.join(map(str, options.paths))}; name a directory that holds some", file=sys.stderr)
        return 1
    changed = broken = 0
    for folder in folders:
        try:
            changed += _update(folder, options)
        except CassetteInvalid as error:
            broken += 1
            print(error, file=sys.stderr)
    verb = "would change" if options.check else "changed"
    print(f"{len(folders)} cassettes, {changed} {verb}, {broken} broken")
    return 1 if broken or (changed and options.check) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modeld.cassettes.update", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("cassettes")], help="cassettes, or directories of them")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where there is something to write")
    parser.add_argument("--recut", action="store_true", help="cut bodies anew, one chunk for each event")
    return parser


def _update(folder: Path, options: argparse.Namespace) -> bool:
    if options.recut:
        _recut(folder)
    cassette = read_cassette(folder)
    if cassette.request.canonical is None:
        return False
    fresh = asyncio.run(updated(cassette))
    difference = "".join(_difference(cassette, fresh))
    if not difference:
        return False
    print(difference)
    if not options.check:
        write_cassette(folder.resolve().parent.parent, fresh)
    return True


def _recut(folder: Path) -> None:
    """Chunks that fit a body that was edited; a cassette whose chunks don't is none, so this goes by its files."""
    file = folder / RESPONSE
    body = next(iter(folder.glob(BODY + "*"))).read_bytes()
    fields = msgspec.json.decode(file.read_bytes())
    chunks = recut(body)
    if sum(size for size, _ in fields.get("chunks", [])) != len(body) or not fields.get("chunks"):
        fields.pop("chunks", None)
        file.write_bytes(render_json({**fields, "chunks": chunks} if chunks else fields))


async def updated(cassette: Cassette) -> Cassette:
    """The cassette with what its canonical request and its body make today. Raises CassetteInvalid."""
    run = GoldenRun(cassette)
    outcome = await run.play()
    sent = run.sent
    if sent is None:
        raise CassetteInvalid(f"{cassette.name}: the request was refused before it was sent: {outcome.failure}")
    request = msgspec.structs.replace(
        cassette.request,
        method=sent.method,
        path=sent.path,
        headers=sent.headers,
        body=msgspec.json.decode(sent.body) if sent.body else None,
    )
    return msgspec.structs.replace(cassette, request=request, expected=msgspec.to_builtins(outcome))


def _difference(old: Cassette, new: Cassette) -> Iterator[str]:
    before, after = render_cassette(old), render_cassette(new)
    for name in after:
        if before.get(name) == after[name]:
            continue
        old_lines, new_lines = (_lines(files.get(name, b"")) for files in (before, after))
        yield from difflib.unified_diff(old_lines, new_lines, f"{old.name}/{name}", f"{new.name}/{name}", n=1)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines(keepends=True)


if __name__ == "__main__":
    sys.exit(main())
