"""The ledger's journal: an append-only file of one process, for rows that are on their way into the store.

One `write` each, a few microseconds, no waiting: what was written is the operating system's, and no death of this process loses
it. The owner holds a lock on its file. A journal that nobody holds is that of a process that died; whoever finds it takes its
records over and removes it. Records are written into the store so that twice is as good as once.

A file is a line that names its format, then frames: the length of the payload and its CRC-32 (32 bits each, little-endian), and
the payload, a MessagePack array of the record's number and its values. The first frame that isn't whole ends the file.
"""

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

MAGIC = b"modeld calls 1\n"
SUFFIX = ".journal"
_PREFIX = "calls-"
_TRIES = 8  # to make a file: another process may take a new one for one that was left behind
_HEAD = struct.Struct("<II")
_pack = _HEAD.pack
_crc32 = zlib.crc32
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC

Record = tuple[int, tuple[Any, ...]]
"""A record's number, which says what it is, and its values."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def decode_records(data: bytes) -> Iterator[Record]:
    """The records of a file, up to the first that isn't whole. Never raises; a file of another format has none."""
    if not data.startswith(MAGIC):
        return
    at, end = len(MAGIC), len(data)
    while end - at > _HEAD.size:
        length, checksum = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        if not length or len(payload) < length or _crc32(payload) != checksum:
            return
        try:
            yield _decode(payload)
        except msgspec.DecodeError:
            return
        at += _HEAD.size + length


class Journal:
    """The journal of this process, open and locked."""

    __slots__ = ("_broken", "_file", "_length", "path")

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file
        self._length = len(MAGIC)
        self._broken = False

    def append(self, record: Record) -> bool:
        """Write one record. False where it can't be written, in which case nothing of it is in the file."""
        if self._broken:
            return False
        try:
            payload = _encode(record)
            written = os.write(self._file, _pack(len(payload), _crc32(payload)) + payload)
        except (OSError, ValueError, OverflowError, TypeError):  # the disk's fault; or a value that has no place in a record
            return False
        if written < len(payload) + _HEAD.size:
            self._cut(self._length)
            return False
        self._length += written
        return True

    def clear(self) -> None:
        """Everything in it is in the store."""
        if self._broken or self._length > len(MAGIC):
            self._cut(len(MAGIC))

    def _cut(self, length: int) -> None:
        """Cut the file; where that fails nothing may follow what is there, because it would not be found."""
        try:
            os.ftruncate(self._file, length)
            self._length = length
            self._broken = False
        except OSError:
            self._broken = True

    def close(self) -> None:
        """Let go of it; an empty one is removed. Harmless twice."""
        file, self._file = self._file, -1
        if file < 0:
            return
        self._broken = True
        if self._length == len(MAGIC):
            self.path.unlink(missing_ok=True)
        os.close(file)


class Left:
    """The journal of another process: `records` are what it holds now. `lock` is a file where that process is dead."""

    __slots__ = ("_lock", "_path", "records")

    def __init__(self, path: Path, records: list[Record], lock: int | None) -> None:
        self.records = records
        self._path = path
        self._lock = lock

    def close(self, *, taken_over: bool) -> None:
        """Let go of it; that of a dead process is removed once everything in it is taken over."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if taken_over:
            self._path.unlink(missing_ok=True)
        os.close(lock)


class Journals:
    """The journals of one directory, of which `name` is this process's."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._own = f"{_PREFIX}{name}{SUFFIX}"

    def open(self) -> Journal:
        """Make this process's own. Raises OSError."""
        path = self._directory / self._own
        for _ in range(_TRIES):
            file = os.open(path, _FLAGS | os.O_CREAT, 0o600)
            try:
                if _locked(file) and os.fstat(file).st_nlink:
                    _begin(file)
                    return Journal(path, file)
            except OSError:
                os.close(file)  # its lock would keep the next try away
                raise
            os.close(file)
        raise OSError(f"{path} is held by another process")

    def others(self) -> list[Left]:
        """Those of other processes, the dead ones' locked until they are closed. One that can't be read waits for better days."""
        found: list[Left] = []
        with os.scandir(self._directory) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(_PREFIX) and entry.name.endswith(SUFFIX)]
        for name in sorted(names):
            left = None if name == self._own else _look(self._directory / name)
            if left is not None:
                found.append(left)
        return found


def _look(path: Path) -> Left | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        dead = _locked(file)
        data = _read_all(file)
        # That of a newer modeld stays for a newer modeld; a power failure may leave zeros, or less than a first line.
        known = data.startswith(MAGIC) or MAGIC.startswith(data) or not data.strip(b"\0")
        left = Left(path, list(decode_records(data)), file if dead and known else None)
    except OSError:
        os.close(file)
        return None
    if not (dead and known):
        os.close(file)
    return left


def _begin(file: int) -> None:
    os.ftruncate(file, 0)
    if os.write(file, MAGIC) < len(MAGIC):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read_all(file: int) -> bytes:
    pieces: list[bytes] = []
    while piece := os.read(file, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
