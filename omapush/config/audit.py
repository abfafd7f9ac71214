"""The table of the configuration file about the audit record, see sections.py."""

from __future__ import annotations

from typing import Annotated

from omapush.config.keys import restart
from omapush.config.sections import Section


class Audit(Section, frozen=True):
    """The record of who did what: submissions, changes, refusals, log-ins that failed, starts."""

    folder: Annotated[str, restart("api")] = ""
    """Where it is written, a file a day; empty: it is not. The api and the command need to write there."""
    key_file: Annotated[str, restart("api")] = ""
    """
    File with a key of 16 bytes or more: the hashes of the chain are made with it, so that nobody without it
    can write a chain that holds. `omapush audit verify` needs it, too.
    """
    required: Annotated[bool, restart("api")] = True
    """While it cannot be written, submissions and changes are refused (503); false: they are only logged."""
