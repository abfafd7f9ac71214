"""Wall clocks of the processes of a run, each of which can be stepped, where there is a C compiler."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("stepped_clock.c")


class Clocks:
    """One clock for each name; a step of all of them is what a machine's own clock does."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "stepped_clock.so"
        self._folder = folder / "names"
        self._folder.mkdir(parents=True)
        if compiler := shutil.which("cc") or shutil.which("gcc"):
            command: list[str | Path] = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
            command += ["-o", self._library, _SOURCE]
            subprocess.run(command, check=True)

    def environment(self, name: str) -> Mapping[str, str]:
        """What a process needs whose clock is the one with this name; nothing where none can be stepped."""
        if not self._library.exists():
            return {}
        self._set(name, 0.0)
        return {"LD_PRELOAD": str(self._library), "OMAPUSH_CLOCK": str(self._folder / name)}

    def names(self) -> list[str]:
        """Each clock that a process has."""
        return sorted(file.name for file in self._folder.iterdir())

    @contextmanager
    def stepped(self, names: list[str], by_s: float) -> Iterator[None]:
        """Have these clocks so many seconds ahead, or behind when negative; afterwards they are right."""
        for name in names:
            self._set(name, by_s)
        try:
            yield
        finally:
            for name in names:
                self._set(name, 0.0)

    def _set(self, name: str, by_s: float) -> None:
        """In place: processes have the file mapped."""
        with (self._folder / name).open("r+b" if (self._folder / name).exists() else "wb") as file:
            file.write(int(by_s * 1e9).to_bytes(8, "little", signed=True))
