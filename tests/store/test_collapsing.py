"""Replace keys in Redis: of what waits for a user only the newest is kept, in whatever order things go."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush import clock
from omapush.push.values import Event, Result, collapse_field, ticket, ticket_delivery
from omapush.store import cancelling, handing_over, outbox, pushes, withdrawals
from omapush.store.client import Store
from omapush.store.outbox import Finished, Owner
from omapush.store.pushes import Stored, Submission
from tests.store.conftest import Make

KEEP_S = 100
A, B = "sip:a@home1.example", "sip:b@home1.example"
OWNER = Owner("node", "run", 0)


def keyed(make: Make, *aors: str, order: int, key: str = "score", initiator: str = "pi") -> Submission:
    one = make.submission(*aors, notify_url="")
    now_ms = clock.now_ms()
    push = one.push._replace(
        replace_key=key,
        order_us=now_ms * 1000 + order,
        accepted_ms=now_ms,
        deliver_before_ms=now_ms + 600_000,
        initiator=initiator,
    )
    return one._replace(push=push)


def accept(store: Store, *submissions: Submission) -> None:
    assert all(pushes.accept_all(store, submissions))


def hand_over(store: Store, one: Submission) -> None:
    handing_over.left(store, one.push.ref, now_ms=clock.now_ms(), retention_s=KEEP_S)


def states(store: Store, one: Submission) -> list[str]:
    known = pushes.read(store, one.push.ref)
    assert known is not None
    return [result.state for result in known.results]


def known(store: Store, one: Submission) -> pushes.Known:
    found = pushes.read(store, one.push.ref)
    assert found is not None
    return found


def scores(store: Store, name: str) -> list[tuple[bytes, float]]:
    found: list[tuple[bytes, float]] = store.db.zrange(name, 0, -1, withscores=True)  # type: ignore[assignment]
    return [(member, score) for member, score in found]


def waiting(store: Store) -> set[tuple[str, int]]:
    """What is in the outbox."""
    found: set[tuple[str, int]] = set()
    for number in range(store.layout.user_shards):
        names: list[bytes] = store.db.hkeys(f"delivery:{{u{number}}}")  # type: ignore[assignment]
        found |= {ticket_delivery(name.decode()) for name in names}
    return found


def test_the_newest_takes_the_place_of_the_older_for_those_whom_both_are_for(
    store: Store, make: Make
) -> None:
    old, new = keyed(make, A, order=1), keyed(make, A, B, order=2)
    accept(store, old, new)
    hand_over(store, old)
    hand_over(store, new)

    assert states(store, old) == ["cancelled"]
    known = pushes.read(store, old.push.ref)
    assert known is not None
    assert known.results[0].desc == f"replaced by push {new.push.push_id}"
    assert known.results[0].code == "1000"
    assert waiting(store) == {(new.push.ref, 0), (new.push.ref, 1)}
    assert withdrawals.untold(store) == {}


def test_another_key_application_initiator_or_none_is_not_touched(store: Store, make: Make) -> None:
    same = keyed(make, A, order=1)
    others = [
        keyed(make, A, order=2, key="other"),
        keyed(make, A, order=3, initiator="another"),
        keyed(make, A, order=4, key=""),
    ]
    other = keyed(make, A, order=5)
    others.append(other._replace(push=other.push._replace(application="ulp.ua")))
    accept(store, same, *others)
    for one in (same, *others):
        hand_over(store, one)

    assert len(waiting(store)) == 5


def test_one_that_is_handed_over_late_does_not_overtake_the_newer(store: Store, make: Make) -> None:
    old, new = keyed(make, A, order=1), keyed(make, A, order=2)
    accept(store, old, new)
    hand_over(store, new)
    hand_over(store, old)
    cancelling.repair(store, now_ms=clock.now_ms(), retention_s=KEEP_S)

    assert states(store, old) == ["cancelled"]
    assert waiting(store) == {(new.push.ref, 0)}


def test_what_is_at_a_sender_is_not_sent_again_and_the_newer_follows(store: Store, make: Make) -> None:
    old, new = keyed(make, A, order=1), keyed(make, A, order=2)
    accept(store, old, new)
    hand_over(store, old)
    shards = list(range(store.layout.user_shards))
    outbox.claim(store, shards, OWNER, lease_ms=10_000, transaction_ms=10_000)
    outbox.take(store, shards, OWNER, transaction_ms=10_000, most=10)
    hand_over(store, new)
    assert states(store, old) == ["pending"]

    place = ticket(pushes.delivery_of(old.push, 0, old.recipients[0], b""))
    outbox.complete(store, [Finished(place, clock.now_ms() + 60_000)])
    cancelling.repair(store, now_ms=clock.now_ms(), retention_s=KEEP_S)

    assert states(store, old) == ["cancelled"]
    assert waiting(store) == {(new.push.ref, 0)}


def test_what_a_relay_took_is_not_called_back(store: Store, make: Make) -> None:
    old, new = keyed(make, A, order=1), keyed(make, A, order=2)
    accept(store, old, new)
    hand_over(store, old)
    relayed = Result("pending", "1001", "at a relay", "MESSAGE", 202, 1, clock.now_ms())
    stored = Stored(old.push.ref, 0, relayed, False, Event(clock.now_ms(), 0, "reply", "202"))
    pushes.store_results(store, [stored], now_ms=clock.now_ms(), retention_s=KEEP_S)

    hand_over(store, new)

    assert states(store, old) == ["pending"]
    assert len(waiting(store)) == 2


def test_a_death_before_the_push_is_told_is_mended(store: Store, make: Make) -> None:
    old, new = keyed(make, A, order=1), keyed(make, A, order=2)
    accept(store, old, new)
    hand_over(store, old)
    rows = [
        withdrawals.Newest(collapse_field(new.push, A), new.push.order_us, "replaced", delivery)
        for delivery in pushes.open_deliveries(store, new.push.ref)
    ]
    withdrawals.collapse(store, rows, [""] * len(rows))  # and nothing more: the process is gone
    assert states(store, old) == ["pending"]

    cancelling.repair(store, now_ms=clock.now_ms(), retention_s=KEEP_S)

    assert states(store, old) == ["cancelled"]


def test_a_key_is_forgotten_with_the_deadline_of_its_newest_push(store: Store, make: Make) -> None:
    old = keyed(make, A, order=1)
    old = old._replace(push=old.push._replace(deliver_before_ms=clock.now_ms() - 1))
    new = keyed(make, A, order=2, key="other")
    accept(store, old, new)
    hand_over(store, old)
    hand_over(store, new)

    number = store.layout.user_shard(A)
    assert store.db.hlen(f"newest:{{u{number}}}") == 1


def test_a_key_whose_deadline_says_never_is_forgotten_once_its_push_does_not_wait(
    store: Store, make: Make
) -> None:
    """Else each user and key that ever was would stay in Redis for thousands of years."""
    never = 253_402_300_799_000
    gone, waits = keyed(make, A, order=1, key="gone"), keyed(make, A, order=2, key="waits")
    other = keyed(make, A, order=3, key="other")
    gone, waits = (one._replace(push=one.push._replace(deliver_before_ms=never)) for one in (gone, waits))
    accept(store, gone, waits, other)
    hand_over(store, gone)
    hand_over(store, waits)
    cancelling.cancel(store, known(store, gone), [0], now_ms=clock.now_ms(), retention_s=KEEP_S)
    number = store.layout.user_shard(A)
    newest, aging = f"newest:{{u{number}}}", f"aging:{{u{number}}}"
    assert all(score < clock.now_ms() + 8 * 86_400_000 for _, score in scores(store, aging))

    for name, _ in scores(store, aging):  # a week later
        store.db.zadd(aging, {name: clock.now_ms() - 1})
    hand_over(store, other)

    fields = {collapse_field(one.push, A).encode() for one in (waits, other)}
    assert set(store.db.hkeys(newest)) == fields == {name for name, _ in scores(store, aging)}
    newer = keyed(make, A, order=4, key="waits")
    accept(store, newer)
    hand_over(store, newer)
    assert states(store, waits) == ["cancelled"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["hand over", "deliver", "repair"]), st.integers(0, 4)), max_size=25
    )
)
def test_in_any_order_of_things_the_newest_is_delivered_or_waits(
    store: Store, make: Make, steps: list[tuple[str, int]]
) -> None:
    store.db.flushall()
    five = [keyed(make, A, order=number) for number in range(5)]
    accept(store, *five)
    handed: set[int] = set()
    delivered: set[int] = set()
    for what, number in steps:
        one = five[number]
        if what == "hand over":
            hand_over(store, one)
            handed.add(number)
        elif what == "repair":
            cancelling.repair(store, now_ms=clock.now_ms(), retention_s=KEEP_S)
        elif (one.push.ref, 0) in waiting(store):
            result = Result("delivered", "1000", "said", "MESSAGE", 200, 1, clock.now_ms())
            event = Event(clock.now_ms(), 0, "final", "")
            pushes.store_results(
                store,
                [Stored(one.push.ref, 0, result, True, event)],
                now_ms=clock.now_ms(),
                retention_s=KEEP_S,
            )
            outbox.complete(
                store, [Finished(ticket(pushes.delivery_of(one.push, 0, one.recipients[0], b"")), 0)]
            )
            delivered.add(number)
    cancelling.repair(store, now_ms=clock.now_ms(), retention_s=KEEP_S)

    newest = max(handed, default=None)
    left = {number for number, one in enumerate(five) if (one.push.ref, 0) in waiting(store)}
    assert left == ({newest} - delivered if newest is not None else set())
    for number in handed - left:
        assert states(store, five[number]) == (["delivered"] if number in delivered else ["cancelled"])
    for number in set(range(5)) - handed:
        assert states(store, five[number]) == ["pending"]
