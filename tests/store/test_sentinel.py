"""A master that Sentinels name: late answers are nobody else's, and one that was replaced takes nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import RedisError

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


@pytest.fixture
def store(watched: Watched) -> Iterator[Store]:
    settings = RedisSection(
        url=watched.settings["url"],
        sentinel_password_file=watched.settings["sentinel_password_file"],
        timeout_ms=200,
    )
    own = client.connect(settings)
    client.ask_all(own, "prepare", [("SET", "one", "1"), ("SET", "other", "2")])
    yield own
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


@pytest.mark.timeout(60)
def test_a_master_that_was_replaced_while_it_stood_still_takes_nothing_more(
    watched: Watched, store: Store, make: Make
) -> None:
    """It thinks that it is the master until the Sentinels tell it otherwise, ten seconds later."""
    old = watched.master()
    new, submission = watched.replica_of(old), make.submission()
    client.load_functions(store)
    store = replace(store, replica_wait_ms=50)
    watched.nodes[old].signal_group(signal.SIGSTOP)
    try:
        wait_until(lambda: watched.master() == new and watched.is_master(new), 30, "the replica takes over")
    finally:
        watched.nodes[old].signal_group(signal.SIGCONT)

    with pytest.raises(StoreUnavailable):
        pushes.accept_all(store, [submission])

    assert watched.is_master(old), "it knows already: nothing is proven"
    assert pushes.accept_all(store, [submission]) == [True]
    assert pushes.read(store, submission.push.ref) is not None
    name = keys.push(store.layout.push_shard(submission.push.ref), submission.push.ref)
    assert watched.client(new).exists(name)
