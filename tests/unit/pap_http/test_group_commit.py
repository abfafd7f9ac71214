"""Submissions are stored together, and each is told what became of it, also after a defect of ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
import structlog

from omapush.config import parse
from omapush.errors import StoreUnavailable
from omapush.pap_http.group_commit import GroupCommit
from omapush.pap_http.quotas import Quotas
from omapush.push.values import Event, Push, Recipient, Result, push_ref
from omapush.store import client, handing_over, own_pushes, push_pages, pushes
from omapush.store.client import Store, StoreRefused
from omapush.store.pushes import Submission
from tests.harness.values import a_push

NOW_MS = 1_790_000_000_000
DEFECT = TypeError("a defect")


def submission(number: int, recipients: int = 1) -> Submission:
    """One push of initiator pi."""
    push = a_push(
        ref=push_ref("pi", f"{number}@pi"),
        push_id=f"{number}@pi",
        accepted_ms=NOW_MS,
        deliver_before_ms=NOW_MS + 10_000,
    )
    to = tuple(Recipient(f"sip:{index}@a", f"sip:{index}@a") for index in range(recipients))
    pending = Result("pending", "1001", "queued", "", 0, 0, NOW_MS)
    return Submission(push, to, (pending,) * recipients, b"x", Event(NOW_MS, -1, "accepted", "now"))


class Trips:
    """What goes to Redis, trip by trip; the first does not come back before `go` is set."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        *,
        failing: int = -1,
        by: Exception = DEFECT,
        handing: bool = False,
        culprit: str = "",
        late: bool = False,
    ) -> None:
        """
        Have one trip fail `by` an error: the number `failing`, or any with the push `culprit`.

        `handing`: it is the hand-over that fails; `late`: what is in the trip is stored all the same.
        """
        self.stored: list[list[str]] = []
        self.there: set[Push] = set()
        self.handed: list[str] = []
        self.go = threading.Event()
        self.hand = threading.Event()
        "No hand-over ends before it is set."
        self.hand.set()
        self._culprit, self._late = culprit, late
        self._failing, self._by, self._handing = failing, by, handing
        patch.setattr(pushes, "accept_all", self.accept_all)
        patch.setattr(pushes, "accept_large", lambda store, one: self.accept_all(store, [one])[0])
        patch.setattr(handing_over, "fresh", self._hand_over)
        patch.setattr(own_pushes, "is_stored", lambda _, push: push in self.there)

    def accept_all(self, _store: Store, submissions: Sequence[Submission]) -> list[bool]:
        """Make a trip."""
        self.go.wait(10)
        self.stored.append([one.push.push_id for one in submissions])
        is_bad = self._culprit in self.stored[-1] or len(self.stored) - 1 == self._failing
        fails = is_bad and not self._handing
        if fails and not self._late:
            raise self._by
        answers = [one.push not in self.there for one in submissions]
        self.there |= {one.push for one in submissions}
        if fails:
            raise self._by
        return answers

    def _hand_over(self, _store: Store, submissions: Sequence[Submission], **_: object) -> None:
        self.hand.wait(10)
        named = [one.push.push_id for one in submissions]
        is_bad = self._culprit in named or named in self.stored[self._failing : self._failing + 1]
        if self._handing and is_bad:
            raise self._by
        self.handed += [one.push.push_id for one in submissions]


def told(trips: Trips, first: Submission, *others: Submission) -> list[bool | BaseException]:
    """Have one stored, and when its trip is under way the others; return what each was told."""
    config = parse({}, "omapush.toml")
    store = client.connect(config.redis)  # its socket is never opened
    commit = GroupCommit(store, Quotas(config, store, cast(Any, None)), retention_s=1)

    async def run() -> list[bool | BaseException]:
        tasks = [asyncio.create_task(commit.accept(first))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(commit.accept(other)) for other in others]
        await asyncio.sleep(0)
        trips.go.set()
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            while commit.under_way:
                await asyncio.sleep(0.001)
        return answers

    return asyncio.run(run())


def test_what_comes_while_one_trip_is_under_way_shares_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch)

    assert told(trips, submission(1), submission(2), submission(3)) == [True] * 3
    assert trips.stored == [["1@pi"], ["2@pi", "3@pi"]]


def test_the_next_are_stored_while_the_first_are_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch)
    trips.hand.clear()
    config = parse({}, "omapush.toml")
    store = client.connect(config.redis)  # its socket is never opened
    commit = GroupCommit(store, Quotas(config, store, cast(Any, None)), retention_s=1)
    trips.go.set()

    async def run() -> list[bool]:
        async with asyncio.timeout(10):
            accepted = [await commit.accept(submission(number)) for number in (1, 2, 3)]
            assert commit.under_way
            trips.hand.set()
            while commit.under_way:
                await asyncio.sleep(0.001)
        return accepted

    assert asyncio.run(run()) == [True] * 3
    assert trips.handed == ["1@pi", "2@pi", "3@pi"]


def test_only_those_of_a_trip_that_failed_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch, failing=0, by=StoreUnavailable("away"))

    first, *others = told(trips, submission(1), submission(2))

    assert isinstance(first, StoreUnavailable)
    assert others == [True]


def test_a_defect_is_told_to_who_waits_and_logged_and_the_next_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trips = Trips(monkeypatch, failing=0)

    with structlog.testing.capture_logs() as lines:
        first, *others = told(trips, submission(1), submission(2))

    assert first is DEFECT
    assert others == [True]
    assert [(one["event"], one["exc_info"]) for one in lines] == [("acceptance_crashed", DEFECT)]


def test_a_defect_while_a_push_to_many_is_stored_is_told_and_leaves_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trips = Trips(monkeypatch, failing=0)
    many = push_pages.LARGE + 1

    with structlog.testing.capture_logs() as lines:
        first, *others = told(trips, submission(1, many), submission(2, many))

    assert first is DEFECT
    assert others == [True]
    assert [one["event"] for one in lines] == ["acceptance_crashed"]


def test_of_those_that_came_together_only_the_one_that_brings_out_a_defect_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trips = Trips(monkeypatch, culprit="3@pi")

    with structlog.testing.capture_logs() as lines:
        answers = told(trips, *(submission(number) for number in range(1, 6)))

    assert answers == [True, True, DEFECT, True, True]
    assert trips.handed == ["1@pi", "2@pi", "4@pi", "5@pi"]
    assert [(one["event"], one["pushes"], one["which"]) for one in lines] == [
        ("acceptance_crashed", 1, ["pi 3@pi"])
    ]


def test_of_those_that_came_together_only_the_one_that_redis_refuses_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = StoreRefused("too many results to unpack")
    trips = Trips(monkeypatch, culprit="3@pi", by=refused)

    with structlog.testing.capture_logs() as lines:
        answers = told(trips, *(submission(number) for number in range(1, 6)))

    assert answers == [True, True, refused, True, True]
    assert trips.handed == ["1@pi", "2@pi", "4@pi", "5@pi"]
    assert lines == []


def test_what_a_defect_found_stored_already_is_no_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = Trips(monkeypatch, failing=1, late=True)

    assert told(trips, submission(1), submission(2), submission(3)) == [True] * 3
    assert trips.handed == ["1@pi", "2@pi", "3@pi"]


def test_when_redis_goes_away_behind_a_defect_nobody_is_told_that_it_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trips = Trips(monkeypatch, failing=1)
    unavailable = StoreUnavailable("away")

    def accept_all(store: Store, submissions: Sequence[Submission]) -> list[bool]:
        if len(trips.stored) == 2:
            raise unavailable
        return trips.accept_all(store, submissions)

    monkeypatch.setattr(pushes, "accept_all", accept_all)
    assert told(trips, submission(1), submission(2), submission(3)) == [True, unavailable, unavailable]


@pytest.mark.parametrize("recipients", [1, push_pages.LARGE + 1])
def test_a_defect_after_the_answer_changes_no_answer_and_the_next_are_stored(
    monkeypatch: pytest.MonkeyPatch, recipients: int
) -> None:
    trips = Trips(monkeypatch, failing=0, handing=True)

    with structlog.testing.capture_logs() as lines:
        answers = told(trips, submission(1, recipients), submission(2, recipients))

    assert answers == [True, True]
    assert [one["event"] for one in lines] == ["acceptance_crashed"]
