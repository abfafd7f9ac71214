"""
Fuzz one target in this process: `python -m fuzz.one NAME CORPUS... -max_total_time=60`.

What follows the name is for libFuzzer. The process ends with an error at the first finding.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["omapush.protocol"]):
    from fuzz.targets import TARGETS


def main(name: str, arguments: list[str]) -> None:
    """Let libFuzzer try inputs until its time is over or something is found."""
    target = TARGETS[name]

    def try_one(data: bytes) -> None:
        with suppress(*target.refusals):
            target.read(data)

    # libFuzzer starts itself by this name when it merges corpora.
    atheris.Setup([f"{sys.executable} -m fuzz.one {name}", *arguments], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
