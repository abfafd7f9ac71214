"""The tables of the configuration file about policy, see sections.py."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from omapush.config.quiet import Clock, Day
from omapush.config.sections import Section


class Hours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a rule holds."""

    zone: str = "UTC"
    start: Clock
    end: Clock
    "Not later than `start`: on the next day."
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    "Days on which it begins."


class Policy(Section, frozen=True):
    """
    One rule about who may push what to whom: `[policy.NAME]`.

    Of each layer the first rule that fits decides, in the order of this file; a layer without one lets pass.
    A push has to pass all three.
    """

    effect: Literal["allow", "deny"]
    """
    What happens to a push that fits: `allow` lets it pass this layer, `deny` ends it with 2001. There is
    no default.
    """
    layer: Literal["operator", "application", "recipient"] = "operator"
    """Whose rule it is. Each layer is asked separately."""
    initiators: tuple[str, ...] = ("*",)
    """Whose pushes it is about: shell patterns for the initiator's name."""
    applications: tuple[str, ...] = ("*",)
    """Shell patterns for the application."""
    recipients: tuple[str, ...] = ("*",)
    """Shell patterns for the address of record."""
    content_types: tuple[str, ...] = ("*",)
    """Shell patterns for the media type, in lower case and without parameters."""
    hours: Hours | None = None
    """
    When the rule holds, by the time of submission: `{ start = "22:00", end = "07:00" }`. If left out:
    always.
    """
