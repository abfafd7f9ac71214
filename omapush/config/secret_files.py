"""Secrets that lie in files of their own."""

from __future__ import annotations

from pathlib import Path

from omapush.errors import BadConfiguration


def first_line(file: str, where: str) -> str:
    """
    Return the secret: the file's first line without spaces around it.

    Raises:
        BadConfiguration: it cannot be read, or is empty; names `where`, the key that has the file's name.
    """
    try:
        line = Path(file).read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(where, f"cannot be read: {error}") from error
    if not line:
        raise BadConfiguration(where, "is empty")
    return line
