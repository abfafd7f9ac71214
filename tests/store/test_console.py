"""What the console keeps in Redis, and what it looks at each second."""

from omapush import clock, config
from omapush.pap_http.console import system
from omapush.push.alarm_rules import Hop, NodeSeen
from omapush.push.values import Event, Result
from omapush.store import alarms, console_sessions, outbox, pulse, pushes, redis_state
from omapush.store.client import Store
from omapush.store.outbox import Finished, Owner
from omapush.store.pushes import Stored
from omapush.store.totals import Totals
from tests.harness.wait import wait_until
from tests.store.conftest import NOW_MS, Make

SENDER = Owner("node-1", "run-a", 0)


def test_a_session_is_found_by_its_token_until_it_ends(store: Store) -> None:
    first, second = (console_sessions.begin(store, name, "$hash", 60) for name in ("olga", "vera"))
    found = console_sessions.read(store, first)

    assert found is not None
    assert (found.operator, len(found.csrf) > 40) == ("olga", True)
    assert console_sessions.read(store, first[:-1]) is None
    console_sessions.end(store, first)
    console_sessions.end(store, first)
    assert console_sessions.read(store, first) is None
    assert console_sessions.read(store, second) is not None


def test_a_session_knows_the_password_that_it_began_with_and_redis_does_not(store: Store) -> None:
    tokens = [console_sessions.begin(store, "olga", "$hash", 60) for _ in range(2)]
    first, second = (console_sessions.read(store, token) for token in tokens)

    assert first is not None
    assert second is not None
    assert first.began_with(tokens[0], "$hash")
    assert not first.began_with(tokens[0], "$another")
    assert first.proof != second.proof
    assert not first._replace(proof=b"").began_with(tokens[0], "$hash")


def test_a_session_ends_by_itself(store: Store) -> None:
    token = console_sessions.begin(store, "olga", "$hash", 1)

    wait_until(lambda: console_sessions.read(store, token) is None, 5, "the end of the session")


def test_a_look_at_an_empty_redis_sees_nothing(store: Store) -> None:
    assert pulse.read(store) == pulse.Pulse(Totals(0, {}), 0, 0, 0, 0)


def test_what_one_api_refused_is_seen_by_all(store: Store) -> None:
    assert pulse.read(store, 3).refused == 3
    assert pulse.read(store).refused == 3
    assert pulse.read(store, 2).refused == 5


def test_a_look_sees_totals_what_is_owed_and_what_waits_longest(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    result = Result("delivered", "1000", "said", "MESSAGE", 200, 1, NOW_MS)
    stored = Stored(one.push.ref, 0, result, True, Event(NOW_MS, 0, "final", ""))
    pushes.store_results(store, [stored], now_ms=NOW_MS, retention_s=100)
    outbox.hand_over(store, [make.delivery("sip:b@home1.example", priority="high"), make.delivery()])

    seen = pulse.read(store)

    assert seen.totals == Totals(1, {"delivered": 1})
    assert (seen.owed, seen.due_since_ms) == (1, 0)
    assert abs(seen.ready_since_ms - NOW_MS) < 100


def test_a_look_sees_when_the_first_retry_is_due(store: Store, make: Make) -> None:
    delivery = make.delivery()
    outbox.hand_over(store, [delivery])
    shard = store.layout.user_shard(delivery.aor)
    outbox.claim(store, [shard], SENDER, lease_ms=5_000, transaction_ms=5_000)
    taken = (outbox.take(store, [shard], SENDER, transaction_ms=5_000, most=1)[shard] or [])[0]
    outbox.complete(store, [Finished(taken.ticket, NOW_MS + 5)])

    assert pulse.read(store).due_since_ms == NOW_MS + 5


def test_redis_says_what_it_is(store: Store) -> None:
    (state,) = redis_state.read(store)

    assert (state.role, state.persistence, state.replicas) == ("master", "", 0)
    assert state.version.startswith("7.")
    assert state.used_bytes > 0


def test_a_redis_that_forgets_is_told_apart(store: Store) -> None:
    store.db.config_set("appendonly", "no")
    try:
        assert redis_state.read(store)[0].persistence == "append-only file is off"
    finally:
        store.db.config_set("appendonly", "yes")


def test_next_hops_of_other_nodes_are_seen_with_their_troubles(store: Store) -> None:
    now_ms = clock.now_ms()
    hops = (Hop("192.0.2.1:6060", 0, now_ms + 60_000), Hop("192.0.2.2:6060", now_ms + 60_000, 0))
    alarms.report(store, NodeSeen(1, "node-2", now_ms, 0, hops=hops))
    here = config.parse({}, "test.toml")
    alarms.report(store, NodeSeen(1, here.node, now_ms, 0, hops=(Hop("192.0.2.9:6060", 0, 0),)))

    parts = system._from_redis(here, store)

    assert [(one.name, one.state) for one in parts if one.kind == "Next hop"] == [
        ("192.0.2.1:6060 of node-2", "down"),
        ("192.0.2.2:6060 of node-2", "paused"),
    ]
