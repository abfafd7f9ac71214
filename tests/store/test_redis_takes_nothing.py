"""A Redis that answers and takes nothing: readiness, alarms, doctor and commands say so, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from omapush.cli import checks, redis_words
from omapush.errors import StoreUnavailable
from omapush.pap_http.probes import problem_of_redis
from omapush.store import alarms, redis_state
from omapush.store.client import Store
from tests.harness.stack import Stack
from tests.store.conftest import NOW_MS

TROUBLES = {
    "full": ("maxmemory", "1mb", "raise maxmemory"),
    "without replicas": ("min-replicas-to-write", "1", "min-replicas-to-write"),
    "a replica": ("", "", "name the master"),
}


@pytest.fixture(params=TROUBLES)
def action(request: pytest.FixtureRequest, store: Store) -> Iterator[str]:
    """What is to be done about each kind of trouble that Redis is in."""
    name, value, words = TROUBLES[request.param]
    if name:
        store.db.config_set(name, value)
    else:
        store.db.replicaof("127.0.0.1", "1")
    yield words
    if name:
        store.db.config_set(name, "0")
    else:
        store.db.replicaof("NO", "ONE")


def test_it_is_not_ready_and_the_doctor_says_what_to_do(redis_only: Stack, store: Store, action: str) -> None:
    assert store.db.ping()
    problem = asyncio.run(problem_of_redis(store))
    found = checks.redis(redis_only.config, store)

    assert problem
    assert redis_words.answers(problem)
    assert (found.state, action in found.action) == ("wrong", True), found
    assert "start it" not in found.action


def test_alarms_that_nobody_can_store_are_seen_at_sight(store: Store, action: str) -> None:
    assert action
    assert [one.name for one in alarms.standing(store, NOW_MS)] == ["store-away"]


def test_a_redis_that_takes_writes_is_changed_by_no_look(store: Store) -> None:
    redis_state.require_writes(store)

    assert store.db.dbsize() == 0
    assert asyncio.run(problem_of_redis(store)) == ""
    assert [one.name for one in alarms.standing(store, NOW_MS)] == ["alarms-unwatched"]


def test_a_redis_that_does_not_answer_is_to_be_started() -> None:
    problem = str(StoreUnavailable("ping: ConnectionError: Connection refused"))

    assert not redis_words.answers(problem)
    assert redis_words.action(problem).startswith("start it: ")
