"""Files that the configuration names: there, of the right kind, and ours to read, before anything starts."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from omapush.errors import BadConfiguration, shortened

_LARGEST: Final = 16_777_216
"Bytes of a file that is read; certificates, keys and lists of revoked ones have far fewer."


def check_file(where: str, file: str) -> None:
    """
    Do nothing when a file can be read.

    Raises:
        BadConfiguration: it cannot, and why; names `where`, the key that has the file's name.
    """
    _described(where, file)
    if not os.access(file, os.R_OK):
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}: {os.strerror(13)}")


def contents(where: str, file: str) -> bytes:
    """
    Return what is in a file.

    Raises:
        BadConfiguration: as `check_file`, or it is larger than anything that belongs there.
    """
    size = _described(where, file).st_size
    if size > _LARGEST:
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}: larger than {_LARGEST} bytes")
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}: {error.strerror}") from error


def _described(where: str, file: str) -> os.stat_result:
    """What the file system says of a file; a pipe would be waited for, and a directory is none."""
    try:
        found = os.stat(file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no file can have that name"
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}: {why}") from error
    if stat.S_ISDIR(found.st_mode):
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}: is a directory, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}: is a device or pipe, not a file")
    return found
