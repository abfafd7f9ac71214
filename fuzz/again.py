"""Try one input again, without libFuzzer: `python -m fuzz.again build/fuzz/findings/sdp-crash-...`."""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.targets import TARGETS


def main(file: Path) -> None:
    """Print the typed error, or let what was found end the process with its trace."""
    name = file.parent.name if file.parent.name in TARGETS else file.name.partition("-")[0]
    target = TARGETS[name]
    try:
        print("read:", target.read(file.read_bytes()))
    except target.refusals as error:
        print(f"refused: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
