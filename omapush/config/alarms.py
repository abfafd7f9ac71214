"""The table of the configuration file about alarms, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.sections import Section


class Alarms(Section, frozen=True):
    """What is watched and when it is an alarm; the notifiers look (docs/alarms.md)."""

    every_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    """How often everything is looked at; most alarms are raised by two looks and cleared by three."""
    waiting_s: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    """A push that could leave and waits longer is an alarm (`oldest-waiting`)."""
    owed_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 600.0
    """A result that is owed to its initiator for longer is an alarm (`notifications-late`)."""
    disk_percent: Annotated[float, Meta(ge=0, le=99)] = 10.0
    """A disk that we write to with less than this free is an alarm (`disk-nearly-full`)."""
    certificate_days: Annotated[float, Meta(ge=0, le=3_650)] = 30.0
    """A certificate of ours that runs out within so many days is an alarm (`certificate-expires`)."""
