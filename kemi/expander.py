"""Fan-outs in a sender process: the next page of subscribers while there is room, and the end of each job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from omapush import clock, log
from omapush.push import fan_out as rules
from omapush.push.fan_out import FanOut, Page, Subscriber
from omapush.push.outcome import DELIVERED_CODE, Outcome
from omapush.push.subscription import is_live
from omapush.store import fanouts, finish, subscriptions
from omapush.store.client import Store
from omapush.store.codec import BrokenRecord
from omapush.store.fanouts import Job
from omapush.store.finish import Ended

_EVERY_S: Final = 0.05
"Between two looks at jobs that have nothing to do."
_MOST_ENDED: Final = 256
_ABORTED: Final = Outcome(None, "cancelled", DELIVERED_CODE, "the push was aborted before it was sent")

Directory = Callable[[Store, int, str, str, int], tuple[list[str], list[Subscriber]]]
"Of a shard and an application: the ids after a cursor, so many at most; and which of them are active."


def active_subscribers(
    store: Store, shard: int, application: str, after: str, most: int
) -> tuple[list[str], list[Subscriber]]:
    """Return one page of an application's subscriptions in a shard: all ids, and the active ones."""
    ids = subscriptions.page(store, shard, application, after=after, most=most)
    now_ms = clock.now_ms()
    return ids, [
        Subscriber(one.id, one.aor)
        for one in subscriptions.read_all(store, ids)
        if one is not None and is_live(one, now_ms)
    ]


class Expander:
    """Carries out the fan-outs of the user shards that this process owns."""

    def __init__(self, store: Store, directory: Directory, *, transaction_ms: int, retention_s: int) -> None:
        self._store = store
        self._directory = directory
        self._transaction_ms = transaction_ms
        self._retention_s = retention_s
        self._look_at = 0.0
        self._known: dict[str, FanOut] = {}

    def run_once(self, numbers: Sequence[int], now: float) -> bool:
        """Do one step of every job in these shards that has one to do; `now` is monotonic, in seconds."""
        if now < self._look_at or not numbers:
            return False
        jobs = fanouts.jobs(self._store, numbers)
        self._known = {
            ref: known for ref, known in self._known.items() if any(job.ref == ref for job in jobs)
        }
        worked = False
        for job in jobs:
            try:
                worked |= self._step(job)
            except BrokenRecord as error:
                log.get().error("fan_out_unreadable", ref=job.ref, shard=job.shard, problem=str(error))
                worked |= fanouts.expand(self._store, job, Page((), rules.over(job.progress)))
        self._look_at = now if worked else now + _EVERY_S
        return worked

    def _step(self, job: Job) -> bool:
        if job.progress.is_over:
            return self._finish(job)
        known = self._known.get(job.ref) or fanouts.read(self._store, job)
        if known is None:
            return False
        self._known[job.ref] = known
        now_ms = clock.now_ms()
        if rules.is_late(known, now_ms):  # paused or not
            return fanouts.expand(self._store, job, Page((), rules.over(job.progress)))
        if rules.is_early(known, now_ms) or not rules.wants_page(job.progress, job.backlog, job.ready):
            return False
        ids, subscribers = self._directory(
            self._store, job.shard, known.template.application, job.progress.cursor, rules.PAGE
        )
        page = rules.next_page(
            known,
            job.progress,
            ids,
            subscribers,
            shard=job.shard,
            shards=self._store.layout.user_shards,
        )
        return fanouts.expand(self._store, job, page)

    def _finish(self, job: Job) -> bool:
        """End what an abort left in the outbox; with nothing there the shard is done with the push."""
        if not job.backlog:
            fanouts.close(self._store, job, retention_s=self._retention_s)
            return True
        if job.progress.state != "aborted":
            return False
        now_ms = clock.now_ms()
        tickets = fanouts.withdraw(self._store, job, transaction_ms=self._transaction_ms)
        ended = [Ended(ticket, _ABORTED, "", 0, 0, now_ms, _ABORTED.desc) for ticket in tickets]
        for first in range(0, len(ended), _MOST_ENDED):
            batch = ended[first : first + _MOST_ENDED]
            finish.store(self._store, batch, retention_s=self._retention_s)
        return bool(ended)
