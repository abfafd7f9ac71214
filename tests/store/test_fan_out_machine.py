"""A push to all subscribers under any order of steps, crashes among them: each subscriber once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count

import pytest
from expander import Expander
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from omapush import clock
from omapush.push.fan_out import PAGE, FanOutState, next_page
from omapush.push.outcome import Outcome
from omapush.push.values import Event, Result, ticket_delivery
from omapush.store import client, fanouts, finish, outbox, pushes
from omapush.store.client import Store
from omapush.store.counted import Counted
from omapush.store.fanouts import Job
from omapush.store.finish import Ended
from omapush.store.outbox import Finished, Owner, Taken
from omapush.store.pushes import Stored, Submission
from tests.store.conftest import NOW_MS, Make
from tests.store.test_fanouts import Directory

SUBSCRIBERS = 6 * PAGE
KEEP_S = 100
DELIVERED = Outcome(None, "delivered", "1000", "delivered (200 OK)")
EVENT = Event(NOW_MS, -1, "steered", "")


class FanOutMachine(RuleBasedStateMachine):
    """What api, senders, completers and sweeper do, step by step; between any two a process may die."""

    store: Store
    directory: Directory

    @initialize()
    def accept(self) -> None:
        self.store.db.flushdb()
        client.load_functions(self.store)
        one = Make().submission(notify_url="")
        push = one.push._replace(subscribers=("*",), deliver_before_ms=clock.now_ms() + 600_000)
        self.submission = Submission(push, (), (), b"abc", one.event)
        self.ref = push.ref
        assert pushes.accept_all(self.store, [self.submission]) == [True]
        self.shards = range(self.store.layout.user_shards)
        self.expander = Expander(self.store, self.directory, transaction_ms=60_000, retention_s=KEEP_S)
        self.seconds = count()
        self.run = 0
        self.stale: list[Job] = []
        self.in_flight: list[Taken] = []
        self.late: list[Taken] = []
        self.taken: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.is_aborted = False
        self.hand_over()

    # What api and sweeper do ---------------------------------------------------------------------

    @rule()
    def hand_over(self) -> None:
        """By the api, or again by a sweeper that cannot know."""
        found = pushes.open_fan_out(self.store, self.ref)
        fanouts.register(self.store, [found] if found else [])

    @rule(state=st.sampled_from(["paused", "running", "running"]))
    def steer(self, state: FanOutState) -> None:
        fanouts.steer(self.store, self.ref, state, EVENT)

    @rule(chance=st.integers(0, 9))
    def abort(self, chance: int) -> None:
        if chance == 0 and fanouts.steer(self.store, self.ref, "aborted", EVENT) == "aborted":
            self.is_aborted = True

    @rule()
    def sweep(self) -> None:
        outbox.wake(self.store)
        lost = outbox.overdue(self.store)
        final = pushes.are_final(self.store, [ticket_delivery(one) for one in lost])
        done = [one for one, is_final in zip(lost, final, strict=True) if is_final]
        outbox.complete(self.store, (Finished(one, 0) for one in done))
        outbox.send_again(self.store, [one for one in lost if one not in done])

    # What senders and completers do --------------------------------------------------------------

    @rule()
    def expand(self) -> None:
        self.expander.run_once(self.shards, float(next(self.seconds)))

    @rule()
    def look(self) -> None:
        """By a sender that goes on only later, or has lost its lease meanwhile."""
        self.stale = fanouts.jobs(self.store, self.shards)

    @precondition(lambda self: self.stale)
    @rule()
    def expand_what_was_seen_before(self) -> None:
        for job in self.stale:
            known = fanouts.read(self.store, job)
            if known is None or job.progress.is_over or job.progress.state != "running":
                continue
            ids, users = self.directory(self.store, job.shard, "mms.ua", job.progress.cursor, PAGE)
            page = next_page(known, job.progress, ids, users, shard=job.shard, shards=4)
            fanouts.expand(self.store, job, page)

    @rule(shard=st.integers(0, 3))
    def be_done_with_a_shard(self, shard: int) -> None:
        """Its senders have all the time; those of the others have none."""
        for _ in range(6):
            self.expander.run_once([shard], float(next(self.seconds)))
            self.take(1_000, [shard])
            self.answer(10_000)

    @rule(most=st.integers(1, 60))
    def take_some(self, most: int) -> None:
        self.take(most, self.shards)

    def take(self, most: int, shards: Sequence[int]) -> None:
        owner = Owner("node", f"run-{self.run}", 0)
        outbox.claim(self.store, shards, owner, lease_ms=60_000, transaction_ms=60_000)
        found = outbox.take(self.store, shards, owner, transaction_ms=60_000, most=most)
        taken = [one for batch in found.values() for one in batch or () if isinstance(one, Taken)]
        self.taken.update(one.ticket for one in taken)
        self.in_flight += taken

    @rule(most=st.integers(1, 200))
    def answer(self, most: int) -> None:
        batch, self.in_flight = self.in_flight[:most], self.in_flight[most:]
        self.end(batch)

    def end(self, batch: list[Taken]) -> None:
        now_ms = clock.now_ms()
        if batch:
            ended = [Ended(one.ticket, DELIVERED, "NOTIFY", 200, 1, now_ms, "fine") for one in batch]
            finish.store(self.store, ended, retention_s=KEEP_S)

    @rule(most=st.integers(1, 30))
    def answer_and_die_half_way(self, most: int) -> None:
        """The result is stored, the outbox does not know."""
        batch = self.in_flight[:most]
        result = Result("delivered", "1000", "", "NOTIFY", 200, 1, NOW_MS)
        stored = [
            Stored(*ticket_delivery(one.ticket), result, True, Event(NOW_MS, 0, "final", "")) for one in batch
        ]
        pushes.store_results(self.store, stored, now_ms=NOW_MS, retention_s=KEEP_S)
        self.in_flight = self.in_flight[most:]
        self.die()

    @rule(most=st.integers(1, 30))
    def answer_late(self, most: int) -> None:
        """An answer whose delivery was taken for lost, and may have been sent again."""
        batch, self.late = self.late[:most], self.late[most:]
        self.end(batch)

    @rule()
    def die(self) -> None:
        """Kamailio ends and starts again: what it had sent has no answer."""
        self.lost.update(one.ticket for one in self.in_flight)
        self.late += self.in_flight
        self.in_flight = []
        self.run += 1
        self.take(1, self.shards)

    def counts(self) -> Counted:
        known = pushes.read(self.store, self.ref)
        assert known is not None
        assert known.subscribers is not None
        return known.subscribers

    # The end -------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "ref"):
            return
        self.steer("running")
        for _ in range(300):
            self.hand_over()
            self.sweep()
            self.expand()
            self.take(200, self.shards)
            self.answer(10_000)
            counts = self.counts()
            if counts.state == "finished":
                break
        assert counts.state == "finished", counts
        made = sum(counts.made.values())
        assert counts.ended == made == sum(counts.by_state.values())
        assert set(counts.by_state) <= ({"delivered", "cancelled"} if self.is_aborted else {"delivered"})
        assert made <= SUBSCRIBERS
        assert self.is_aborted or made == SUBSCRIBERS == len(self.taken)
        assert all(times <= 1 + self.lost[ticket] for ticket, times in self.taken.items())
        assert len(self.taken) >= counts.by_state.get("delivered", 0)
        for _ in range(3):
            self.sweep()
            self.expand()
        assert outbox.depth(self.store).all == 0
        assert fanouts.jobs(self.store, self.shards) == []


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("examples", [25, pytest.param(300, marks=pytest.mark.long)])
def test_each_subscriber_gets_it_once_whatever_happens_in_between(store: Store, examples: int) -> None:
    directory = Directory(store, SUBSCRIBERS)

    class Here(FanOutMachine):
        pass

    Here.store, Here.directory = store, directory
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, phases=[Phase.generate]
        ),
    )
