"""The inputs that fuzzing begins with: files of the tests, examples, and what earlier runs kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fuzz.targets import TARGETS

CORPORA: Final = Path(__file__).resolve().parents[1] / "tests" / "corpora"
KEPT: Final = CORPORA / "fuzz"
"One folder a target: inputs that reach code which no other reaches, and findings once they are mended."


def seeds(name: str) -> list[bytes]:
    """Return all inputs of a target that are in the tree."""
    target = TARGETS[name]
    files = [file for glob in target.seeds for file in sorted(CORPORA.glob(glob)) if file.is_file()]
    kept = sorted((KEPT / name).glob("*")) if (KEPT / name).is_dir() else []
    return [*target.examples, *(file.read_bytes() for file in [*files, *kept])]


def lay_out(name: str, folder: Path) -> None:
    """Write the seeds of a target into a folder, each under the name that libFuzzer gives it."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in seeds(name):
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        (folder / digest).write_bytes(data)
