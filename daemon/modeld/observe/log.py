"""Structured logs: one JSON object a line on stderr, context bound to child loggers, every line scrubbed of keys.

What is logged are ids, names, classes, counts and times. Bodies, prompts, reasoning and tool arguments never are.
"""

import sys
import time
from typing import Any, Literal, TextIO

import msgspec

from ..credentials.redact import Redactor

Level = Literal["debug", "info", "warning", "error"]
LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "off": 100}


class _Sink:
    """Where the lines of this process go; set once by the application, quiet until then."""

    threshold = LEVELS["off"]
    stream: TextIO = sys.stderr
    redactor: Redactor | None = None


def configure(level: str, stream: TextIO, redactor: Redactor) -> None:
    """Open the log: `level` and above goes to `stream`."""
    _Sink.threshold = LEVELS[level]
    _Sink.stream = stream
    _Sink.redactor = redactor


class Logger:
    """A logger with bound context; `child` binds more."""

    __slots__ = ("_context",)

    def __init__(self, context: dict[str, Any]) -> None:
        self._context = context

    def child(self, **context: Any) -> "Logger":
        """A logger that says all this and `context`."""
        return Logger({**self._context, **context})

    def debug(self, message: str, **fields: Any) -> None:
        """What only matters when something is being looked for."""
        self._write("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """What happened."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """What may need a look."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """What went wrong on our side."""
        self._write("error", message, fields)

    def _write(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < _Sink.threshold:
            return
        line = _line(level, message, {**self._context, **fields})
        if _Sink.redactor is not None:
            line = _Sink.redactor.scrub(line)
        try:
            _Sink.stream.write(line + "\n")
            _Sink.stream.flush()
        except (OSError, ValueError):
            return  # a log that can't be written must not end the daemon


def _line(level: Level, message: str, fields: dict[str, Any]) -> str:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    record = {"time": stamp, "level": level, "message": message, **{k: v for k, v in fields.items() if v is not None}}
    return msgspec.json.encode(record, enc_hook=str).decode()


def logger(component: str) -> Logger:
    """The logger of one part of the daemon."""
    return Logger({"component": component})
