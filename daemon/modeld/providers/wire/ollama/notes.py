"""Warnings of one encoding: each kind once, with how often and where first, so that a long history does not drown them."""

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
            known.detail = {"count": (known.detail or {"count": 1})["count"] + 1}

    def warnings(self) -> list[Warning]:
        """All of them."""
        return list(self._found.values())
