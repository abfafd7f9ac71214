"""A master that Sentinels name: late answers are nobody else's, and one that was replaced takes nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from redis import RedisError

from omapush.cli import redis_checks, redis_words
from omapush.config import RedisSection
from omapush.errors import StoreUnavailable
from omapush.store import client, keys, pushes
from omapush.store.client import Store
from tests.harness.redis_servers import Watched
from tests.harness.wait import wait_until
from tests.store.conftest import Make

PAUSE_MS = 500
"Longer than we wait, shorter than it takes a master to be replaced."


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


def connected(watched: Watched, *, timeout_ms: int = 200) -> Store:
    return client.connect(
        RedisSection(
            url=watched.settings["url"],
            sentinel_password_file=watched.settings["sentinel_password_file"],
            timeout_ms=timeout_ms,
        )
    )


@pytest.fixture
def store(watched: Watched) -> Iterator[Store]:
    own = connected(watched)
    client.ask_all(own, "prepare", [("SET", "one", "1"), ("SET", "other", "2")])
    yield own
    own.db.close()


@pytest.fixture
def other_store(watched: Watched) -> Iterator[Store]:
    """One with a connection of its own."""
    own = connected(watched)
    yield own
    own.db.close()


@pytest.fixture
def patient_store(watched: Watched) -> Iterator[Store]:
    """One that waits for a replica for longer than a test lasts."""
    own = connected(watched, timeout_ms=30_000)
    yield replace(own, replica_wait_ms=20_000)
    own.db.close()


def pause(watched: Watched) -> None:
    watched.client(watched.master()).execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")


def test_after_a_time_out_the_next_question_gets_its_own_answer(watched: Watched, store: Store) -> None:
    pause(watched)
    with pytest.raises(StoreUnavailable):
        client.ask_all(store, "one", [("GET", "one")])

    found: list[object] = []

    def answers() -> bool:
        try:
            found.append(client.ask_all(store, "other", [("GET", "other")])[0])
        except StoreUnavailable:
            return False
        return True

    wait_until(answers, 10, "an answer")
    assert found == [b"2"]


def test_the_client_library_by_itself_does_the_same(watched: Watched, store: Store) -> None:
    pause(watched)
    with pytest.raises(RedisError):
        store.db.get("one")

    found: list[object] = []

    def answers() -> bool:
        try:
            found.append(store.db.get("other"))
        except RedisError:
            return False
        return True

    wait_until(answers, 10, "an answer")
    assert found == [b"2"]


def test_a_push_whose_master_is_demoted_while_it_waits_for_a_replica_is_not_taken(
    watched: Watched, patient_store: Store, make: Make
) -> None:
    client.load_functions(patient_store)
    master = watched.master()
    watched.nodes[watched.replica_of(master)].signal_group(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as beside:
            accepted = beside.submit(pushes.accept_all, patient_store, [make.submission()])
            wait_until(lambda: watched.unblock(master), 10, "somebody who waits for a replica")
            with pytest.raises(StoreUnavailable):
                accepted.result(timeout=20)
    finally:
        watched.nodes[watched.replica_of(master)].signal_group(signal.SIGCONT)
    wait_until(watched.is_whole, 30, "the replica is back")


@pytest.mark.timeout(90)
def test_a_master_that_was_replaced_while_it_stood_still_takes_nothing_more(
    watched: Watched, store: Store, other_store: Store, make: Make
) -> None:
    """
    From the moment in which the replica is promoted, which Sentinels tell a second or two later, until they
    tell the old master, ten seconds later: so long it thinks that it is the master.
    """
    old = watched.master()
    new, early, late = watched.replica_of(old), make.submission(), make.submission()
    client.load_functions(store)
    client.load_functions(other_store)
    store, other_store = replace(store, replica_wait_ms=50), replace(other_store, replica_wait_ms=50)
    watched.nodes[old].signal_group(signal.SIGSTOP)
    try:
        wait_until(lambda: watched.is_master(new), 30, "the replica takes over")
    finally:
        watched.nodes[old].signal_group(signal.SIGCONT)

    with pytest.raises(StoreUnavailable):
        pushes.accept_all(other_store, [early])
    wait_until(lambda: watched.master() == new, 30, "Sentinels that name it")
    with pytest.raises(StoreUnavailable):
        pushes.accept_all(store, [late])

    assert watched.is_master(old), "it knows already: nothing is proven"
    assert pushes.accept_all(store, [late]) == [True]
    assert pushes.read(store, late.push.ref) is not None
    name = keys.push(store.layout.push_shard(late.push.ref), late.push.ref)
    assert watched.client(new).exists(name)


@pytest.mark.timeout(90)
def test_a_promoted_replica_that_is_restarted_at_once_is_the_master_again(
    watched: Watched, store: Store
) -> None:
    """
    It is back before a Sentinel misses it, so nobody tells it again that it is the master.

    With `replicaof` on its command line it is a replica of its own replica then, and no Sentinel finds a
    server that could be promoted.
    """
    started_as_replica = 1
    if not watched.is_master(started_as_replica):
        watched.promote(started_as_replica)
    watched.nodes[started_as_replica].kill()
    watched.nodes[started_as_replica].start()

    wait_until(watched.is_whole, 20, "a master with its replica")
    assert watched.master() == started_as_replica
    wait_until(lambda: is_written(store), 10, "a master that takes what is stored")


def test_the_doctor_finds_the_file_in_which_sentinels_note_who_is_the_master(
    watched: Watched, store: Store
) -> None:
    settings = RedisSection(url=watched.settings["url"])
    [finding] = redis_checks.restarts(settings, store)
    assert (finding.state, "redis.conf" in finding.cause) == ("ok", True)


def test_when_sentinels_name_no_master_the_operator_is_sent_to_them(watched: Watched) -> None:
    """They know no such name, or all servers are replicas."""
    nobody = watched.settings["url"].replace(watched.NAME, "nobody")
    word = watched.settings["sentinel_password_file"]
    store = client.connect(RedisSection(url=nobody, sentinel_password_file=word))
    with pytest.raises(StoreUnavailable) as refused:
        client.ask_all(store, "one", [("GET", "one")])

    assert "SENTINEL MASTERS" in redis_words.action(str(refused.value))


def is_written(store: Store) -> bool:
    try:
        client.ask_all(store, "write", [("SET", "one", "3")])
    except StoreUnavailable:
        return False
    return True
