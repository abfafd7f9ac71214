"""Pushes for hosted applications in Redis: stored once, borrowed, settled, given up, told again."""

from typing import Any

import pytest

from omapush.push.backend_answer import Verdict, judge
from omapush.push.hosted import HostedPush, HostedState
from omapush.store import hosted, keys
from omapush.store.client import Store
from omapush.store.hosted import Placed, Placing
from tests.store.conftest import NOW_MS, writes
from tests.unit.push.test_hosted import pushed

APP = "mms.ua"
WAITER = "host/127.0.0.1:5070/abcd"
TAKEN, REFUSED, BUSY = judge(204), judge(415), judge(503)


def place(
    store: Store, push: HostedPush, *, waiter: str = "", to_stream: bool = False, most: int = 400
) -> Placed:
    placing = Placing(push, to_stream, most, 60, waiter, NOW_MS + 2_000 if waiter else 0)
    return hosted.place_all(store, [placing], NOW_MS)[0]


def borrow(store: Store, at_ms: int = NOW_MS) -> list[HostedPush]:
    found = hosted.borrow(store, APP, at_ms, lease_ms=1_000, most=100, kept_s=3_600)
    return [one.push for one in found]


def settle(
    store: Store, push: HostedPush, verdict: Verdict, *, at_ms: int = NOW_MS, again_ms: int | None = None
) -> bool:
    return hosted.settle(store, push, verdict, HostedState(1, at_ms, verdict.text), again_ms=again_ms)


def first_of_stream(store: Store, name: str) -> tuple[str, dict[bytes, bytes]]:
    """Entry and fields of the only push in a stream."""
    found: Any = store.db.xrange(name)
    ((entry, fields),) = found
    return entry, fields


def test_a_push_is_stored_once_and_lent_to_one_at_a_time(store: Store, other_store: Store) -> None:
    push = pushed()
    assert place(store, push) == Placed("new", push.id, None, False)
    assert place(store, push) == Placed("seen", push.id, None, False)

    assert borrow(store) == [push]
    assert borrow(other_store) == []
    assert borrow(other_store, NOW_MS + 1_000) == [push]


def test_a_repeat_writes_so_that_it_waits_for_what_came_before_it(store: Store) -> None:
    """As for pushes: WAIT looks at the last write of its own connection alone."""
    first = pushed(push_id="p")
    place(store, first)
    for again in (first, pushed(push_id="p", call_id="d@psa")):
        before = writes(store)
        assert place(store, again).status == "seen"
        assert writes(store) > before
    assert all(0 < store.db.pttl(name) <= 60_000 for name in store.db.scan_iter("hosted-seen*"))


@pytest.mark.req("PROP-CTRL-4")
def test_the_senders_own_name_tells_a_repeat_in_another_request(store: Store) -> None:
    first, second = pushed(push_id="p"), pushed(push_id="p", call_id="d@psa")
    place(store, first)

    assert place(store, second)[:2] == ("seen", first.id)
    assert place(store, pushed(push_id="q", call_id="e@psa")).status == "new"
    assert len(borrow(store)) == 2


def test_what_was_taken_leaves_nothing_but_the_memory_that_it_came(store: Store) -> None:
    push = pushed(push_id="p")
    place(store, push)
    assert settle(store, push, TAKEN) is False

    assert hosted.everything(store, APP) == []
    left = {name.decode().partition(":")[0] for name in store.db.scan_iter()}
    assert left == {"hosted-seen"}
    assert all(0 < store.db.ttl(name) <= 60 for name in store.db.scan_iter())
    assert place(store, push).status == "seen"


def test_a_waiter_is_told_once_and_the_push_is_over(store: Store) -> None:
    push = pushed(push_id="p")
    assert place(store, push, waiter=WAITER).waits
    assert place(store, push, waiter=WAITER)[0::3] == ("seen", True)
    assert settle(store, push, BUSY, again_ms=NOW_MS + 10) is True

    assert hosted.verdicts(store, WAITER, 10) == [(push.id, BUSY)]
    assert hosted.verdicts(store, WAITER, 10) == []
    assert hosted.everything(store, APP) == []
    assert place(store, push).verdict == BUSY
    assert place(store, pushed(push_id="p", call_id="later@psa")).status == "new"


def test_whoever_comes_first_wins_the_waiter_or_the_verdict(store: Store) -> None:
    """A sender that was told 200 never loses its push to a refusal that comes later."""
    accepted, refused = pushed(), pushed(call_id="d@psa")
    place(store, accepted, waiter=WAITER)
    place(store, refused, waiter=WAITER)

    assert hosted.accept_all(store, [(APP, accepted.id)]) == [None]
    assert settle(store, accepted, BUSY, again_ms=NOW_MS + 10) is False
    assert settle(store, refused, REFUSED) is True
    assert hosted.accept_all(store, [(APP, refused.id)]) == [REFUSED]
    assert [one.push for one in hosted.everything(store, APP)] == [accepted]
    assert borrow(store, NOW_MS + 10) == [accepted]


def test_a_waiter_that_is_long_gone_is_not_told_and_its_push_is_kept(store: Store) -> None:
    push = pushed()
    place(store, push, waiter=WAITER)
    late = NOW_MS + 2_000 + 5_001

    assert settle(store, push, BUSY, at_ms=late, again_ms=late + 10) is False
    assert borrow(store, late + 10) == [push]


def test_what_is_given_up_is_listed_until_it_is_told_again_or_forgotten(store: Store) -> None:
    push = pushed()
    place(store, push)
    settle(store, push, REFUSED)
    (failed,) = hosted.everything(store, APP)
    assert (failed.push, failed.state.text, failed.due_ms) == (push, "HTTP 415", 0)
    assert borrow(store) == []

    assert hosted.retry(store, APP, NOW_MS) == 1
    assert hosted.everything(store, APP)[0].state == HostedState()
    assert borrow(store) == [push]

    settle(store, push, REFUSED)
    assert borrow(store, NOW_MS + 3_600_000) == []
    assert hosted.everything(store, APP) == []


def test_an_exchange_that_was_settled_elsewhere_changes_nothing(store: Store) -> None:
    push = pushed()
    place(store, push)
    settle(store, push, TAKEN)

    assert settle(store, push, REFUSED) is False
    assert hosted.everything(store, APP) == []


def test_no_more_wait_than_there_is_room_for(store: Store) -> None:
    """`most` is for all shards; of the same user all are in one."""
    shards = store.layout.user_shards
    calls = [pushed(call_id=f"{number}@psa") for number in range(3)]

    assert [place(store, one, most=2 * shards).status for one in calls] == ["new", "new", "full"]
    assert place(store, calls[2], most=2 * shards).status == "full"
    settle(store, calls[0], TAKEN)
    assert place(store, calls[2], most=2 * shards).status == "new"


def test_a_stream_gets_plain_fields_and_is_bounded_too(store: Store) -> None:
    push = pushed(push_id="p", fields=(("Priority", "urgent"),), body=b"\0\xff", content_type="a/b")
    assert place(store, push, to_stream=True, most=1).status == "new"
    assert place(store, push, to_stream=True, most=1).status == "seen"
    assert place(store, pushed(call_id="d@psa"), to_stream=True, most=1).status == "full"

    name = keys.hosted(store.layout.user_shard(push.recipient), "stream", APP)
    fields = first_of_stream(store, name)[1]
    assert (fields[b"id"], fields[b"content"]) == (push.id.encode(), b"\0\xff")
    assert (fields[b"header:priority"], fields[b"push-id"]) == (b"urgent", b"p")
    assert hosted.streamed(store, APP) == 1
    assert borrow(store) == []


def test_a_record_that_cannot_be_read_leaves_the_others_alone(store: Store) -> None:
    broken, whole = pushed(), pushed(call_id="d@psa")
    place(store, broken)
    place(store, whole)
    shard = store.layout.target_shard(broken.id)
    store.db.hset(keys.hosted(shard, "push", APP), broken.id, b"\xc1")

    assert borrow(store) == [whole]
    assert [one.push for one in hosted.everything(store, APP)] == [whole]
