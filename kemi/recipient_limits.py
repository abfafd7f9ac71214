"""Applications that limit how many of their pushes a user gets: the rest waits, nothing else does."""

from __future__ import annotations

from settings import Settings

from omapush.push.method_choice import Choice
from omapush.store import turns
from omapush.store.client import Store
from omapush.store.outbox import Taken


class RecipientLimits:
    """Part of a sender process; asks Redis only for applications that have such a limit."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._profiles = {
            name: profile for name, profile in settings.config.application.items() if profile.recipient_rate
        }

    def waits(self, one: Taken, now_ms: int) -> Choice | None:
        """Return that a push has to wait for its turn at its user; None: it may leave, as repetitions may."""
        profile = self._profiles.get(one.delivery.application)
        if profile is None or one.attempt > 1:
            return None
        wait_ms = turns.wait_ms(
            self._store, one.delivery, rate=profile.recipient_rate, burst=profile.recipient_burst
        )
        if wait_ms == 0:
            return None
        why = f"limit of {profile.recipient_rate:g} pushes a minute of this application to one user"
        return Choice(None, why, hold=True, until_ms=now_ms + wait_ms)
