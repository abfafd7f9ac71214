"""Which release this is."""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def release() -> str:
    """Return the version that the package was built as; of a checkout that of pyproject.toml, and says so."""
    built = _ROOT / "VERSION"
    if built.exists():
        return built.read_text(encoding="utf-8").strip()
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['version']} (checkout)"
