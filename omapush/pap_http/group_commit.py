"""
Many submissions, few trips to Redis: those that come while one batch is being stored form the next.

A submission is answered when it is stored; the hand-over to the outbox follows at once in another thread,
while the next are stored, and the sweeper does it should this process die in between. One with many
recipients goes by a thread of its own, in small steps, so that others do not wait behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final

from omapush import clock, log
from omapush.errors import Overloaded, PushError, StoreUnavailable, TryLater
from omapush.pap_http.quotas import Quotas
from omapush.store import handing_over, own_pushes, push_pages, pushes, registrations
from omapush.store.client import Store
from omapush.store.pushes import Submission

_MOST = 128
"Submissions in one batch; no more are stored while so many are not handed over."
_MOST_LARGE = 16
"Submissions with many recipients that wait or are being stored; more are told to come again."
_MOST_NAMED: Final = 10
"Pushes that a line of the log names."

Waiting = tuple[Submission, asyncio.Future[bool]]
"A submission, and what its answer is put into."


class GroupCommit:
    """Stores submissions for one event loop."""

    def __init__(self, store: Store, quotas: Quotas, *, retention_s: int) -> None:
        self._store = store
        self._quotas = quotas
        self._retention_s = retention_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._handing_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hand-over")
        self._large_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-large")
        self._large = 0
        self._waiting: list[Waiting] = []
        self._since: deque[float] = deque()
        "When each of them came."
        self._stored: deque[Submission] = deque()
        "Those that are not handed over yet, in their order: one thread adds them, another takes them."
        self._handing: Future[None] | None = None
        "The last hand-over that was begun."
        self._running: asyncio.Task[None] | None = None

    async def accept(self, submission: Submission) -> bool:
        """
        Store a submission; False when its push-id was used before (2007).

        Raises:
            StoreUnavailable: it is not certain that the submission is stored; the initiator may repeat it.
            Overloaded: too many with many recipients are under way; nothing of it is stored.
            Exception: a defect of ours that this very submission brings out; as uncertain, and logged.
        """
        if len(submission.recipients) > push_pages.LARGE:
            return await self._accept_large(submission)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, future))
        self._since.append(clock.monotonic())
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work())
        return await future

    @property
    def under_way(self) -> int:
        """Submissions that wait to be stored, and batches of them that are being stored or handed over."""
        running = self._running is not None and not self._running.done()
        handing = self._handing is not None and not self._handing.done()
        return len(self._waiting) + self._large + running + handing

    def keep(self, retention_s: int) -> None:
        """Remember finished pushes that are stored from now on for so long."""
        self._retention_s = retention_s

    def wait_s(self, now: float) -> float:
        """Return how long the first of the submissions that wait has waited."""
        return now - self._since[0] if self._since else 0.0

    async def _accept_large(self, submission: Submission) -> bool:
        if self._large >= _MOST_LARGE:
            raise Overloaded("too many pushes to many recipients at once", retry_after_s=2)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._large += 1
        work = loop.run_in_executor(self._large_thread, self._store_large, loop, submission, future)
        work.add_done_callback(partial(self._large_ended, (submission, future)))
        return await future

    def _large_ended(self, one: Waiting, work: asyncio.Future[None]) -> None:
        self._large -= 1
        defect = work.exception()
        if isinstance(defect, Exception):
            _crashed(defect, [one])

    def _store_large(
        self, loop: asyncio.AbstractEventLoop, submission: Submission, future: asyncio.Future[bool]
    ) -> None:
        """In the thread for large ones: store, let the answer go, hand over."""
        try:
            submission = self._with_sip_identities([submission])[0]
            stored = pushes.accept_large(self._store, submission)
        except PushError as error:
            loop.call_soon_threadsafe(_fail, future, error)
            return
        loop.call_soon_threadsafe(_answer, future, stored)
        if stored:
            self._hand_over([submission])

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            for _ in batch:
                self._since.popleft()
            try:
                await loop.run_in_executor(self._thread, self._store_batch, loop, batch)
            except Exception as defect:  # noqa: BLE001 - whoever waits is told, or would wait for ever
                _crashed(defect, batch)

    def _store_batch(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting]) -> None:
        """In the thread: store, let the answers go, have them handed over."""
        if self._handing is not None and len(self._stored) >= _MOST:
            self._handing.result()
        try:
            submissions = self._with_sip_identities([submission for submission, _ in batch])
            answers = pushes.accept_all(self._store, submissions)
        except TryLater as error:
            for _, future in batch:
                loop.call_soon_threadsafe(_fail, future, error)
            return
        except Exception as error:  # for one of them, as far as is known
            if len(batch) > 1:
                for one in batch:
                    self._store_alone(loop, one)
                return
            if not isinstance(error, PushError):
                raise
            loop.call_soon_threadsafe(_fail, batch[0][1], error)
            return
        for (_, future), stored in zip(batch, answers, strict=True):
            loop.call_soon_threadsafe(_answer, future, stored)
        self._hand_over_soon([one for one, stored in zip(submissions, answers, strict=True) if stored])

    def _store_alone(self, loop: asyncio.AbstractEventLoop, one: Waiting) -> None:
        """
        In the thread: the same for one of a batch that a defect, or a refusal by Redis, has ended.

        It ends for its cause alone. What was stored before that is ours, and no repeat.
        """
        submission, future = one
        try:
            submission = self._with_sip_identities([submission])[0]
            stored = pushes.accept_all(self._store, [submission])[0]
            if stored is False:
                stored = own_pushes.is_stored(self._store, submission.push)
        except PushError as error:
            loop.call_soon_threadsafe(_fail, future, error)
            return
        except Exception as defect:  # noqa: BLE001 - the others of the batch are stored all the same
            loop.call_soon_threadsafe(_crashed, defect, [one])
            return
        loop.call_soon_threadsafe(_answer, future, stored)
        try:
            self._hand_over([submission] if stored else [])
        except Exception as defect:  # noqa: BLE001 - as above
            loop.call_soon_threadsafe(_crashed, defect, [one])

    def _with_sip_identities(self, submissions: list[Submission]) -> list[Submission]:
        """
        A tel identity whose sip identity is known is sent there: not every core routes tel.

        Of a push that replaces another that was decided before, so that both are for the same user.
        """
        tels = list(
            {
                one.aor
                for submission in submissions
                if not submission.push.replaces
                for one in submission.recipients
                if one.aor[:4] == "tel:"
            }
        )
        if not tels:
            return submissions
        known = dict(zip(tels, registrations.sip_identities(self._store, tels), strict=True))
        return [
            submission
            if submission.push.replaces
            else submission._replace(
                recipients=tuple(
                    one._replace(aor=known.get(one.aor, one.aor)) for one in submission.recipients
                )
            )
            for submission in submissions
        ]

    def _hand_over_soon(self, stored: list[Submission]) -> None:
        """In the thread: have these handed over, by the thread for that, behind those before them."""
        if stored:
            self._stored.extend(stored)
            self._handing = self._handing_thread.submit(self._hand_over_stored)

    def _hand_over_stored(self) -> None:
        """In the thread for that: hand over what is stored, those of several batches together."""
        batch = [self._stored.popleft() for _ in range(min(len(self._stored), _MOST))]
        try:
            self._hand_over(batch)
        except Exception as defect:  # noqa: BLE001 - the sweeper hands them over, and the next go on
            _log_crash(defect, batch)

    def _hand_over(self, stored: list[Submission]) -> None:
        if not stored:
            return
        try:
            self._quotas.mark(stored)
            handing_over.fresh(self._store, stored, now_ms=clock.now_ms(), retention_s=self._retention_s)
        except PushError as error:
            log.get().warning("hand_over_left_to_sweeper", pushes=len(stored), problem=str(error))


def _answer(future: asyncio.Future[bool], stored: bool | None) -> None:
    if stored is None:
        _fail(future, StoreUnavailable("what was stored first has run out meanwhile"))
    elif not future.done():
        future.set_result(stored)


def _crashed(defect: Exception, ended: Sequence[Waiting]) -> None:
    """Tell those that have no answer yet; what is stored and not handed over is left to the sweeper."""
    _log_crash(defect, [submission for submission, _ in ended])
    for _, future in ended:
        _fail(future, defect)


def _log_crash(defect: Exception, which: Sequence[Submission]) -> None:
    named = [f"{one.push.initiator} {one.push.push_id}" for one in which[:_MOST_NAMED]]
    log.get().error("acceptance_crashed", pushes=len(which), which=named, exc_info=defect)


def _fail(future: asyncio.Future[bool], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
