"""The table of the configuration file about alarms, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.sections import Section


class Alarms(Section, frozen=True):
    """Limits of the alarms that the notifiers watch for (docs/alarms.md)."""

    every_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    """
    How often everything is checked. Most alarms are raised after two checks that find them and cleared
    after three that do not.
    """
    waiting_s: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    """A push that could leave and has waited longer than this is an alarm (`oldest-waiting`)."""
    owed_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 600.0
    """A result that has not been notified for longer than this is an alarm (`notifications-late`)."""
    disk_percent: Annotated[float, Meta(ge=0, le=99)] = 10.0
    """
    A disk that we write to and that has less than this percentage free is an alarm (`disk-nearly-full`).
    """
    certificate_days: Annotated[float, Meta(ge=0, le=3_650)] = 30.0
    """A certificate of ours that expires within this many days is an alarm (`certificate-expires`)."""
