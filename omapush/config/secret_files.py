"""Secrets that lie in files of their own."""

from __future__ import annotations

from omapush.config.files import contents
from omapush.errors import BadConfiguration, shortened


def first_line(file: str, where: str) -> str:
    """
    Return the secret: the file's first line without spaces around it.

    Raises:
        BadConfiguration: it cannot be read, or is empty; names `where`, the key that has the file's name.
    """
    try:
        line = contents(where, file).split(b"\n", 1)[0].decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise BadConfiguration(
            where, f"cannot be read: {shortened(file)}: its first line is not UTF-8"
        ) from error
    if not line:
        raise BadConfiguration(where, "is empty")
    return line
