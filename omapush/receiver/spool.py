"""A content on its way into a file: written where it belongs, hashed as it comes, kept when interrupted."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from omapush.protocol.octet_ranges import OctetRanges

_PIECE: Final = 1_048_576


class Spool:
    """One file that grows. Positions are counted from 0."""

    def __init__(self, path: Path, *, resumes: bool = False) -> None:
        """
        `resumes`: go on with what an earlier transfer left under this name.

        Raises:
            OSError: no such folder, no room; BlockingIOError: somebody else writes this file.
        """
        self.path = path
        self._resumes = resumes
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if resumes else os.O_EXCL)
        self._file = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise
        self.is_open = True
        self._reading = threading.Lock()
        "Held while another thread reads the file, so that it is not closed under its hands."
        kept = os.fstat(self._file).st_size
        self._have = OctetRanges()
        self._have.add(1, kept)
        self._end = kept
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._hashed = 0
        "How far from the beginning the running hash goes; -1: octets behind it were written over."

    @property
    def prefix(self) -> int:
        """Octets from the beginning without a gap."""
        return self._have.prefix

    def has_all(self, total: int) -> bool:
        """Tell whether the first `total` octets are there, and no others."""
        return self.prefix == total == self._end

    def write(self, at: int, data: bytes | memoryview) -> None:
        """
        Put octets where they belong; those that were there already are replaced (RFC 4975 7.3.1).

        Raises OSError: no room.
        """
        if not data:
            return
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += os.pwrite(self._file, view[done:], at + done)
        if at == self._hashed:
            self._hash.update(data)
            self._hashed += len(data)
        elif at < self._hashed:
            self._hashed = -1
        self._have.add(at + 1, at + len(data))
        self._end = max(self._end, at + len(data))

    def start_over(self) -> None:
        """Forget all octets."""
        os.ftruncate(self._file, 0)
        self._have = OctetRanges()
        self._end = 0
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._hashed = 0

    def sha1(self) -> bytes:
        """Return the SHA-1 of the file; reads what was not hashed on its way in, best in another thread."""
        with self._reading:
            if self._hashed < 0:
                self._hash, self._hashed = hashlib.sha1(usedforsecurity=False), 0
            while self.is_open and (piece := os.pread(self._file, _PIECE, self._hashed)):
                self._hash.update(piece)
                self._hashed += len(piece)
            return self._hash.digest()

    def take(self, to: Path) -> None:
        """Close the file and give it its place."""
        self._close()
        self.path.rename(to)

    def keep(self) -> None:
        """Close the file, cut to what is there from its beginning, if a later transfer can go on with it."""
        if not self._resumes or not self.prefix:
            self.drop()
        elif self.is_open:
            os.ftruncate(self._file, self.prefix)
            self._close()

    def drop(self) -> None:
        """Close the file and remove it."""
        if self.is_open:
            self._close()
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        with self._reading:
            self.is_open = False
            os.close(self._file)


class Shelf:
    """The folder of a device: what is on its way, what was interrupted, what has come."""

    def __init__(self, folder: Path, *, most_partial: int) -> None:
        """Raises OSError: the folder cannot be made."""
        self._folder = folder
        self._partial = folder / "partial"
        self._most_partial = most_partial
        self._partial.mkdir(parents=True, exist_ok=True)
        for path in self._partial.glob("*.new"):  # a crash left them, and no key finds them again
            _remove_unused(path)

    def open(self, key: str = "") -> Spool:
        """
        Return the spool of a file; `key` finds what an earlier transfer of it left, empty: nothing does.

        Raises:
            OSError: it cannot be made.
        """
        if key:
            with suppress(BlockingIOError):  # the same file is on its way already
                return Spool(self._partial / f"{key}.part", resumes=True)
        return Spool(self._partial / f"{secrets.token_hex(8)}.new")

    def place(self, name: str) -> Path:
        """Return where a file that has come gets its place; `name` is fit for a file system or empty."""
        return self._folder / f"{secrets.token_hex(4)}-{name or 'content'}"

    def tidy(self) -> None:
        """Remove the oldest interrupted files above the limit."""
        found = []
        for path in self._partial.glob("*.part"):
            with suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for _, path in sorted(found)[: max(0, len(found) - self._most_partial)]:
            _remove_unused(path)


def _remove_unused(path: Path) -> None:
    """Remove a file unless somebody writes it."""
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
