"""Which user shards a sender process owns: a fair share, held by leases in Redis."""

from __future__ import annotations

import math
from collections.abc import Iterable

from settings import Settings

from omapush import clock
from omapush.store import outbox, senders
from omapush.store.client import Store
from omapush.store.outbox import Owner


class Shards:
    """The shards of one sender process."""

    def __init__(self, settings: Settings, store: Store, owner: Owner) -> None:
        self._store = store
        self._owner = owner
        self._all = settings.config.redis.user_shards
        self._renew_at = 0.0
        self.owned: list[int] = []
        self._is_away = False
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Hold them with the lease of these settings from the next renewal on."""
        self._lease_ms = settings.config.delivery.lease_ms
        self._transaction_ms = settings.config.delivery.transaction_s * 1000

    def give_up(self) -> None:
        """Have none, and let others have their parts: until `keep` is called again."""
        if self._is_away:
            return
        outbox.release(self._store, self.owned, self._owner)
        senders.leave(self._store, self._owner)
        self.owned, self._is_away, self._renew_at = [], True, 0.0

    def keep(self) -> None:
        """Renew the lease when it is time, and hold no more and no fewer shards than a fair share."""
        if clock.monotonic() < self._renew_at:
            return
        self._is_away = False
        processes = senders.sign_of_life(self._store, self._owner, lease_ms=self._lease_ms)
        share = math.ceil(self._all / max(processes, 1))
        outbox.release(self._store, self.owned[share:], self._owner)
        self.owned = self._claim(self.owned[:share])
        start = self._owner.sender * self._all // max(processes, 1)
        for offset in range(self._all):
            if len(self.owned) >= share:
                break
            candidate = (start + offset) % self._all
            if candidate not in self.owned:
                self.owned += self._claim([candidate])
        self._renew_at = clock.monotonic() + self._lease_ms / 3000

    def lost(self, numbers: Iterable[int]) -> None:
        """Note shards that turned out to be another's."""
        gone = set(numbers)
        self.owned = [number for number in self.owned if number not in gone]

    def _claim(self, numbers: list[int]) -> list[int]:
        owned = outbox.claim(
            self._store, numbers, self._owner, lease_ms=self._lease_ms, transaction_ms=self._transaction_ms
        )
        return [number for number, is_ours in zip(numbers, owned, strict=True) if is_ours]
