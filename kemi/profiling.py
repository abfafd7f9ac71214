"""Where a process spends its time, as Python's own profiler sees it; for who works on the code."""

from __future__ import annotations

import cProfile
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from settings import Settings

from omapush import clock

FOLDER: Final = "OMAPUSH_PROFILE"
"Environment variable that names the folder; without it nothing is looked at."
_WRITTEN_EVERY_S: Final = 1.0


class Worker(Protocol):
    """What a process does again and again."""

    def run_once(self) -> None:
        """Work off what waits, or rest."""

    def take(self, settings: Settings) -> None:
        """Do so as these settings say from now on."""


class Profiled:
    """The same, watched."""

    def __init__(self, worker: Worker, file: Path) -> None:
        self._worker = worker
        self._file = file
        self._profile = cProfile.Profile()
        self._write_at = 0.0

    def run_once(self) -> None:
        """Work, and write now and then what was seen until now: the process may end at any time."""
        self._profile.runcall(self._worker.run_once)
        if clock.monotonic() >= self._write_at:
            self._profile.dump_stats(self._file)
            self._write_at = clock.monotonic() + _WRITTEN_EVERY_S

    def take(self, settings: Settings) -> None:
        """Go on with other settings."""
        self._worker.take(settings)


def watched(name: str, make: Callable[[], Worker]) -> Worker:
    """Return the worker of this process; watched when that is asked for."""
    worker = make()
    folder = os.environ.get(FOLDER)
    return Profiled(worker, Path(folder) / f"{name}-{os.getpid()}.prof") if folder else worker
