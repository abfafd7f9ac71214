"""Pushes to all subscribers: registered, expanded page by page, steered, counted; each step once."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import count

import pytest
from expander import Expander

from omapush import clock, config
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.sweeper import Sweeper
from omapush.push.fan_out import PAGE, FanOut, Page, Progress, Subscriber
from omapush.push.outcome import Outcome
from omapush.push.values import Delivery, Event, target, ticket, ticket_delivery
from omapush.store import fanouts, finish, keys, outbox, pushes
from omapush.store.client import Store
from omapush.store.finish import Ended
from omapush.store.outbox import Owner, Taken
from omapush.store.pushes import Known, Submission
from tests.harness.messagepack import named, unpacked
from tests.harness.wait import wait_until
from tests.store.conftest import NOW_MS, Make

SENDER = Owner("node-1", "run-a", 0)
KEEP_S = 100
DELIVERED = Outcome(None, "delivered", "1000", "delivered (200 OK)")
_seconds = count()
GONE = Outcome(None, "undeliverable", "5027", "no longer subscribed")


class Directory:
    """Subscribers by shard, in the order of their ids."""

    def __init__(self, store: Store, number: int, name: str = "user") -> None:
        self.aors = [f"sip:{name}{index}@home1.example" for index in range(number)]
        self._shards: dict[int, list[tuple[str, str]]] = {shard: [] for shard in range(4)}
        for aor in self.aors:
            place = f"{target(aor)}{target(aor[::-1])}"
            self._shards[store.layout.target_shard(place)].append((place, aor))
        for members in self._shards.values():
            members.sort()

    def __call__(
        self, _store: Store, shard: int, _application: str, cursor: str, most: int
    ) -> tuple[list[str], list[Subscriber]]:
        members = self._shards[shard]
        first = bisect_right(members, (cursor, "~"))
        page = members[first : first + most]
        return [place for place, _ in page], [Subscriber(*member) for member in page]


def expander(store: Store, directory: Directory) -> Expander:
    return Expander(store, directory, transaction_ms=60_000, retention_s=KEEP_S)


def fan_out(make: Make, *, reach: tuple[str, ...] = ("*",), before_ms: int = 0) -> Submission:
    one = make.submission(notify_url="")
    push = one.push._replace(subscribers=reach, deliver_before_ms=before_ms or clock.now_ms() + 600_000)
    return Submission(push, (), (), b"abc", one.event)


def accepted(store: Store, one: Submission) -> str:
    assert pushes.accept_all(store, [one]) == [True]
    fanouts.register(store, [(pushes.fan_out_of(one.push, one.content), "running")])
    return one.push.ref


def known(store: Store, ref: str) -> Known:
    found = pushes.read(store, ref)
    assert found is not None
    return found


def counted(store: Store, ref: str) -> tuple[str, dict[str, int]]:
    found = known(store, ref).subscribers
    assert found is not None
    return found.state, found.by_state


def take(store: Store, most: int = 1_000) -> list[Taken]:
    shards = range(store.layout.user_shards)
    outbox.claim(store, shards, SENDER, lease_ms=60_000, transaction_ms=60_000)
    taken = outbox.take(store, shards, SENDER, transaction_ms=60_000, most=most)
    return [one for batch in taken.values() for one in batch or () if isinstance(one, Taken)]


def end(store: Store, taken: list[Taken], outcome: Outcome = DELIVERED) -> None:
    now_ms = clock.now_ms()
    ended = [Ended(one.ticket, outcome, "NOTIFY", 200, 1, now_ms, outcome.desc) for one in taken]
    if ended:
        finish.store(store, ended, retention_s=KEEP_S)


def run(store: Store, expanding: Expander, steps: int = 1) -> None:
    for _ in range(steps):
        expanding.run_once(range(store.layout.user_shards), float(next(_seconds)))


def carry_out(store: Store, expanding: Expander, ref: str) -> list[Delivery]:
    """Send and answer until the push is finished; returns what was sent."""
    sent: list[Delivery] = []
    for _ in range(1_000):
        run(store, expanding)
        taken = take(store)
        sent += [one.delivery for one in taken]
        end(store, taken)
        if counted(store, ref)[0] == "finished":
            return sent
    raise AssertionError(counted(store, ref))


def test_every_subscriber_gets_the_push_in_its_own_subscription(store: Store, make: Make) -> None:
    directory = Directory(store, 3 * PAGE)
    ref = accepted(store, fan_out(make))

    sent = carry_out(store, expander(store, directory), ref)

    assert sorted(one.aor for one in sent) == sorted(directory.aors)
    assert all(one.subscription[:16] == target(one.aor) for one in sent)
    assert {(one.content, one.ref, one.application) for one in sent} == {(b"abc", ref, "mms.ua")}
    assert len({one.recipient for one in sent}) == len(sent)
    assert counted(store, ref) == ("finished", {"delivered": 3 * PAGE})


def test_a_push_without_any_subscriber_is_finished_at_once(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))

    run(store, expander(store, Directory(store, 0)), 2)

    assert counted(store, ref) == ("finished", {})
    assert 0 < store.db.ttl(keys.push(store.layout.push_shard(ref), ref)) <= KEEP_S


def test_what_a_user_shard_keeps_reads_with_any_messagepack_library(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make, reach=("sip:*@home1.example",)))

    raw = store.db.hget(keys.fan_outs(0, "fanout"), ref)
    assert isinstance(raw, bytes)
    record = named(FanOut, unpacked(raw))
    assert (record["version"], record["reach"]) == (1, ["sip:*@home1.example"])
    assert store.db.hget(keys.fan_outs(0, "fanning"), ref) == b"running|0|"


def test_an_initiator_reaches_only_whom_it_may(store: Store, make: Make) -> None:
    directory = Directory(store, 40)
    ref = accepted(store, fan_out(make, reach=("sip:user1*",)))

    sent = carry_out(store, expander(store, directory), ref)

    assert sorted(one.aor for one in sent) == sorted(aor for aor in directory.aors if "user1" in aor)


def test_only_a_few_of_many_subscribers_wait_in_the_outbox(store: Store, make: Make) -> None:
    accepted(store, fan_out(make))

    run(store, expander(store, Directory(store, 12 * PAGE)), 50)

    assert outbox.depth(store).all <= store.layout.user_shards * 2 * PAGE


def test_registering_again_changes_nothing_even_when_a_shard_is_done(store: Store, make: Make) -> None:
    directory = Directory(store, 20)
    one = fan_out(make)
    ref = accepted(store, one)
    again = [(pushes.fan_out_of(one.push, one.content), "running")]
    expanding = expander(store, directory)
    run(store, expanding)
    fanouts.register(store, again)  # type: ignore[arg-type]
    sent = carry_out(store, expanding, ref)
    fanouts.register(store, again)  # type: ignore[arg-type]
    run(store, expanding, 3)

    assert len(sent) == 20
    assert take(store) == []
    assert fanouts.jobs(store, range(4)) == []


def test_a_page_is_put_into_the_outbox_once(store: Store, make: Make) -> None:
    one = fan_out(make)
    accepted(store, one)
    job = fanouts.jobs(store, [0])[0]
    delivery = pushes.fan_out_of(one.push, b"").template._replace(aor="sip:a@home1.example")
    page = Page((delivery,), Progress("running", 1, "f"))

    assert fanouts.expand(store, job, page)
    assert not fanouts.expand(store, job, page)
    assert outbox.depth(store).all == 1
    assert fanouts.jobs(store, [0])[0].progress == page.progress


def test_a_result_counts_once(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    run(store, expander(store, Directory(store, 8)))
    taken = take(store)
    for _ in range(2):
        end(store, taken[:3])
    end(store, taken[:3], GONE)

    assert counted(store, ref) == ("running", {"delivered": 3})
    assert pushes.are_final(store, [ticket_delivery(one.ticket) for one in taken]) == [True] * 3 + [False] * 5


def test_failures_are_logged_with_user_and_code_and_successes_are_not(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    run(store, expander(store, Directory(store, 6)))
    taken = take(store)
    end(store, taken[1:])
    end(store, taken[:1], GONE)

    final = [event for event in known(store, ref).events if event.name == "final"]
    assert [event.text for event in final] == [f"{taken[0].delivery.aor}: 5027 no longer subscribed"]
    assert counted(store, ref)[1] == {"delivered": 5, "undeliverable": 1}


def test_the_log_of_failures_is_bounded(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    expanding = expander(store, Directory(store, 1_200))
    while counted(store, ref)[0] != "finished":
        run(store, expanding)
        end(store, take(store), GONE)

    assert counted(store, ref)[1] == {"undeliverable": 1_200}
    assert len(known(store, ref).events) == 1_001


def test_a_try_that_is_repeated_is_no_result(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    run(store, expander(store, Directory(store, 4)))
    taken = take(store)
    end(store, taken, Outcome(clock.now_ms() - 1, "pending", "1001", "again"))

    assert counted(store, ref) == ("running", {})
    outbox.wake(store)
    again = take(store)
    assert [one.attempt for one in again] == [2] * 4
    end(store, again)
    run(store, expander(store, Directory(store, 4)), 3)
    assert counted(store, ref) == ("finished", {"delivered": 4})


def test_what_was_made_is_told_once_by_each_shard(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    run(store, expander(store, Directory(store, 30)))
    end(store, take(store))
    for job in fanouts.jobs(store, range(4)):
        for _ in range(2):
            fanouts.close(store, job, retention_s=KEEP_S)

    counts = known(store, ref).subscribers
    assert counts is not None
    assert (counts.state, sum(counts.made.values())) == ("finished", 30)


def test_a_paused_push_is_not_sent_and_goes_on_when_resumed(store: Store, make: Make) -> None:
    directory = Directory(store, 200)
    ref = accepted(store, fan_out(make))
    expanding = expander(store, directory)
    run(store, expanding)
    before = take(store, most=3)
    for _ in range(2):
        assert fanouts.steer(store, ref, "paused", Event(NOW_MS, -1, "paused", "by a test")) == "paused"
    end(store, before)
    run(store, expanding, 5)
    assert take(store) == []
    assert counted(store, ref)[0] == "paused"

    assert fanouts.steer(store, ref, "running", Event(NOW_MS, -1, "resumed", "by a test")) == "running"
    outbox.wake(store, most=1_000)
    sent = [one.delivery for one in before] + carry_out(store, expanding, ref)

    assert Counter(one.aor for one in sent) == Counter(directory.aors)
    assert [event.name for event in known(store, ref).events] == ["accepted", "paused", "resumed"]


def test_another_push_to_the_same_users_passes_one_that_is_paused(store: Store, make: Make) -> None:
    directory = Directory(store, 5)
    ref = accepted(store, fan_out(make))
    run(store, expander(store, directory))
    fanouts.steer(store, ref, "paused", Event(NOW_MS, -1, "paused", ""))
    assert take(store) == []
    outbox.hand_over(store, [make.delivery(aor) for aor in directory.aors])

    assert sorted(one.delivery.aor for one in take(store)) == sorted(directory.aors)


def test_an_aborted_push_ends_as_cancelled_for_all_that_was_not_sent(store: Store, make: Make) -> None:
    directory = Directory(store, 3 * PAGE)
    ref = accepted(store, fan_out(make))
    expanding = expander(store, directory)
    run(store, expanding)
    waiting = outbox.depth(store).all
    sent = take(store, most=2)
    assert fanouts.steer(store, ref, "aborted", Event(NOW_MS, -1, "aborted", "")) == "aborted"
    run(store, expanding, 3)
    assert take(store) == []
    end(store, sent)
    run(store, expanding, 3)

    assert counted(store, ref) == (
        "finished",
        {"delivered": len(sent), "cancelled": waiting - len(sent)},
    )
    assert outbox.depth(store).all == 0
    assert fanouts.jobs(store, range(4)) == []
    assert fanouts.steer(store, ref, "running", Event(NOW_MS, -1, "resumed", "")) == "finished"


def test_an_abort_stays(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    fanouts.steer(store, ref, "aborted", Event(NOW_MS, -1, "aborted", ""))

    assert fanouts.steer(store, ref, "running", Event(NOW_MS, -1, "resumed", "")) == "aborted"
    run(store, expander(store, Directory(store, 9)), 3)
    assert take(store) == []
    assert counted(store, ref) == ("finished", {})


def test_an_abort_before_the_hand_over_is_one(store: Store, make: Make) -> None:
    one = fan_out(make)
    pushes.accept_all(store, [one])
    fanouts.steer(store, one.push.ref, "aborted", Event(NOW_MS, -1, "aborted", ""))
    fanouts.register(store, [(pushes.fan_out_of(one.push, one.content), "running")])
    run(store, expander(store, Directory(store, 9)), 3)

    assert take(store) == []
    assert counted(store, one.push.ref) == ("finished", {})


def test_what_is_no_push_to_subscribers_is_not_steered(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    event = Event(NOW_MS, -1, "paused", "")

    assert fanouts.steer(store, one.push.ref, "paused", event) is None
    assert fanouts.steer(store, "0" * 20, "paused", event) is None
    assert [line.name for line in known(store, one.push.ref).events] == ["accepted"]


def test_past_deliver_before_nobody_is_added(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make, before_ms=clock.now_ms() - 1))

    run(store, expander(store, Directory(store, 9)), 3)

    assert take(store) == []
    assert counted(store, ref) == ("finished", {})


def test_a_push_whose_records_are_broken_ends_and_holds_up_no_other(store: Store, make: Make) -> None:
    directory = Directory(store, 40)
    broken, whole = accepted(store, fan_out(make)), accepted(store, fan_out(make))
    for shard in range(store.layout.user_shards):
        store.db.hset(keys.fan_outs(shard, "fanout"), broken, b"\xc1")

    sent = carry_out(store, expander(store, directory), whole)

    assert sorted(one.aor for one in sent) == sorted(directory.aors)
    assert counted(store, broken) == ("finished", {})


def test_a_paused_push_ends_when_deliver_before_passes(store: Store, make: Make) -> None:
    one = fan_out(make, before_ms=clock.now_ms() + 300)
    ref = accepted(store, one)
    expanding = expander(store, Directory(store, 9))
    run(store, expanding)
    fanouts.steer(store, ref, "paused", Event(NOW_MS, -1, "paused", ""))
    assert take(store) == []
    wait_until(lambda: clock.now_ms() >= one.push.deliver_before_ms, 5, "deliver-before")
    sweeper = Sweeper(
        config.parse({"redis": {"user_shards": 4, "push_shards": 4}}, "test.toml"), store, NotifierMetrics()
    )
    sweeper.sweep()
    run(store, expanding, 3)

    assert counted(store, ref) == ("finished", {"expired": 9})
    assert outbox.depth(store).all == 0


@pytest.mark.parametrize("state", ["running", "paused", "aborted"])
def test_the_hand_over_of_a_crash_is_found_with_its_state(store: Store, make: Make, state: str) -> None:
    one = fan_out(make)
    pushes.accept_all(store, [one])
    if state != "running":
        fanouts.steer(store, one.push.ref, state, Event(NOW_MS, -1, state, ""))  # type: ignore[arg-type]

    found = pushes.open_fan_out(store, one.push.ref)

    assert found == (pushes.fan_out_of(one.push, one.content), state)
    assert list(pushes.open_deliveries(store, one.push.ref)) == []
    assert pushes.open_fan_out(store, "0" * 20) is None


def test_nothing_of_a_finished_push_is_left_but_its_counts(store: Store, make: Make) -> None:
    ref = accepted(store, fan_out(make))
    carry_out(store, expander(store, Directory(store, 300)), ref)
    run(store, expander(store, Directory(store, 300)), 3)
    pushes.handed_over(store, [ref])

    names: list[bytes] = store.db.keys()  # type: ignore[assignment]
    left = {name.decode().partition(":")[0] for name in names}
    assert left <= {"push", "log", "counted", "fanned", "owner", "own", "totals"}
    assert store.db.strlen(keys.push_counted(store.layout.push_shard(ref), ref)) <= 300 // 8 + 20


def test_tickets_of_one_fan_out_are_apart_for_two_subscriptions_of_one_user(make: Make) -> None:
    template = pushes.fan_out_of(fan_out(make).push, b"").template._replace(aor="sip:a@home1.example")

    assert ticket(template._replace(recipient=0)) != ticket(template._replace(recipient=4))
