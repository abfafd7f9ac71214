"""What the choice of a method looks at, read for a whole batch of deliveries."""

from __future__ import annotations

from collections.abc import Sequence

from device_facts import DeviceFacts
from msgspec import Struct
from settings import Settings

from omapush import log
from omapush.push.capabilities import Facts
from omapush.push.referral import Referral, referral_id
from omapush.push.registration import Registration
from omapush.push.subscription import Subscription, live
from omapush.push.values import Delivery, Result
from omapush.store import pushes, referrals, users
from omapush.store.client import Store
from omapush.store.outbox import Taken


class Known(Struct, frozen=True, gc=False):
    """What is known of one delivery, and of its user."""

    record: Registration | None
    facts: tuple[Facts, ...]
    subscriptions: tuple[Subscription, ...]
    "Live ones to the delivery's application, the newest first."
    referral: Referral | None
    path_failures: int = 0
    "So many tries of the delivery found nobody at its next hop."
    gives_way: bool = False
    "Earlier pushes to the user, held so far, are ready: they go first."
    last: Result | None = None
    "What its last try came to; None: this is its first, or its push is forgotten."


class Knowledge:
    """Reads it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._device_facts = DeviceFacts(store)

    def of(self, batch: Sequence[Taken], now_ms: int) -> list[Known]:
        """Return what is known now, in the order of the batch."""
        deliveries = [one.delivery for one in batch]
        wanted = [(one.aor, one.application) for one in deliveries]
        stored = users.read_all(self._store, wanted, [one.ticket for one in batch])
        for delivery, user in zip(deliveries, stored, strict=True):
            if user.problem:
                _tell_broken(delivery.aor, user.problem)
        facts = self._device_facts.of([user.capabilities for user in stored], now_ms)
        asked = self._referrals(deliveries)
        lasts = self._lasts(batch)
        return [
            Known(
                user.registration,
                of_devices,
                live(user.subscriptions, now_ms),
                referral,
                gives_way=user.gives_way,
                last=lasts.get(one.ticket),
            )
            for one, user, of_devices, referral in zip(batch, stored, facts, asked, strict=True)
        ]

    def _lasts(self, batch: Sequence[Taken]) -> dict[str, Result | None]:
        """By ticket; mostly all are first tries, and then nothing is read."""
        tried = [one for one in batch if one.attempt > 1]
        if not tried:
            return {}
        found = pushes.results_of(self._store, [(one.delivery.ref, one.delivery.recipient) for one in tried])
        return {one.ticket: result for one, result in zip(tried, found, strict=True)}

    def _referrals(self, deliveries: Sequence[Delivery]) -> list[Referral | None]:
        """Read only where a REFER may be sent."""
        ids = [
            referral_id(one.aor, one.application)
            if "REFER" in (one.method, *self._settings.rules(one.application).methods)
            else ""
            for one in deliveries
        ]
        wanted = [name for name in ids if name]
        found = dict(zip(wanted, referrals.read_all(self._store, wanted), strict=True))
        return [found.get(name) for name in ids]


def _tell_broken(aor: str, problem: str) -> None:
    """A registration that cannot be read counts as unknown, and holds up nobody else."""
    log.get().error("registration_broken", aor=aor, problem=problem, action="sent as to one unknown")
