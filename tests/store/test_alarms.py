"""Alarms in Redis: one keeper at a time, what stands, what was, and what the queues say about waiting."""

from omapush.push.alarm_rules import NODE_FORGOTTEN_MS, NodeSeen
from omapush.push.alarms import Alarm, AlarmChange
from omapush.store import alarms, health, keys, outbox, pushes
from omapush.store.client import Store
from tests.harness.wait import wait_until
from tests.store.conftest import NOW_MS, Make

ALARM = Alarm(1, "sip-down", "n1", "critical", "no answer", NOW_MS, NOW_MS)
RAISED = AlarmChange(1, NOW_MS, True, ALARM)
CLEARED = AlarmChange(1, NOW_MS + 5, False, ALARM)


def test_one_keeps_the_alarms_until_its_lease_ends_or_it_leaves(store: Store) -> None:
    assert alarms.keep(store, "a", 60_000)
    assert alarms.keep(store, "a", 60_000)
    assert not alarms.keep(store, "b", 60_000)

    alarms.leave(store, "b", "node b")
    assert not alarms.keep(store, "b", 60_000)
    alarms.leave(store, "a", "node a")
    assert alarms.keep(store, "b", 1)
    wait_until(lambda: alarms.keep(store, "a", 60_000), 5, "the lease of b has ended")


def test_what_the_keeper_stores_stands_until_it_is_cleared_and_is_in_the_history(store: Store) -> None:
    alarms.keep(store, "a", 60_000)
    for _ in range(2):  # twice is as good as once
        assert alarms.change(store, "a", [RAISED], [ALARM])

    assert alarms.standing(store, NOW_MS) == [ALARM]
    assert alarms.change(store, "a", [CLEARED], [])
    assert alarms.standing(store, NOW_MS) == []
    assert alarms.history(store) == [CLEARED, RAISED]


def test_who_is_not_the_keeper_changes_nothing(store: Store) -> None:
    alarms.keep(store, "a", 60_000)

    assert not alarms.change(store, "b", [RAISED], [ALARM])
    assert (alarms.stored(store), alarms.history(store)) == ([], [])


def test_the_history_is_bounded_and_loses_the_oldest(store: Store) -> None:
    alarms.keep(store, "a", 60_000)
    many = [RAISED._replace(at_ms=NOW_MS + number) for number in range(alarms.MOST_CHANGES + 3)]
    alarms.change(store, "a", many, [])

    kept = alarms.history(store)
    assert len(kept) == alarms.MOST_CHANGES
    assert (kept[0].at_ms, kept[-1].at_ms) == (many[-1].at_ms, many[3].at_ms)


def test_without_a_keeper_the_reader_says_that_nobody_watches(store: Store) -> None:
    (one,) = alarms.standing(store, NOW_MS)

    assert (one.name, one.severity) == ("alarms-unwatched", "critical")


def test_a_record_of_nobody_we_know_does_not_hide_the_others(store: Store) -> None:
    alarms.keep(store, "a", 60_000)
    alarms.change(store, "a", [RAISED], [ALARM])
    store.db.hset(keys.ALARM_STANDING, "x|", b"\xc1")

    assert alarms.standing(store, NOW_MS) == [ALARM]


def test_nodes_are_known_until_they_leave_or_are_silent_for_an_hour(store: Store) -> None:
    for name, at_ms in (("here", NOW_MS), ("gone", NOW_MS - NODE_FORGOTTEN_MS - 1), ("left", NOW_MS)):
        alarms.report(store, NodeSeen(1, name, at_ms, 0))
    store.db.hset(keys.ALARM_NODES, "broken", b"\xc1")
    alarms.leave(store, "x", "left")

    assert [one.node for one in alarms.nodes(store, NOW_MS)] == ["here"]
    assert store.db.hkeys(keys.ALARM_NODES) == [b"here"]


def test_the_oldest_that_could_leave_is_found_whatever_its_priority(store: Store, make: Make) -> None:
    assert health.ages(store) == (0, 0)
    for number, priority in ((30, "medium"), (20, "low"), (10, "high")):
        aor = f"sip:{priority}@home1.example"
        outbox.hand_over(store, [make.delivery(aor, number=number, priority=priority)])
        assert health.ages(store).ready_ms == NOW_MS + number


def test_the_oldest_result_owed_is_found_among_those_put_off_and_those_nobody_took_up(
    store: Store, make: Make
) -> None:
    for number in range(40):
        submission = make.submission(push_id=str(number))
        pushes.accept_all(store, [submission])
        at_ms = NOW_MS + number
        result = submission.results[0]._replace(state="delivered", at_ms=at_ms)
        stored = pushes.Stored(submission.push.ref, 0, result, True, submission.event)
        pushes.store_results(store, [stored], now_ms=at_ms, retention_s=60)

    assert health.ages(store).owed_ms == NOW_MS


def test_the_tests_own_redis_is_as_we_want_it_and_nobody_owns_its_shards(store: Store) -> None:
    seen = health.look(store, NOW_MS)

    assert (seen.appends, seen.write_problem, seen.eviction) == (True, "", "noeviction")
    assert (seen.free_shards, seen.shards) == (4, 4)
    assert seen.memory_used > 0
