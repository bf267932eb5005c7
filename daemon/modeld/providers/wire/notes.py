"""Warnings of one encoding: each kind once, with how often and where first, so that a long history does not drown them."""

import msgspec

from modeld_protocol.usage import Warning


class Notes:
    """Collects warnings in order of first occurrence."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Warning] = {}

    def add(self, code: str, message: str, path: str) -> None:
        """`code` and `message` are one kind; `path` says where in the request."""
        known = self._found.get((code, message))
        if known is None:
            self._found[code, message] = Warning(code, message, path)
        else:
            known.detail = {"count": _count(known) + 1}

    def extend(self, later: "Notes") -> None:
        """Add what was noted elsewhere behind what is here; `later` stays as it is."""
        for kind, warning in later._found.items():
            known = self._found.get(kind)
            if known is None:
                self._found[kind] = msgspec.structs.replace(warning)
            else:
                known.detail = {"count": _count(known) + _count(warning)}

    def copy(self) -> "Notes":
        """The same once more."""
        copied = Notes()
        copied.extend(self)
        return copied

    def warnings(self) -> list[Warning]:
        """All of them."""
        return list(self._found.values())


def _count(warning: Warning) -> int:
    return (warning.detail or {"count": 1})["count"]
