"""Media workers as a SIP process knows them: looked at once a second, told what to look at."""

from __future__ import annotations

import random
from collections.abc import Iterable

from omapush import clock
from omapush.push.media_worker import MediaWorker, choose
from omapush.push.session import Place, Session
from omapush.store import msrp_workers
from omapush.store.client import Store

_KEPT_S = 1.0


class MediaWorkers:
    """Part of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._live: list[MediaWorker] = []
        self._look_at = 0.0

    def pick(self) -> Place | None:
        """Return where the next session is carried; None: no worker has room."""
        chosen = choose(self._now(), turn=random.randrange(1_000))
        return Place(chosen.name, chosen.uri, chosen.fingerprint) if chosen else None

    def lives(self, place: Place) -> bool:
        """Tell whether a worker has given a sign of life."""
        return any(one.name == place.worker for one in self._now())

    def _now(self) -> list[MediaWorker]:
        now = clock.monotonic()
        if now >= self._look_at:
            self._live = msrp_workers.live(self._store)
            self._look_at = now + _KEPT_S
        return self._live

    def tell(self, sessions: Iterable[Session]) -> None:
        """Have each session looked at by its worker."""
        by_worker: dict[str, dict[str, None]] = {}
        for one in sessions:
            by_worker.setdefault(one.place.worker, {})[one.id] = None
        for worker, ids in by_worker.items():
            msrp_workers.tell(self._store, worker, list(ids))
