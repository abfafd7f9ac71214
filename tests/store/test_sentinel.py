"""A master that Sentinels name: an answer that came too late is nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import RedisError

from omapush.config import RedisSection
from omapush.errors import StoreUnavailable
from omapush.store import client
from omapush.store.client import Store
from tests.harness.redis_servers import Watched
from tests.harness.wait import wait_until

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
