"""Which pushes have been taken, for longer than the device runs: what comes again is known."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from omapush.errors import BadConfiguration

_LINE: Final = re.compile(rb"[0-9a-f]{32}")
_LENGTH: Final = 33
"Octets of one name with its line end."


class Memory(Protocol):
    """
    Names of pushes that an application has taken.

    A program that keeps its pushes in a database does best to keep these there, too, in the transaction in
    which the callback stores the push (`Push.names`), and has nothing to do in `add`: then nothing is shown
    twice, whenever the device dies.
    """

    async def knows(self, names: Sequence[str]) -> bool:
        """Tell whether the push was taken that has these names: one of them is enough."""

    async def add(self, names: Sequence[str]) -> None:
        """Keep the names of a push that was taken; it is accepted when this returns."""


class FileMemory:
    """
    A file with a line for each name; the newest `most` of them count.

    Killed at any moment it knows all names whose `add` had returned, and perhaps those of the last one. One
    process at a time can use a file; several receivers of that process may share it.
    """

    def __init__(self, path: Path | str, *, most: int = 10_000, sync: bool = True) -> None:
        """
        `sync`: `add` returns when the disk has it, which also outlasts a power cut.

        Raises:
            BadConfiguration: the file cannot be used, or another process uses it.
        """
        if most < 1:
            raise BadConfiguration("most", f"at least one name is needed, not {most}")
        self.path = Path(path)
        self._most = most
        self._sync = sync
        self._busy = threading.Lock()
        self._names: dict[str, None] = {}
        try:
            self._file = _opened(self.path)
            self._load()
        except OSError as error:
            raise BadConfiguration("memory", f"{path}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let another process use the file."""
        with self._busy:
            os.close(self._file)

    async def knows(self, names: Sequence[str]) -> bool:
        """Tell whether one of the names is among the newest."""
        return any(name in self._names for name in names)

    async def add(self, names: Sequence[str]) -> None:
        """Keep names of 32 hexadecimal digits; raises OSError: there is no room for them."""
        await asyncio.to_thread(self._add, names)

    def _add(self, names: Sequence[str]) -> None:
        with self._busy:
            if self._lines + len(names) > 2 * self._most:
                self._shorten()
            data = b"".join(name.encode() + b"\n" for name in names)
            try:
                if os.write(self._file, data) < len(data):
                    raise OSError(errno.ENOSPC, "no room")
            except OSError:
                os.ftruncate(self._file, self._lines * _LENGTH)
                raise
            if self._sync:
                os.fdatasync(self._file)
            self._lines += len(names)
            self._take(names)

    def _take(self, names: Sequence[str]) -> None:
        for name in names:
            self._names.pop(name, None)
            self._names[name] = None
        while len(self._names) > self._most:
            del self._names[next(iter(self._names))]

    def _load(self) -> None:
        """Take what is there; a line that a crash cut short, or that is none, is dropped."""
        lines = os.pread(self._file, os.fstat(self._file).st_size, 0).split(b"\n")
        whole = [line.decode() for line in lines[:-1] if _LINE.fullmatch(line)]
        self._take(whole)
        self._lines = len(whole)
        if lines[-1] or len(whole) < len(lines) - 1:
            self._shorten()

    def _shorten(self) -> None:
        """Write the newest names into a new file and give it the place of the old one."""
        new = self.path.with_name(f"{self.path.name}.new")
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(os.dup(file), "wb") as stream:
                stream.writelines(name.encode() + b"\n" for name in self._names)
            os.fsync(file)
            new.rename(self.path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._lines = file, len(self._names)


def _opened(path: Path) -> int:
    """Open and lock the file that stands there now, and not one whose place another has taken meanwhile."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except BlockingIOError:
            os.close(file)
            raise OSError(errno.EAGAIN, "another process uses it") from None
        except FileNotFoundError:
            pass
        os.close(file)
