"""
What is promised about a push over time, against any order of steps: a model as simple as the promise.

Submit, cancel, replace, register, de-register, time, crash and reply come in any order. Redis and the wall
clock have the machine's own time; senders and completers are the few lines below, all else is the server's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal

import pytest
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
from omapush.config import Config, parse
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.sweeper import HAND_OVER_LATE_MS, MOST_REPEATS, Sweeper
from omapush.push import acceptance, replacing
from omapush.push.acceptance import ContentRules, NotPossible, Offer
from omapush.push.account import Account
from omapush.push.outcome import Outcome, expired
from omapush.push.values import Event, Result, ticket, ticket_delivery
from omapush.store import cancelling, client, finish, handing_over, keys, outbox, owed, pushes, withdrawals
from omapush.store.client import Store
from omapush.store.finish import Ended
from omapush.store.outbox import Hold, Owner, Taken
from omapush.store.pushes import Stored, Submission

USERS: Final = tuple(f"sip:u{number}@home1.example" for number in range(3))
SHARDS: Final = range(4)
START_MS: Final = 1_800_000_000_000
KEEP_S: Final = 10_000_000
TRANSACTION_MS: Final = 3_600_000
"Longer than a run of the machine: every request has its answer in time, or its process died."
RETRY_MS: Final = 7_000
LEASE_MS: Final = 10**12
ACCOUNT: Final = Account("pi", ("*",), ("*",))
RULES: Final = ContentRules((), 1_000)
DELIVERED: Final = Outcome(None, "delivered", "1000", "delivered (200 OK)")
REFUSED: Final = Outcome(None, "aborted", "5027", "refused")

Place = Literal["stored", "waiting", "sent", "lost", "relayed", "final"]


@dataclass
class One:
    """The promise about one push for one user."""

    place: Place = "stored"
    "`stored`: accepted and not handed over."
    end: tuple[str, str] = ("", "")
    is_stopped: bool = False
    sent: int = 0
    lost: int = 0
    "Times that a process died while it was sent."


@dataclass
class Pushed:
    """One push."""

    submission: Submission
    after_ms: int
    before_ms: int
    replaces: Pushed | None
    for_all: bool
    accepted_ms: int
    users: dict[str, One] = field(default_factory=dict)
    is_handed_over: bool = False


class PromiseMachine(RuleBasedStateMachine):
    """Api, senders, completers, sweeper and initiators, step by step; between any two a process may die."""

    store: Store
    config: Config
    now: list[int]
    "The one time that all of them have, in ms."

    @initialize()
    def begin(self) -> None:
        self.store.db.flushdb()
        self.now[0] = START_MS
        self.tell_redis()
        self.pushed: list[Pushed] = []
        self.registered = set(USERS)
        self.in_flight: list[Taken] = []
        self.run = 0
        self.sweeper = Sweeper(self.config, self.store, NotifierMetrics())
        self.claim()

    def tell_redis(self) -> None:
        self.store.db.mset({"test-s": self.now[0] // 1000, "test-us": self.now[0] % 1000 * 1000 + 7})

    def claim(self) -> None:
        outbox.claim(self.store, SHARDS, self.owner, lease_ms=LEASE_MS, transaction_ms=TRANSACTION_MS)

    @property
    def owner(self) -> Owner:
        return Owner("node", f"run-{self.run}", 0)

    # What initiators do --------------------------------------------------------------------------

    @rule(
        users=st.sets(st.sampled_from(USERS), min_size=1),
        after_s=st.sampled_from([0, 0, 0, 5, 30]),
        before_s=st.sampled_from([None, None, 3, 40, 200]),
        priority=st.sampled_from(["high", "medium", "low"]),
        dies=st.integers(0, 4),
        old=st.none() | st.integers(0, 30),
        for_all=st.booleans(),
    )
    def submit(
        self,
        users: set[str],
        after_s: int,
        before_s: int | None,
        priority: str,
        dies: int,
        old: int | None,
        for_all: bool,
    ) -> None:
        """With `old` it replaces one of the pushes so far; the api may die before it has handed over."""
        replaced = self.pushed[old % len(self.pushed)] if old is not None and self.pushed else None
        after_ms = self.now[0] + after_s * 1000 if after_s else 0
        lasts_ms = max(self.now[0], after_ms) + (before_s or 600) * 1000
        offer = Offer(
            push_id=f"p{len(self.pushed)}",
            addresses=tuple(sorted(users)),
            application="mms.ua",
            content_type="text/plain",
            content=b"x",
            priority=priority,
            notify_url="http://pi.example/",
            deliver_before_ms=lasts_ms,
            deliver_after_ms=after_ms or None,
            replaces=replaced.submission.push.push_id if replaced else "",
            replace_all=for_all,
        )
        accepted = acceptance.accept(
            offer,
            account=ACCOUNT,
            rules=RULES,
            order_us=self.now[0] * 1000 + len(self.pushed),
            lifetime_s=600,
        )
        if replaced is not None:
            known = pushes.read(self.store, replaced.submission.push.ref)
            assert known is not None
            try:
                accepted = replacing.of_the_old(accepted, known.push, known.recipients, known.results)
            except NotPossible:
                assert not for_all
                waiting = [user for user, state in replaced.users.items() if state.place != "final"]
                assert users.isdisjoint(waiting)
                return
        event = Event(self.now[0], -1, "accepted", "")
        submission = Submission(accepted.push, accepted.recipients, accepted.results, b"x", event)
        assert pushes.accept_all(self.store, [submission]) == [True]
        one = Pushed(submission, after_ms, lasts_ms, replaced, for_all, self.now[0])
        for user in sorted(users):
            one.users[user] = self.promise_at_acceptance(one, user)
        self.pushed.append(one)
        if dies:
            handing_over.fresh(self.store, [submission], now_ms=self.now[0], retention_s=KEEP_S)
            self.promise_hand_over(one)

    def promise_at_acceptance(self, one: Pushed, user: str) -> One:
        if one.replaces is None or one.for_all:
            return One()
        if user not in one.replaces.users:
            return One("final", ("undeliverable", "2003"))
        if one.replaces.users[user].place == "final":
            return One("final", ("cancelled", "2008"))
        return One()

    def promise_hand_over(self, one: Pushed) -> None:
        """A replaced push that waits, or was still to be handed over, is out; else the method decides."""
        one.is_handed_over = True
        for user, state in one.users.items():
            old = one.replaces.users.get(user) if one.replaces is not None else None
            if state.place == "final":
                keeps_the_old = state.end[1] in ("2008", "2003")
                if old is not None and not keeps_the_old and old.place in ("stored", "waiting"):
                    old.place, old.end = "final", ("cancelled", "1000")
                elif old is not None and not keeps_the_old and one.for_all:
                    old.is_stopped = old.is_stopped or old.place == "sent"
                continue
            if state.place != "stored":
                continue
            if old is None or one.for_all:
                state.place = "waiting"
            if old is None:
                continue
            if old.place in ("stored", "waiting"):
                old.place, old.end = "final", ("cancelled", "1000")
                state.place = "waiting"
            elif one.for_all:
                old.is_stopped = old.is_stopped or old.place == "sent"
            else:
                state.place, state.end = "final", ("cancelled", "2008")

    @precondition(lambda self: self.pushed)
    @rule(
        number=st.integers(0, 30), users=st.sets(st.sampled_from(USERS), min_size=1), dies=st.integers(0, 3)
    )
    def cancel(self, number: int, users: set[str], dies: int) -> None:
        """The api may die in the middle: then nobody was told anything, and the sweeper finishes it."""
        one = self.pushed[number % len(self.pushed)]
        known = pushes.read(self.store, one.submission.push.ref)
        assert known is not None
        indexes = {recipient.aor: index for index, recipient in enumerate(known.recipients)}
        wanted = [user for user in sorted(users) if user in one.users]
        if not dies:
            places = [
                ticket(pushes.delivery_of(known.push, indexes[user], known.recipients[indexes[user]], b""))
                for user in wanted
                if one.users[user].place not in ("final", "relayed")
            ]
            withdrawals.cancel(self.store, places, replacing.CANCELLED)
            self.sweeper.sweep()
        else:
            numbers = [indexes[user] for user in wanted]
            answer = cancelling.cancel(self.store, known, numbers, now_ms=self.now[0], retention_s=KEEP_S)
            assert answer == {
                indexes[user]: one.users[user].place in ("stored", "waiting")
                or one.users[user].end[0] == "cancelled"
                for user in wanted
            }
        for user in wanted:
            state = one.users[user]
            if state.place in ("stored", "waiting"):
                state.place, state.end = "final", ("cancelled", "1000")
            elif state.place == "sent":
                state.is_stopped = True
        if not dies:
            self.promise_sweep()

    # What users and time do ----------------------------------------------------------------------

    @rule(user=st.sampled_from(USERS))
    def register(self, user: str) -> None:
        self.registered.add(user)
        outbox.wake_targets(self.store, [user])

    @rule(user=st.sampled_from(USERS))
    def deregister(self, user: str) -> None:
        self.registered.discard(user)

    @rule(ms=st.sampled_from([1, 900, 4_000, 8_000, 61_000]))
    def time(self, ms: int) -> None:
        """It passes, and the sweeper looks."""
        self.now[0] += ms
        self.tell_redis()
        self.sweep()

    @rule()
    def sweep(self) -> None:
        self.sweeper.sweep()
        self.promise_sweep()
        self.compare()

    def promise_sweep(self) -> None:
        """Expiry, then what a dead sender left, what a dead api left, and what is not to be tried again."""
        states = [(one, state) for one in self.pushed for state in one.users.values()]
        for one, state in states:
            self.promise_expiry(one, state)
        for _, state in states:
            if state.place == "lost":
                state.place = "waiting"
        for one in sorted(self.pushed, key=lambda each: (each.accepted_ms, each.submission.push.ref)):
            if not one.is_handed_over and one.accepted_ms < self.now[0] - HAND_OVER_LATE_MS:
                self.promise_hand_over(one)
        for _, state in states:
            if state.place == "waiting" and state.is_stopped:
                state.place, state.end = "final", ("cancelled", "1000")

    def promise_expiry(self, one: Pushed, state: One) -> None:
        if self.now[0] < one.before_ms:
            return
        if state.place == "waiting":
            state.place, state.end = "final", ("expired", "*")
        elif state.place == "relayed":
            state.place, state.end = "final", ("unknown", "4000")

    # What senders and completers do --------------------------------------------------------------

    @rule(most=st.integers(1, 5))
    def send(self, most: int) -> None:
        """Takes what is ready; each is sent, held, or ended as the rules of a sender say."""
        self.claim()
        found = outbox.take(self.store, SHARDS, self.owner, transaction_ms=TRANSACTION_MS, most=most)
        for one in [each for batch in found.values() for each in batch or ()]:
            assert isinstance(one, Taken)
            self.decide(one)

    def decide(self, one: Taken) -> None:
        pushed, state = self.whose(one)
        assert state.place in ("waiting", "relayed"), (one.ticket, state)
        assert not state.is_stopped
        assert self.now[0] >= pushed.after_ms, "too early"
        assert one.delivery.aor not in {other.delivery.aor for other in self.in_flight}, "one at a time"
        last = pushes.result_of(self.store, *ticket_delivery(one.ticket))
        if self.now[0] >= pushed.before_ms or state.place == "relayed":
            assert last is not None
            verdict = expired(last.sip_code, held=False)
            self.end(one, verdict, last.sip_code)
            state.place, state.end = "final", (verdict.state, "*")
        elif one.delivery.aor not in self.registered:
            again_ms = min(self.now[0] + 600_000, pushed.before_ms)
            outbox.hold(self.store, [Hold(one.ticket, again_ms)])
        else:
            self.in_flight.append(one)
            state.place = "sent"
            state.sent += 1

    def whose(self, one: Taken) -> tuple[Pushed, One]:
        pushed = self.pushed[int(one.delivery.push_id[1:])]
        return pushed, pushed.users[one.delivery.aor]

    def end(self, one: Taken, outcome: Outcome, sip_code: int) -> None:
        ended = Ended(one.ticket, outcome, "MESSAGE", sip_code, one.attempt, self.now[0], "said")
        finish.store(self.store, [ended], retention_s=KEEP_S)

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 10), code=st.sampled_from([200, 200, 403, 486, 202]), dies=st.integers(0, 5))
    def reply(self, which: int, code: int, dies: int) -> None:
        """A final answer, or one after which it is tried again; the completer may die half way."""
        one = self.in_flight.pop(which % len(self.in_flight))
        pushed, state = self.whose(one)
        again_ms = {486: self.now[0] + RETRY_MS, 202: pushed.before_ms}.get(code)
        if again_ms is not None and again_ms >= pushed.before_ms and code == 486:
            code, again_ms = 403, None
        outcome = DELIVERED if code == 200 else REFUSED
        if again_ms is not None:
            outcome = Outcome(again_ms, "pending", "1001", "again")
        elif not dies and all(self.whose(each)[1].lost < MOST_REPEATS for each in self.in_flight):
            state.place, state.end = "final", (outcome.state, outcome.code)
            self.store_and_die(one, outcome, code)
            return
        self.end(one, outcome, code)
        if code == 486:
            state.place = "waiting"
        elif code == 202:
            state.place, state.is_stopped = "relayed", False
        else:
            state.place, state.end = "final", (outcome.state, outcome.code)

    def store_and_die(self, one: Taken, outcome: Outcome, code: int) -> None:
        """The result is stored, the outbox does not know; what else was in flight has no answer."""
        result = Result(outcome.state, outcome.code, "", "MESSAGE", code, one.attempt, self.now[0])
        ref, index = ticket_delivery(one.ticket)
        event = Event(self.now[0], index, "final", "")
        stored = [Stored(ref, index, result, True, event)]
        pushes.store_results(self.store, stored, now_ms=self.now[0], retention_s=KEEP_S)
        self.die()

    @precondition(lambda self: all(self.whose(one)[1].lost < MOST_REPEATS for one in self.in_flight))
    @rule()
    def die(self) -> None:
        """Kamailio ends and starts again: what it had sent is sent again, with the same Call-ID."""
        for one in self.in_flight:
            _, state = self.whose(one)
            state.place = "lost"
            state.lost += 1
        self.in_flight = []
        self.run += 1
        self.claim()
        self.sweep()

    # The promise kept ----------------------------------------------------------------------------

    def compare(self) -> None:
        """Each recipient of each push is where it should be; who has an end is owed it once."""
        ends = 0
        for one in self.pushed:
            known = pushes.read(self.store, one.submission.push.ref)
            assert known is not None
            for recipient, result in zip(known.recipients, known.results, strict=True):
                state = one.users[recipient.aor]
                told = (result.state, result.code)
                if state.place != "final":
                    assert told == ("pending", "1001"), (known.push.push_id, recipient.aor, state, told)
                    continue
                ends += 1
                wanted = state.end if state.end[1] != "*" else (state.end[0], result.code)
                assert told == wanted, (known.push.push_id, recipient.aor, state, told)
        assert owed.count(self.store) == ends

    def teardown(self) -> None:
        if not hasattr(self, "pushed"):
            return
        for user in USERS:
            self.register(user)
        for _ in range(200):
            self.send(20)
            while self.in_flight:
                self.reply(0, 200, 1)
            self.time(61_000)
            if all(state.place == "final" for one in self.pushed for state in one.users.values()):
                break
        self.sweep()
        states = Counter(state.place for one in self.pushed for state in one.users.values())
        assert set(states) <= {"final"}
        left = [name for number in SHARDS for name in self.store.db.hkeys(keys.outbox(number, "delivery"))]
        assert left == []
        assert withdrawals.untold(self.store) == {}
        assert withdrawals.stopped(self.store) == []
        assert self.store.db.keys("busy:*") == []
        assert all(
            state.sent - state.lost <= 1 or state.end[0] != "delivered" or state.sent > 0
            for one in self.pushed
            for state in one.users.values()
        )


@pytest.fixture
def own_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Redis functions, and everything that asks for the wall clock, have this time."""
    now = [START_MS]
    for code in client.libraries().values():
        timed = code.replace("redis.call('TIME')", "redis.call('MGET', 'test-s', 'test-us')")
        store.db.function_load(timed, replace=True)
    monkeypatch.setattr(clock, "now_ms", lambda: now[0])
    return now


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("examples", [25, pytest.param(300, marks=pytest.mark.long)])
def test_whatever_happens_in_whatever_order_each_push_comes_to_the_end_that_is_promised(
    store: Store, own_time: list[int], examples: int
) -> None:
    class Here(PromiseMachine):
        pass

    Here.store, Here.config, Here.now = store, parse({}, "test.toml"), own_time
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, phases=[Phase.generate]
        ),
    )
