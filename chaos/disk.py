"""A disk that is full, for one process: its files may not grow."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def full(pid: int, folder: Path) -> Iterator[None]:
    """
    Let no file of the process become larger than the largest one below `folder`.

    What it writes beyond that fails (EFBIG, where a full disk says ENOSPC); it has to ignore SIGXFSZ.
    Nobody needs to be root for it, and nobody else runs out of room.
    """
    unlimited = resource.RLIM_INFINITY
    largest = max((file.stat().st_size for file in folder.rglob("*") if file.is_file()), default=0)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, unlimited))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
