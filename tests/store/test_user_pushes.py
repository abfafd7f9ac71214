"""The newest pushes of each user: entered on the way to the outbox, found at once, forgotten in time."""

from __future__ import annotations

import pytest

from omapush import clock
from omapush.push.values import Push, Recipient, push_ref, target
from omapush.store import erasing, handing_over, keys, own_pushes, pushes, user_pushes
from omapush.store.client import Store
from omapush.store.own_pushes import Place
from omapush.store.pushes import Submission
from omapush.store.user_data import User
from omapush.views import push_search
from omapush.views.push_search import FOREVER_MS, Wanted
from tests.store.conftest import Make

ALICE, BOB = "sip:alice@home1.example", "sip:bob@home1.example"
RETENTION_S = 600


def accepted(store: Store, make: Make, *aors: str, at_ms: int = 0, listed: bool = True) -> Submission:
    """A push that is accepted now, or so many ms later, and has left for the outbox."""
    one = make.submission(*aors)
    accepted_ms = clock.now_ms() + at_ms
    push = one.push._replace(accepted_ms=accepted_ms, deliver_before_ms=accepted_ms + 60_000)
    one = one._replace(push=push)
    assert pushes.accept_all(store, [one]) == [True]
    if listed:
        handing_over.fresh(store, [one], now_ms=accepted_ms, retention_s=RETENTION_S)
    return one


def place(one: Submission) -> Place:
    return Place(one.push.accepted_ms, one.push.ref)


def page(store: Store, aor: str, before: Place | None = None) -> list[Place]:
    return user_pushes.page(store, aor, before=before, since_ms=0, until_ms=FOREVER_MS)


def name_of(store: Store, aor: str) -> str:
    return keys.user_pushes(store.layout.user_shard(aor), target(aor))


def found(store: Store, aor: str, before: Place | None = None, limit: int = 50) -> push_search.Found:
    return push_search.search(store, ["pi"], Wanted(recipient=aor), before, limit)


def refs(result: push_search.Found) -> list[str]:
    return [one.push.ref for one in result.pushes]


def test_a_push_is_in_the_list_of_each_of_its_recipients_once(store: Store, make: Make) -> None:
    first = accepted(store, make, ALICE, BOB)
    second = accepted(store, make, ALICE, at_ms=5)

    handing_over.left(store, first.push.ref, now_ms=clock.now_ms(), retention_s=RETENTION_S)  # again

    assert page(store, ALICE) == [place(second), place(first)]
    assert page(store, ALICE, before=place(second)) == [place(first)]
    assert page(store, BOB) == [place(first)]
    assert page(store, "sip:carol@home1.example") == []


def test_a_list_does_not_stay_for_ever_because_a_deadline_says_never(store: Store, make: Make) -> None:
    one = make.submission(ALICE)
    push = one.push._replace(accepted_ms=clock.now_ms(), deliver_before_ms=253_402_300_799_000)

    user_pushes.enter(store, [(push, one.recipients)], retention_s=RETENTION_S)

    days = int(store.db.ttl(name_of(store, ALICE))) / 86_400
    assert 399 < days < 401


def test_a_push_whose_process_died_is_entered_by_who_finds_it(store: Store, make: Make) -> None:
    one = accepted(store, make, ALICE, listed=False)
    assert page(store, ALICE) == []

    handing_over.left(store, one.push.ref, now_ms=clock.now_ms(), retention_s=RETENTION_S)

    assert page(store, ALICE) == [place(one)]


def test_a_list_lives_as_long_as_the_longest_of_its_pushes(store: Store, make: Make) -> None:
    now_ms = clock.now_ms()
    template = make.submission(ALICE).push

    def enter(number: int, lives_s: int) -> int:
        push = template._replace(
            ref=push_ref("pi", f"n{number}"), accepted_ms=now_ms, deliver_before_ms=now_ms + lives_s * 1000
        )
        user_pushes.enter(store, [(push, [Recipient(ALICE, ALICE)])], retention_s=RETENTION_S)
        return int(store.db.pexpiretime(name_of(store, ALICE)))

    assert enter(1, 60) == now_ms + 660_000
    assert enter(2, 10) == now_ms + 660_000
    assert enter(3, 3_600) == now_ms + 4_200_000


def test_who_cannot_be_reached_has_no_list(store: Store, make: Make) -> None:
    push: Push = make.submission(ALICE).push

    user_pushes.enter(store, [(push, [Recipient("nobody", ""), Recipient(BOB, BOB)])], retention_s=1)

    assert store.db.keys("user-pushes:*") == [name_of(store, BOB).encode()]


def test_only_the_newest_are_listed_and_the_others_are_found_among_all(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = [accepted(store, make, ALICE, at_ms=number) for number in range(user_pushes.MOST + 5)]
    newest_first = [one.push.ref for one in reversed(all_of_them)]

    assert user_pushes.number(store, ALICE) == user_pushes.MOST
    assert user_pushes.oldest(store, ALICE) == place(all_of_them[5])
    assert refs(found(store, ALICE, limit=500)) == newest_first
    for limit in (1, 50, 60, user_pushes.MOST):  # pages that end where the list does, and others
        walked, before = [], None
        while True:
            step = found(store, ALICE, before, limit)
            assert len(step.pushes) <= limit
            walked += refs(step)
            before = step.further
            if before is None:
                break
        assert walked == newest_first


def test_a_push_to_a_user_is_found_however_many_came_to_others_since(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_search, "LOOKED_AT", 4)
    wanted = accepted(store, make, ALICE)
    for number in range(20):
        accepted(store, make, BOB, at_ms=1 + number)

    assert refs(found(store, ALICE)) == [wanted.push.ref]
    assert found(store, ALICE).further is None
    store.db.delete(name_of(store, ALICE))  # as if it were from before there were lists
    step = found(store, ALICE)
    assert (refs(step), step.further is None) == ([], False)
    steps = 0
    while step.further is not None and not step.pushes:
        step = found(store, ALICE, step.further)
        steps += 1
        assert steps < 20
    assert refs(step) == [wanted.push.ref]


def test_a_search_in_a_list_keeps_to_initiators_and_states(store: Store, make: Make) -> None:
    mine = accepted(store, make, ALICE)
    forgotten = accepted(store, make, ALICE, at_ms=1)
    store.db.delete(keys.push(store.layout.push_shard(forgotten.push.ref), forgotten.push.ref))

    def search(initiators: list[str], wanted: Wanted) -> list[str]:
        return refs(push_search.search(store, initiators, wanted, None, 50))

    assert search(["pi"], Wanted(recipient=ALICE)) == [mine.push.ref]
    assert search(["pi"], Wanted("running", "mms.ua", ALICE)) == [mine.push.ref]
    assert search(["other"], Wanted(recipient=ALICE)) == []
    assert search(["pi"], Wanted("finished", recipient=ALICE)) == []
    assert search(["pi"], Wanted(application="other.ua", recipient=ALICE)) == []
    assert search(["pi"], Wanted(recipient=ALICE, since_ms=mine.push.accepted_ms + 1)) == []


def test_an_erased_user_has_no_list(store: Store, make: Make) -> None:
    accepted(store, make, ALICE, BOB)

    for _ in erasing.erase(store, User((ALICE,)), now_ms=clock.now_ms(), retention_s=RETENTION_S):
        pass

    assert page(store, ALICE) == []
    assert len(page(store, BOB)) == 1


def test_results_in_a_list_are_those_of_the_user(store: Store, make: Make) -> None:
    both, one = accepted(store, make, BOB, ALICE), accepted(store, make, BOB)
    summaries = own_pushes.summaries(store, [both.push.ref, one.push.ref])
    assert summaries[0] is not None
    assert summaries[1] is not None

    assert push_search.result_in(store, summaries[0], ALICE) == both.results[1]
    assert push_search.result_in(store, summaries[0], "") is None
    assert push_search.result_in(store, summaries[1], "") == one.results[0]
    assert push_search.result_in(store, summaries[1], ALICE) is None
