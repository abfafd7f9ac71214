"""Applications whose pushes wait for the end of quiet hours (docs/applications.md)."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

from batch import Batch
from settings import Settings

from omapush.config import QuietHours
from omapush.push import quiet, windows
from omapush.push.method_choice import Choice
from omapush.push.values import Event
from omapush.store.outbox import Taken


class QuietTimes:
    """Part of a sender process; costs nothing for applications without quiet hours."""

    def __init__(self, settings: Settings) -> None:
        applications = settings.config.application.items()
        self._rules = {
            name: tuple(map(_rule, profile.quiet_hours))
            for name, profile in applications
            if profile.quiet_hours
        }

    def waits(self, one: Taken, now_ms: int, batch: Batch) -> Choice | None:
        """Return that a push has to wait; None: it may leave, noted when it is quiet all the same."""
        rules = self._rules.get(one.delivery.application)
        found = quiet.quiet(rules, one.delivery, now_ms) if rules else None
        if found is None:
            return None
        if found.until_ms:
            return Choice(None, found.why, hold=True, until_ms=found.until_ms)
        if one.attempt == 1:
            batch.note(one, Event(now_ms, one.delivery.recipient, "quiet", found.why))
        return None


def _rule(hours: QuietHours) -> quiet.QuietHours:
    return quiet.QuietHours(
        recipients=hours.recipients,
        zone=ZoneInfo(hours.zone),
        start=time.fromisoformat(hours.start),
        end=time.fromisoformat(hours.end),
        days=frozenset(windows.DAYS.index(day) for day in hours.days),
        bypass=frozenset(hours.bypass),
        late=hours.late,
        spread_ms=int(hours.spread_s * 1000),
    )
