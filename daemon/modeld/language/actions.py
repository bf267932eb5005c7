"""Mending the common mistakes: each problem of the checker that has an obvious cure, with the edit that makes it."""

from . import lsp
from .analysis import Analysis
from .text import Range


def actions(analysis: Analysis, uri: str, where: Range) -> list[lsp.CodeAction]:
    """The cures for the problems in a range."""
    return []
