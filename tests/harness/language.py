"""Texts of models.yaml with a mark in them, looked at without a daemon."""

from functools import cache
from typing import Any

import msgspec

from modeld.cli.surroundings import surroundings
from modeld.language.analysis import Analysis, Knowledge, analyse, knowledge_of
from modeld.language.text import Change, Encoding, apply, text_of

MARK = "¦"
ENV = {"OPENAI_API_KEY": "sk-canary-0123456789", "OTHER_API_KEY": "x"}


@cache
def knowledge() -> Knowledge:
    """The real catalog, and an environment of our own."""
    return knowledge_of(msgspec.structs.replace(surroundings(), env=ENV))


def without_mark(marked: str) -> tuple[str, int]:
    """The text, and where its mark was."""
    index = marked.index(MARK)
    return marked.replace(MARK, "", 1), index


def analysis_of(text: str, encoding: Encoding = "utf-16") -> Analysis:
    """What there is to know of a text."""
    return analyse(text_of(text), encoding, knowledge())


def apply_edits(text: str, edits: list[Any], encoding: Encoding = "utf-16") -> str:
    """The text after edits that all count in it, as an editor makes them."""
    changed = text_of(text)
    for edit in sorted(edits, key=lambda edit: edit.range.start, reverse=True):
        changed = apply(changed, [Change(edit.new_text, edit.range)], encoding)
    return changed.content
