"""What an operator does by command goes into the audit record, too."""

from __future__ import annotations

import getpass
import hashlib
import os
from pathlib import Path

from omapush import clock
from omapush.audit.chain import Entry
from omapush.audit.journal import journal_for
from omapush.config import Config


def note(config: Config, did: str, what: str, result: str = "done", **more: str) -> None:
    """
    Record what an operator is about to do, when there is a record.

    Raises:
        AuditUnavailable: it cannot be written; the deed has to be left undone.
    """
    journal = journal_for(config.audit.folder, config.audit.key_file)
    if journal is None:
        return
    who = f"operator/{os.environ.get('SUDO_USER') or _login()}"
    source = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    journal.append([Entry(clock.iso(clock.now_ms()), who, did, what, result, source, tuple(more.items()))])


def started(config: Config, process: str) -> None:
    """
    Record that a process starts, and with which configuration.

    Raises:
        AuditUnavailable: it cannot be written; the process must not start.
    """
    file = Path(config.path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "none: all defaults"
    note(config, "start", process, configuration=str(file), sha256=digest)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return str(os.getuid())
