"""Files of event data records: the current one, and closed ones that never change again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from omapush import clock
from omapush.errors import PushError

_OPEN: Final = "results.jsonl"
_CLOSED: Final = "results-*.jsonl"
_TAIL: Final = 4_194_304
"Number of bytes at the end of the open file that are read when it is opened again."


class NotWritten(PushError):
    """A file of event data records cannot be written."""


class RecordFiles:
    """The files of one folder; only one process of a machine uses them at a time."""

    def __init__(self, folder: Path, *, rotate_bytes: int, rotate_s: int, keep_files: int) -> None:
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._rotate_s = rotate_s
        self._keep = keep_files
        self._lock = -1
        self._file = -1
        self._opened_ms = 0
        self._number = 0
        "Of the file closed last, so that names sort by age within a second, too."

    def take(self) -> bool:
        """
        Become the process that writes here; False: another process of this machine does.

        Raises:
            NotWritten: the folder cannot be made or opened.
        """
        if self._lock >= 0:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            raise NotWritten(f"{self._folder}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def last_lines(self) -> list[bytes]:
        """
        Return the last lines of the open file, after a torn one was cut off: its record is written again.

        A process that was killed between writing and noting that it did so finds here what it wrote.
        """
        file = self._folder / _OPEN
        try:
            if not file.exists():
                return []
            with file.open("r+b") as opened:
                size = opened.seek(0, os.SEEK_END)
                opened.seek(max(0, size - _TAIL))
                tail = opened.read()
                torn = len(tail) - (tail.rfind(b"\n") + 1)
                if torn:
                    opened.truncate(size - torn)
            lines = tail[: len(tail) - torn].splitlines()
            return lines if size <= _TAIL else lines[1:]
        except OSError as error:
            raise NotWritten(f"{file}: {error.strerror}") from error

    def append(self, lines: Sequence[bytes]) -> None:
        """
        Write lines, each with its line end; they are on the disk afterwards.

        Raises:
            NotWritten: not all of them are; the file is cut back to what it was, as far as that is possible.
        """
        try:
            self._rotate()
            if self._file < 0:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                self._file = os.open(self._folder / _OPEN, flags, 0o640)
                self._opened_ms = clock.now_ms()
            before = self._size()
            try:
                data = b"".join(lines)
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, before)
                raise
        except OSError as error:
            self._close_file()
            raise NotWritten(f"{self._folder / _OPEN}: {error.strerror}") from error

    def close(self) -> None:
        """Release the files for another process."""
        self._close_file()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _rotate(self) -> None:
        """Close the file if it is full or old, unless it is empty."""
        if self._file < 0 or not self._size():
            return
        now_ms = clock.now_ms()
        if self._size() < self._rotate_bytes and now_ms - self._opened_ms < self._rotate_s * 1000:
            return
        self._close_file()
        stamp = clock.iso(now_ms)[:19].replace("-", "").replace(":", "") + "Z"
        self._number += 1
        while (closed := self._folder / f"results-{stamp}-{self._number:04d}.jsonl").exists():
            self._number += 1
        (self._folder / _OPEN).rename(closed)
        if self._keep:
            for old in sorted(self._folder.glob(_CLOSED))[: -self._keep]:
                old.unlink()
