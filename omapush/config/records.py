"""The table of the configuration file about event data records, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.sections import Section


class Records(Section, frozen=True):
    """Event data records: a line of JSON for the result of each recipient (docs/records.md)."""

    folder: str = ""
    """
    Folder that the notifier of this node writes them to. Empty: it writes none and leaves them to other
    nodes.
    """
    delay_s: Annotated[float, Meta(ge=0, le=3_600)] = 5.0
    """
    How long after the result a record is written. If the initiator accepts the result within this time,
    the record says when.
    """
    rotate_mb: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """A file that is larger than this many MB is closed."""
    rotate_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 3_600
    """A file that is older than this is closed, when the next record comes."""
    keep_files: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """
    How many closed files are kept; the oldest are deleted. 0: all are kept, and something else has to
    remove them.
    """
