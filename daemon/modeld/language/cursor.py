"""Where in the structure a cursor is, told from the lines before it alone: what is being written needn't be YAML yet."""

import re
from typing import NamedTuple

from .text import Text
from .tree import Path

_QUOTED = r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^']|'')*'"
_NAME = re.compile(rf"(?P<name>{_QUOTED}|[^\s#\[\]{{}},&*!|>'\"%@`-](?:[^:#]|:(?=\S)|(?<=\S)#)*?|-(?=\S)[^:#]*?)[ \t]*:(?=\s|$)")
_FLOW_TOKEN = re.compile(
    rf"(?P<comment>(?:^|(?<=\s))#.*)|(?P<quoted>{_QUOTED})|(?P<open_quote>[\"'].*)|(?P<mark>[\[\]{{}},]|:(?=[\s,\[\]{{}}]|$))"
    r"|(?P<plain>(?:[^\s,\[\]{}:\"'#]|:(?=[^\s,\[\]{}]))(?:[^,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=\S)#)*)|(?P<colon>:)"
)
_COMMENT = re.compile(r"(?:^|\s)#")
_TOP_NAME = re.compile(r"[^\s#\-\]}]")
_WORD_END = re.compile(r"[^\s,\[\]{}#\"']*")


class Cursor(NamedTuple):
    """What is being written at an index: the `path` of the mapping where a name is expected, else of the value. `word` is what
    of it stands before the cursor; `start` to `end` is what a completion replaces. `quoted` inside quotes, `flow` between
    brackets."""

    path: Path
    is_name: bool
    word: str
    start: int
    end: int
    quoted: bool = False
    flow: bool = False


class _Frame:
    """An open bracket: `name` is the name whose value is due, `due` whether its colon was there."""

    __slots__ = ("due", "is_list", "name")

    def __init__(self, *, is_list: bool) -> None:
        self.is_list = is_list
        self.name: str | None = None
        self.due = False


def cursor_at(text: Text, index: int) -> Cursor | None:
    """What is being written at `index`; None in comments and in texts of several lines."""
    line = text.line_of(index)
    scan = _Scan()
    for number in range(_first_line(text, line), line):
        scan.take(text.content[text.line_starts[number] : text.line_end(number)])
    start = text.line_starts[line]
    found = scan.cursor(text.content[start:index])
    if found is None:
        return None
    rest = text.content[index : text.line_end(line)]
    more = _WORD_END.match(rest)
    end = index + (more.end() if more else 0)
    if text.content[end - 1 : end] == ":" and end > index:
        end -= 1
    return found._replace(start=found.start + start, end=end)


def _first_line(text: Text, line: int) -> int:
    """The last line before that begins at the left edge: what is above it doesn't matter."""
    for number in range(line - 1, -1, -1):
        if _TOP_NAME.match(text.content, text.line_starts[number]):
            return number
    return 0


class _Scan:
    """Names by their indent, and open brackets, line by line."""

    def __init__(self) -> None:
        self._names: list[tuple[int, str | None]] = []
        self._frames: list[_Frame] = []
        self._literal: int | None = None  # the indent of a name whose value is a text of several lines

    def take(self, line: str) -> None:
        """A whole line."""
        self._read(line)

    def cursor(self, prefix: str) -> Cursor | None:
        """The line of the cursor, up to it."""
        if not prefix.strip() and not self._frames:
            return None if self._in_literal(prefix + "x") else self._on_blank(prefix)
        return self._read(prefix)

    def _on_blank(self, prefix: str) -> Cursor:
        self._leave(len(prefix), is_item=False)
        return Cursor(self._path(), True, "", len(prefix), len(prefix))

    def _read(self, line: str) -> Cursor | None:
        """Take a line in; what is being written at its end."""
        if self._frames:
            return self._read_flow(line, 0)
        content = line.lstrip(" ")
        if not content or content.startswith("#") or self._in_literal(line):
            return None
        return self._read_block(line, len(line) - len(content))

    def _in_literal(self, line: str) -> bool:
        if self._literal is None:
            return False
        if len(line) - len(line.lstrip(" ")) > self._literal:
            return True
        self._literal = None
        return False

    def _read_block(self, line: str, at: int) -> Cursor | None:
        is_item = line[at] == "-" and line[at + 1 : at + 2] in ("", " ", "\t")
        self._leave(at, is_item=is_item)
        while is_item:
            self._names.append((at, None))
            begin = at + 1
            at = begin + len(line[begin:]) - len(line[begin:].lstrip(" \t"))
            if at >= len(line):
                return Cursor(self._path(), False, "", len(line), len(line)) if at > begin else None
            is_item = line[at] == "-" and line[at + 1 : at + 2] in ("", " ", "\t")
        found = _NAME.match(line, at)
        if found is None:
            return self._read_value(line, at, is_name=bool(not self._names or self._names[-1][0] != at))
        self._names.append((at, _unquoted(found["name"])))
        return self._read_value(line, found.end(), is_name=False)

    def _read_value(self, line: str, at: int, *, is_name: bool) -> Cursor | None:
        begin = at + len(line[at:]) - len(line[at:].lstrip(" \t"))
        rest = line[begin:]
        if rest[:1] in ("|", ">"):
            self._literal = self._names[-1][0] if self._names else -1
            return None
        if rest[:1] in ("{", "["):
            return self._read_flow(line, begin)
        if rest[:1] in ('"', "'"):
            closed = re.match(_QUOTED, rest)
            return None if closed else Cursor(self._path(), is_name, rest[1:], begin + 1, begin + 1, quoted=True)
        if _COMMENT.search(rest):
            return None
        if is_name and self._names and self._names[-1][1] is None and self._names[-1][0] < at:
            is_name = False  # the first word of an item may be its value or a name
        return Cursor(self._path(), is_name, rest, begin, begin)

    def _leave(self, indent: int, *, is_item: bool) -> None:
        while self._names:
            at, name = self._names[-1]
            # A list may stand as far to the left as the name it belongs to.
            if at < indent or (is_item and at == indent and name is not None):
                return
            self._names.pop()

    def _path(self) -> Path:
        inner = [None if frame.is_list else frame.name for frame in self._frames if frame.is_list or frame.due]
        return (*(name for _, name in self._names), *inner)

    def _read_flow(self, line: str, at: int) -> Cursor | None:
        last = None
        while found := _FLOW_TOKEN.search(line, at):
            at = found.end()
            last = found
            if found["mark"] or found["colon"]:
                self._mark(found["mark"] or ":")
            elif found["quoted"] or found["plain"]:
                self._word(_unquoted(found[0].strip()))
            if not self._frames:
                return None
        return self._cursor_in_flow(line, last)

    def _cursor_in_flow(self, line: str, last: re.Match[str] | None) -> Cursor | None:
        frame = self._frames[-1]
        is_name = not frame.is_list and not frame.due
        if last is not None and last.end() == len(line):
            if last["comment"] or last["quoted"]:
                return None
            if last["plain"]:
                word = last["plain"].lstrip()
                return Cursor(self._path(), is_name, word, len(line) - len(word), 0, flow=True)
            if last["open_quote"]:
                word = last["open_quote"][1:]
                return Cursor(self._path(), is_name, word, len(line) - len(word), 0, quoted=True, flow=True)
        return Cursor(self._path(), is_name, "", len(line), 0, flow=True)

    def _mark(self, mark: str) -> None:
        if mark in "{[":
            self._frames.append(_Frame(is_list=mark == "["))
        elif mark in "}]":
            self._frames.pop()
        elif mark == ",":
            self._frames[-1].due, self._frames[-1].name = False, None
        elif not self._frames[-1].is_list and self._frames[-1].name is not None:
            self._frames[-1].due = True

    def _word(self, word: str) -> None:
        if self._frames and not self._frames[-1].due:
            self._frames[-1].name = word


def _unquoted(name: str) -> str:
    if name[:1] == '"':
        return name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return name[1:-1].replace("''", "'") if name[:1] == "'" else name
