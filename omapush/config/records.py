"""The table of the configuration file about event data records, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.sections import Section


class Records(Section, frozen=True):
    """Event data records: a line of JSON for each recipient's result (docs/records.md)."""

    folder: str = ""
    """Where the notifier of this node writes them; empty: it does not, and leaves them to other nodes."""
    delay_s: Annotated[float, Meta(ge=0, le=3_600)] = 5.0
    """How long after the result: what the initiator took until then has its time in the record."""
    rotate_mb: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """A file is closed when it is larger."""
    rotate_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 3_600
    """A file is closed when it is older, with the next record."""
    keep_files: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Closed files that are kept, the oldest are deleted; 0: all, something else takes them away."""
