"""A Redis Cluster by TLS and a user: each call finds its slot, redirections are followed, masters go."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count

import msgspec
import pytest
from redis.crc import key_slot

from omapush.errors import StoreUnavailable
from omapush.msrp_agent.source import Source
from omapush.push.alarm_rules import NodeSeen
from omapush.push.alarms import Alarm, AlarmChange
from omapush.push.nodes import Sign
from omapush.push.values import Event, ticket
from omapush.store import (
    alarms,
    books,
    client,
    contents,
    health,
    keys,
    nodes,
    outbox,
    pushes,
    records,
    registrations,
)
from omapush.store.client import Store
from omapush.store.pushes import Submission
from tests.harness.redis_servers import RedisCluster
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.store.conftest import Make

_numbers = count(1)
SPARE = 6
"Index of the master that has no slots at first."


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster"), spare=1, guarded=True) as running:
        yield running


@pytest.fixture(scope="module")
def stack(cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), {"redis": cluster.settings}, parts=()) as running:
        yield running


@pytest.fixture
def store(stack: Stack) -> Iterator[Store]:
    """A client as our processes have it: it gives up after `redis.timeout_ms`."""
    own = client.connect(stack.config.redis)
    yield own
    own.db.close()


def users_of(stack: Stack, shard: int) -> Iterator[str]:
    """Addresses of record of one user shard, each new."""
    for number in _numbers:
        aor = f"sip:u{number}@home1.example"
        if stack.store.layout.user_shard(aor) == shard:
            yield aor


def slot_of(store: Store, submission: Submission) -> int:
    """The slot in which a push is stored."""
    return int(key_slot(push_key(store, submission).encode()))


def push_key(store: Store, submission: Submission) -> str:
    return keys.push(store.layout.push_shard(submission.push.ref), submission.push.ref)


def queued(store: Store, shard: int) -> int:
    """How many deliveries are in the outbox of a shard."""
    found: int = client.ask_all(store, "look", [("HLEN", keys.outbox(shard, "delivery"))])[0]
    return found


def test_functions_are_loaded_into_each_master_with_the_first_call(
    cluster: RedisCluster, stack: Stack
) -> None:
    ref = stack.submit("sip:a@home1.example")

    assert stack.known(ref).results[0].state == "pending"
    for index in range(3):
        libraries = {entry[1] for entry in cluster.client(index).function_list("omapush_*")}
        assert libraries == set(client.libraries())


def test_scans_and_questions_about_the_server_go_to_every_master(stack: Stack, store: Store) -> None:
    aors = [next(users_of(stack, shard)) for shard in range(4)]
    for aor in aors:
        name = f"reg:{{u{stack.store.layout.user_shard(aor)}}}:{aor}"
        stack.db.set(name, b"x")
    owners = {key_slot(f"u{shard}".encode()) * 3 // 16_384 for shard in range(4)}

    assert len(owners) > 1, "all shards are on one master: nothing is proven"
    assert set(aors) <= set(registrations.known_aors(store))
    assert health.look(store, 0).appends
    assert len(client.servers(store)) >= 3
    assert client.ask_all(store, "look", [("GET", "x:{p0}"), ("TIME",), ("PING",)])[2] in (b"PONG", "PONG")


def test_a_media_worker_reads_contents_wherever_they_are(store: Store) -> None:
    content = os.urandom(contents.PIECE + 1_000)
    make = Make()
    makes = [make.submission(push_id=f"content {number}") for number in range(8)]
    for one in makes:
        push = one.push._replace(size=len(content))
        upload = contents.upload(store, push.ref, content)
        assert pushes.accept_all(store, [one._replace(push=push, content=b"", upload=upload.name)]) == [True]

    async def read() -> list[bytes]:
        source = Source(store, 5.0)
        found = await asyncio.gather(*(source.pieces(one.push.ref, 0, 4) for one in makes))
        source.close()
        return [b"".join(pieces or ()) for pieces in found]

    assert asyncio.run(read()) == [content] * len(makes)


def test_alarms_records_and_the_books_find_their_slots(stack: Stack, store: Store) -> None:
    alarm = Alarm(1, "sip-down", "n1", "critical", "no answer", 1, 1)
    assert alarms.keep(store, "a", 60_000)
    assert alarms.change(store, "a", [AlarmChange(1, 1, True, alarm)], [alarm])
    alarms.report(store, NodeSeen(1, "n1", 1, 0))
    assert alarms.standing(store, 1) == [alarm]
    assert [one.node for one in alarms.nodes(store, 1)] == ["n1"]
    assert [one.alarm for one in alarms.history(store)] == [alarm]
    alarms.leave(store, "a", "n1")

    assert records.borrow(store, "a", lease_ms=1_000, age_ms=0, most=10) == []
    ref = stack.submit([next(users_of(stack, shard)) for shard in range(4)])
    result = stack.known(ref).results[0]._replace(state="delivered", code="1000")
    ended = pushes.Stored(ref, 0, result, True, Event(1, 0, "final", ""))
    pushes.store_results(store, [ended], now_ms=1, retention_s=60)
    waiting = records.borrow(store, "a", lease_ms=1_000, age_ms=0, most=10)
    assert [one.ref for one in waiting] == [ref]
    assert [one is not None for one in records.read(store, waiting)] == [True]
    records.settle(store, waiting)
    assert records.oldest_ms(store) == 0

    found = books.balance(store, from_ms=0, to_ms=2**52, forgotten_before_ms=lambda: 0, rest=lambda: None)
    assert found.accepted >= 4
    assert found.accepted == found.final + found.waiting
    assert [one.text for one in found.shown] == ["in the outbox, and its result is final"]  # not completed
    outbox.complete(store, [outbox.Finished(place, 0) for place in tickets_of(stack, ref)[:1]])


def test_orders_and_signs_of_life_find_their_slots(stack: Stack, store: Store) -> None:
    node = stack.config.node
    nodes.drain(store, node, 1_800_000_000_000)
    orders, redis_ms = nodes.look(store, node)
    sign = Sign(1, "api:1:a", node, "api", 1, 0, 0, "draining", "", "info", 0, {})
    nodes.announce(store, sign)

    assert orders.drain_ms == 1_800_000_000_000
    assert redis_ms > 1_700_000_000_000
    assert nodes.live(store) == [sign]
    nodes.undrain(store, node)
    nodes.retire(store, sign.name)
    assert nodes.look(store, node)[0].drain_ms == 0
    assert nodes.live(store) == []


def tickets_of(stack: Stack, ref: str) -> list[str]:
    """Tickets of the recipients of a push."""
    known = stack.known(ref)
    return [
        ticket(pushes.delivery_of(known.push, index, one, b"")) for index, one in enumerate(known.recipients)
    ]


@pytest.mark.timeout(60)
def test_a_slot_on_its_way_and_moved_to_a_new_master_is_followed(
    cluster: RedisCluster, stack: Stack, store: Store
) -> None:
    """The new master asks for password and certificate as the others do, and has no functions yet."""
    shard, slot = 0, key_slot(b"u0")
    users = users_of(stack, shard)
    known = stack.submit(next(users))
    outbox.depth(store)  # it knows the layout as it is now
    before = queued(store, shard)

    cluster.begin_move(slot, SPARE)
    assert queued(store, shard) == before  # still with the old master
    assert store.cluster is not None
    fresh = "fresh:{u0}"
    assert store.cluster.exchange([("SET", fresh, "1"), ("GET", fresh)]) == [b"OK", b"1"]  # ASK, both times
    assert cluster.client(SPARE).dbsize() == 1

    cluster.end_move(slot, SPARE)
    assert cluster.owner_of(slot) == SPARE
    assert queued(store, shard) == before  # MOVED
    cluster.client(SPARE).function_flush()
    again = stack.submit(next(users))
    assert queued(store, shard) == before + 1
    assert {stack.known(ref).results[0].state for ref in (known, again)} == {"pending"}


@pytest.mark.timeout(60)
def test_a_push_whose_master_is_demoted_while_it_waits_for_a_replica_is_not_taken(
    cluster: RedisCluster, stack: Stack, make: Make
) -> None:
    own = client.connect(msgspec.structs.replace(stack.config.redis, timeout_ms=8_000))
    store, submission = replace(own, replica_wait_ms=7_000), make.submission()
    master = cluster.owner_of(slot_of(store, submission))
    replica = cluster.nodes[cluster.replica_of(master)]
    replica.signal_group(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as beside:
            accepted = beside.submit(pushes.accept_all, store, [submission])
            wait_until(lambda: cluster.unblock(master), 10, "somebody who waits for a replica")
            with pytest.raises(StoreUnavailable):
                accepted.result(timeout=25)
    finally:
        replica.signal_group(signal.SIGCONT)
        own.db.close()
    wait_until(lambda: cluster.is_well(cluster.replica_of(master)), 20, "the replica is back")


@pytest.mark.timeout(60)
def test_a_master_that_was_replaced_while_it_stood_still_takes_nothing_more(
    cluster: RedisCluster, store: Store, make: Make
) -> None:
    """It wakes with the layout of before, and so does its client: nothing that only it has counts."""
    store = replace(store, replica_wait_ms=10)  # it is over before the woken master hears that it is none
    first, second = make.submission(), make.submission()
    pushes.accept_all(store, [first])  # it has a connection, and the layout as it is
    old = cluster.owner_of(slot_of(store, second))
    new = cluster.replica_of(old)
    cluster.nodes[old].signal_group(signal.SIGSTOP)
    try:
        wait_until(lambda: cluster.is_master(new), 30, "the replica takes over")
    finally:
        cluster.nodes[old].signal_group(signal.SIGCONT)
    with suppress(StoreUnavailable):
        pushes.accept_all(store, [second])
        assert cluster.client(new).exists(push_key(store, second))
    wait_until(lambda: cluster.is_well(old), 20, "the old master follows the new one")


@pytest.mark.timeout(60)
def test_when_a_master_goes_calls_fail_in_time_and_nothing_that_was_stored_is_lost(
    cluster: RedisCluster, stack: Stack, store: Store
) -> None:
    refs = [stack.submit(f"sip:lost{number}@home1.example") for number in range(40)]
    depth = outbox.depth(store).all
    victim = cluster.owner_of(key_slot(b"p1"))
    cluster.nodes[victim].kill()

    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        client.ask_all(store, "look", [("GET", "x:{p1}")])
    assert time.monotonic() - began < 3 * stack.config.redis.timeout_ms / 1000

    wait_until(lambda: cluster.is_master(victim + 3), 20, "the replica takes over")
    wait_until(lambda: _answers(store), 10, "calls succeed again")
    assert outbox.depth(store).all == depth
    assert [stack.known(ref).results[0].state for ref in refs] == ["pending"] * 40
    assert stack.known(stack.submit("sip:after@home1.example")).results[0].state == "pending"

    cluster.nodes[victim].start()
    wait_until(lambda: cluster.is_well(victim), 20, "the old master follows the new one")
    assert not cluster.is_master(victim)
    assert outbox.depth(store).all == depth + 1


def _answers(store: Store) -> bool:
    try:
        outbox.depth(store)
    except StoreUnavailable:
        return False
    return True
