"""Structured logs: one JSON object a line, context bound to child loggers, every line scrubbed of keys.

What is logged are ids, names, classes, counts and times. Bodies, prompts, reasoning and tool arguments never are.
Carried by the standard library's logging, below the logger `modeld`; quiet until `configure` opens it.
"""

import logging
import time
from typing import Any, TextIO

import msgspec

from ..credentials.redact import Redactor

LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 10,
}
_ROOT = logging.getLogger("modeld")
_ROOT.addHandler(logging.NullHandler())


def configure(level: str, stream: TextIO, redactor: Redactor) -> None:
    """Open the log: `level` and above goes to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonFormatter(redactor))
    _ROOT.handlers = [handler]
    _ROOT.setLevel(LEVELS[level])
    _ROOT.propagate = False
    logging.raiseExceptions = False  # a log that can't be written must not end the daemon, nor print what it held


class _JsonFormatter(logging.Formatter):
    """A record as JSON. A traceback is told by its places alone: what an exception says may quote what a client sent."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        entry = {
            "time": stamp,
            "level": record.levelname.lower(),
            "component": record.name.removeprefix("modeld."),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry |= _without_words(record.exc_info[1])
        return self._redactor.scrub(msgspec.json.encode(entry, enc_hook=str).decode())


def _without_words(error: BaseException) -> dict[str, Any]:
    """An exception's type, and the way to it, innermost last: `module.function:line`."""
    places: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{trace.tb_frame.f_globals.get('__name__', '?')}.{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return {"exception": type(error).__name__, "places": places[-12:]}


class Logger:
    """A logger with bound context; `child` binds more."""

    __slots__ = ("_context", "_enabled", "_logger")

    def __init__(self, logger: logging.Logger, context: dict[str, Any]) -> None:
        self._logger = logger
        self._enabled = logger.isEnabledFor
        self._context = context

    def child(self, **context: Any) -> "Logger":
        """A logger that says all this and `context`."""
        return Logger(self._logger, {**self._context, **context})

    def wants(self, level: str) -> bool:
        """Whether a line of this level would be written, for callers to whom its fields cost something."""
        return self._enabled(LEVELS[level])

    def debug(self, message: str, **fields: Any) -> None:
        """What only matters when something is being looked for."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """What happened."""
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """What may need a look."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, *, exception: BaseException | None = None, **fields: Any) -> None:
        """What went wrong on our side; of an `exception` its type and its places, never its words."""
        told = {} if exception is None else _without_words(exception)
        self._write(logging.ERROR, message, {**fields, **told})

    def _write(self, level: int, message: str, fields: dict[str, Any]) -> None:
        if self._enabled(level):
            said = {name: value for name, value in {**self._context, **fields}.items() if value is not None}
            self._logger.log(level, message, extra={"fields": said})


def logger(component: str, **context: Any) -> Logger:
    """The logger of one part of the daemon."""
    return Logger(logging.getLogger(f"modeld.{component}"), context)
