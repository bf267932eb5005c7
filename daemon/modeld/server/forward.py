"""`modeld --stdio`: copies bytes between stdin and stdout and the shared daemon. Standard library only: it starts in no time.

Two threads with blocking calls, one for each direction: stdin and stdout may be pipes, sockets, files or terminals that other
processes share, so they can't be made non-blocking; and a single thread that blocks in a write while its peer does the same
would never come back. What is in flight is one piece in each direction.
"""

import _thread
import contextlib
import os
import socket
import sys
import time
from collections.abc import Sequence

EXIT_WITHOUT_SHUTDOWN = 1
EXIT_CONNECTION_LOST = 5
EXIT_NO_DAEMON = 6

PIECE_BYTES = 128 * 1024
START_TIMEOUT_S = 8.0  # an editor gives up after ten
ANSWER_WAIT_S = 0.5  # for a request that is on its way when no daemon can be had
REQUEST_FAILED = -32803  # as in modeld_protocol.errors, which is too much to import here
FIRST_ANSWER_S = 5.0  # to the first message, which a daemon that lives answers at once
FINISH_S = 5.0  # for the daemon to answer what was asked before the input ended
MAX_WATCHED_BYTES = 1024  # shutdown and exit are short; larger messages are passed on unread
MAX_HEADER_BYTES = 4096


class LifecycleWatch:
    """Follows the client's messages just enough to know whether `exit` came, and `shutdown` before it.

    Bytes that are no frames end the watching; the daemon will say what is wrong with them.
    """

    def __init__(self) -> None:
        self.shut_down = False
        self.exited = False
        self._pending: bytes = b""
        self._skip: int = 0
        self._lost = False

    @property
    def between_messages(self) -> bool:
        """Whether all that came is whole messages."""
        return not self._skip and not self._pending and not self._lost

    def feed(self, data: bytes) -> None:
        """Watch the next bytes from the client."""
        if self._skip >= len(data) or self._lost:
            self._skip -= len(data)
            return
        start, self._skip = self._skip, 0
        data, self._pending = self._pending + data, b""
        while start < len(data):
            end = data.find(b"\r\n\r\n", start, start + MAX_HEADER_BYTES)
            if end < 0:
                self._lost = len(data) - start > MAX_HEADER_BYTES
                break
            length = _content_length(data[start:end])
            if length is None:
                self._lost = True
                break
            stop = end + 4 + length
            if length <= MAX_WATCHED_BYTES:
                if stop > len(data):
                    break
                self._judge(data[end + 4 : stop])
            start = stop
        self._skip = max(0, start - len(data))
        self._pending = b"" if self._lost else data[start:]

    def _judge(self, body: bytes) -> None:
        if b'"exit"' not in body and b'"shutdown"' not in body:
            return
        import json

        try:
            method = json.loads(body)["method"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if method == "exit":
            self.exited = True
        elif method == "shutdown" and not self.exited:
            self.shut_down = True


class Forwarder:
    """Copies until either side ends; `run` gives the exit code."""

    def __init__(self, daemon: socket.socket, input_file: int = 0, output_file: int = 1) -> None:
        self._daemon = daemon
        self._input_file = input_file
        self._output_file = output_file
        self._watch = LifecycleWatch()
        self._input_ended = False
        self._asked = False
        self._answered = False

    def run(self) -> int:
        """0 after shutdown and exit (or the end of the input), 1 without shutdown, EXIT_CONNECTION_LOST when the daemon left."""
        _thread.start_new_thread(self._copy_in, ())
        reader_gone = not self._copy_out()
        if reader_gone or self._input_ended or self._watch.exited:
            return self._lsp_exit_code()
        _say("the connection to the daemon was lost; restart the client to connect again, `modeld doctor` looks for the cause")
        return EXIT_CONNECTION_LOST

    def _lsp_exit_code(self) -> int:
        return 0 if self._watch.shut_down else EXIT_WITHOUT_SHUTDOWN

    def _copy_in(self) -> None:
        try:
            while data := self._read_input():
                self._watch.feed(data)
                self._daemon.sendall(data)
                if not self._asked and self._watch.between_messages:
                    self._asked = True
                    _thread.start_new_thread(self._await_first_answer, ())
        except OSError:  # the daemon is gone: the other thread sees that too
            return
        self._input_ended = True
        with contextlib.suppress(OSError):
            self._daemon.shutdown(socket.SHUT_WR)
        # The daemon delivers what it has and closes; one that hangs doesn't keep this process.
        time.sleep(FINISH_S)
        os._exit(self._lsp_exit_code())

    def _await_first_answer(self) -> None:
        """A daemon that hangs, or a stranger on its socket, takes what it is sent and says nothing."""
        time.sleep(FIRST_ANSWER_S)
        if not self._answered:
            _say("the daemon does not answer; end it with `modeld stop --force` or kill it, then restart the client")
            os._exit(EXIT_NO_DAEMON)

    def _read_input(self) -> bytes:
        try:
            return os.read(self._input_file, PIECE_BYTES)
        except OSError:  # a terminal that was closed
            return b""

    def _copy_out(self) -> bool:
        """Copy the daemon's answers until it closes; False when nobody reads them any more."""
        while data := self._receive():
            self._answered = True
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(self._output_file, rest) :]
            except OSError:
                return False
        return True

    def _receive(self) -> bytes:
        try:
            return self._daemon.recv(PIECE_BYTES)
        except OSError:
            return b""


def forward(path: str, arguments: Sequence[str] = (), timeout_s: float = START_TIMEOUT_S) -> int:
    """Connect stdin and stdout to the daemon at `path`, starting it with `arguments` where there is none. Returns the exit code;
    when no daemon can be had, EXIT_NO_DAEMON, with the reason and the next step on stderr."""
    from modeld_client.errors import DaemonUnavailable
    from modeld_client.launch import connect_or_start

    try:
        daemon = connect_or_start(path, arguments, timeout_s)
    except DaemonUnavailable as error:
        _say(str(error))
        _answer_waiting_request(str(error))
        return EXIT_NO_DAEMON
    with daemon:
        return Forwarder(daemon).run()


# The other fields of modeld_protocol.errors.ErrorData: a failed request has them all.
_NO_DETAILS = dict.fromkeys(
    (
        "provider",
        "model",
        "provider_status",
        "provider_message",
        "retry_after_seconds",
        "request_id",
        "provider_request_id",
        "partial",
    )
)


def _answer_waiting_request(reason: str) -> None:
    """Tell the client too: its first request, usually `initialize`, gets a typed error. Editors show that, not stderr."""
    import json
    import select
    from typing import cast

    try:
        if not select.select([0], [], [], ANSWER_WAIT_S)[0]:
            return
        head, _, body = os.read(0, PIECE_BYTES).partition(b"\r\n\r\n")
        request: object = json.loads(body[: _content_length(head) or 0])
        rpc_id: object = cast("dict[str, object]", request).get("id") if isinstance(request, dict) else None
        if not isinstance(rpc_id, (int, str)):
            return
        data = {**_NO_DETAILS, "error_class": "other", "message": reason, "retryable": True, "reason": "no_daemon"}
        error = {"code": REQUEST_FAILED, "message": reason, "data": data}
        answer = json.dumps({"jsonrpc": "2.0", "id": rpc_id, "error": error}).encode()
        os.write(1, b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer))
    except (OSError, ValueError, RecursionError):  # nobody asked, or not in a way that can be answered
        return


def _content_length(block: bytes) -> int | None:
    for line in block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            digits = value.strip()
            return int(digits) if digits.isdigit() and len(digits) <= 18 else None
    return None


def _say(message: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"modeld: {message}\n")
        sys.stderr.flush()
