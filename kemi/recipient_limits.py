"""Applications that limit how many of their pushes a user gets: the rest waits, nothing else does."""

from __future__ import annotations

from collections.abc import Sequence

from settings import Settings

from omapush.push.method_choice import Choice
from omapush.store import turns
from omapush.store.client import Store
from omapush.store.outbox import Taken
from omapush.store.turns import Asking


class RecipientLimits:
    """Part of a sender process; asks Redis only for applications that have such a limit."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._profiles = {
            name: profile for name, profile in settings.config.application.items() if profile.recipient_rate
        }

    def concern(self, one: Taken) -> bool:
        """Tell whether a push needs a turn at its user before it leaves; repetitions had theirs."""
        return one.attempt == 1 and one.delivery.application in self._profiles

    def wait(self, limited: Sequence[Taken], now_ms: int) -> list[Choice | None]:
        """Return for each of these pushes that it has to wait for its turn; None: it may leave."""
        asking = [self._asking(one) for one in limited]
        waits_ms = turns.waits_ms(self._store, asking)
        return [
            _waits(one, now_ms + wait_ms) if wait_ms else None
            for one, wait_ms in zip(asking, waits_ms, strict=True)
        ]

    def _asking(self, one: Taken) -> Asking:
        profile = self._profiles[one.delivery.application]
        return Asking(one.delivery, profile.recipient_rate, profile.recipient_burst)


def _waits(one: Asking, until_ms: int) -> Choice:
    why = f"limit of {one.rate:g} pushes a minute of this application to one user"
    return Choice(None, why, hold=True, until_ms=until_ms)
