"""
The audit record on disk: one file a day, one chain over all of them, several writers at once.

Writers take turns by a lock file in the folder; each continues from the last line that it finds, whoever
wrote it. Lines are with the operating system before `append` returns: they outlive the process, and are as
safe from a power cut as the file system makes them.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from omapush.audit import chain
from omapush.audit.chain import Entry, Link, Verdict
from omapush.errors import PushError, TryLater

_LOCK: Final = "lock"
_SHORTEST_KEY: Final = 16
_LONGEST_LINE: Final = 65_536
"Bytes read from the end of a file to find its last line."


class AuditUnavailable(TryLater):
    """The audit record cannot be written or read."""


class Journal:
    """The audit record in one folder."""

    def __init__(self, folder: Path, key: bytes = b"") -> None:
        self._folder = folder
        self._key = key

    def append(self, entries: Sequence[Entry]) -> Link:
        """
        Write entries at the end of the chain, in this order; returns its new end.

        Raises:
            AuditUnavailable: not written, or not all of it; the chain is mended by the next that writes.
        """
        try:
            with self._locked():
                return self._append(entries)
        except OSError as error:
            raise AuditUnavailable(f"audit record in {self._folder}: {error.strerror}") from error

    def _append(self, entries: Sequence[Entry]) -> Link:
        last = self._files()[-1:]
        link, torn = self._end(last[0]) if last else (Link(), 0)
        written = bytearray()
        if torn:
            os.truncate(last[0], last[0].stat().st_size - torn)
            mended = Entry(
                entries[0].at, "process/audit", "mend", last[0].name, f"{torn} bytes of a torn line"
            )
            entries = [mended, *entries]
        for entry in entries:
            text, link = chain.line(entry, link, self._key)
            written += text
        self._write(self._file_for(entries[-1].at, last), bytes(written))
        return link

    def _file_for(self, at: str, last: Sequence[Path]) -> Path:
        """The file of the day; never one before the last file, in case the clock was set back."""
        file = self._folder / f"audit-{at[:10]}.jsonl"
        return max(file, last[0]) if last else file

    def _write(self, file: Path, data: bytes) -> None:
        handle = os.open(
            file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP
        )
        try:
            while data:
                data = data[os.write(handle, data) :]
        finally:
            os.close(handle)

    def _end(self, file: Path) -> tuple[Link, int]:
        """The link at the end of a file, and how many bytes of a torn line follow it."""
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(0, size - 2 * _LONGEST_LINE))
            tail = opened.read()
        whole, _, torn = tail.rpartition(b"\n")
        if not whole:
            return self._before(file), len(torn)
        link = chain.link_of(whole.rpartition(b"\n")[2] + b"\n")
        if link is None:
            raise AuditUnavailable(f"{file}: its last line is not an audit entry; see `omapush audit verify`")
        return link, len(torn)

    def _before(self, file: Path) -> Link:
        earlier = [one for one in self._files() if one < file]
        return self._end(earlier[-1])[0] if earlier else Link()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def problem(self) -> str:
        """Return why the next entry could not be written, as far as this can be seen; empty: it could."""
        folder = self._folder if self._folder.exists() else self._folder.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder}: cannot be written"
        try:
            last = self._files()[-1:]
            if last and not os.access(last[0], os.W_OK):
                return f"{last[0]}: cannot be written"
            if last:
                self._end(last[0])
        except AuditUnavailable as error:
            return str(error)
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        return ""

    # Reading -------------------------------------------------------------------------------------

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of all files, oldest first."""
        for file in self._files():
            with file.open("rb") as opened:
                yield from opened

    def verify(self, *, begun_earlier: bool = False) -> Verdict:
        """
        Return how far the record in the folder is correct; see `chain.verify`.

        Raises:
            AuditUnavailable: a file cannot be read.
        """
        try:
            return chain.verify(self.lines(), self._key, begun_earlier=begun_earlier)
        except OSError as error:
            raise AuditUnavailable(f"audit record in {self._folder}: {error.strerror}") from error

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("audit-*.jsonl"))


def journal_for(folder: str, key_file: str) -> Journal | None:
    """
    Return the record that the configuration names; None when it names none.

    Raises:
        PushError: the key cannot be read, or is too short to be one.
    """
    if not folder:
        return None
    return Journal(Path(folder), _key(key_file) if key_file else b"")


def _key(file: str) -> bytes:
    try:
        if os.path.exists(file) and not os.path.isfile(file):
            raise PushError(f"audit.key_file: {file} cannot be read: it is no file")
        key = Path(file).read_bytes().strip()
    except OSError as error:
        raise PushError(f"audit.key_file: {file} cannot be read: {error.strerror}") from error
    if len(key) < _SHORTEST_KEY:
        raise PushError(f"audit.key_file: {file} holds {len(key)} bytes, a key has {_SHORTEST_KEY} or more")
    return key
