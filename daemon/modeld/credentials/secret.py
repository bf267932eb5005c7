"""Secrets that can't be printed, and credentials that know where they may go."""

from typing import NoReturn

import msgspec


class Secret:
    """A value without a repr, a format or a pickle; `reveal` is called by the upstream client alone."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "…"

    def __format__(self, spec: str) -> str:
        return "…"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")


class Credential(msgspec.Struct, frozen=True):
    """A secret, the header that carries it, and the origins (`scheme://host:port`) that it may be sent to.

    `prefix` stands before the value (`Bearer `). `source` says in words where the value came from, for people.
    """

    secret: Secret
    header: str
    prefix: str
    allowed_origins: frozenset[str]
    source: str
