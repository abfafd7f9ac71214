"""The table of the configuration file about the audit record, see sections.py."""

from __future__ import annotations

from typing import Annotated

from omapush.config.keys import restart
from omapush.config.sections import Section


class Audit(Section, frozen=True):
    """The record of who did what: submissions, changes, refusals, failed log-ins, starts."""

    folder: Annotated[str, restart("api")] = ""
    """
    Folder that it is written to, one file a day. Empty: it is not written. The api and the command need
    write access.
    """
    key_file: Annotated[str, restart("api")] = ""
    """
    File with a key of at least 16 bytes. The hashes of the chain are then made with the key, so that
    nobody without it can forge a valid chain. `omapush audit verify` needs the key, too.
    """
    required: Annotated[bool, restart("api")] = True
    """
    While it cannot be written, refuse submissions and changes (503). If false, the failure is only
    logged.
    """
