"""Checkouts of other releases, unpacked below build/: what an upgrade node by node has side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.harness.stack import ROOT

_FOLDER: Final = ROOT / "build/upgrade"


def unpacked(commit: str) -> Path:
    """
    Return the files of a commit.

    Raises:
        subprocess.CalledProcessError: git knows no such commit.
    """
    name = subprocess.run(
        ["git", "rev-parse", "--short", f"{commit}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    folder = _FOLDER / name
    if not folder.exists():
        archive, beside = _FOLDER / f"{name}.tar", _FOLDER / f"{name}.new"
        beside.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "archive", "-o", archive, name], cwd=ROOT, check=True)
        subprocess.run(["tar", "-xf", archive, "-C", beside], check=True)
        archive.unlink()
        beside.rename(folder)
    return folder


def functions_of(root: Path) -> set[str]:
    """Return the names of the Redis function libraries that the code there loads."""
    asked = "from omapush.store import client; print(*client.libraries())"
    done = subprocess.run([sys.executable, "-c", asked], cwd=root, capture_output=True, text=True, check=True)
    return set(done.stdout.split())
