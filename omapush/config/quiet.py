"""Quiet hours of an application, as the configuration file has them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", examples=["22:00"])]


class QuietHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When users are not disturbed: an entry of `quiet_hours` of an application."""

    recipients: tuple[str, ...] = ("*",)
    """For whom: shell patterns over the address of record."""
    zone: str = "UTC"
    """Time zone of the times, such as `Europe/Helsinki`."""
    start: Clock
    """When it begins to be quiet, such as `22:00`."""
    end: Clock
    """When it ends; not later than `start`, it is on the next day."""
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """Days on which it begins."""
    bypass: tuple[Literal["high", "medium", "low"], ...] = ("high",)
    """Priorities of pushes that are sent all the same."""
    late: Literal["send", "expire"] = "expire"
    """A push whose deliver-before comes before the end: send it in the quiet hours, or let it expire."""
    spread_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    """What waited is sent spread over so long after the end, each user at a time of its own."""
