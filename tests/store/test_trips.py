"""Where Redis is far away, each trip to it costs time: all pushes of a batch share theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omapush.config import RedisSection
from omapush.store import client, handing_over, outbox, pushes
from omapush.store.client import Store
from tests.harness.far_redis import FarRedis
from tests.store.conftest import NOW_MS, Make

PUSHES = 40
USERS = [f"sip:u{number}@home1.example" for number in range(PUSHES)]


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarRedis]:
    with FarRedis(tmp_path) as running:
        yield running


@pytest.fixture
def store(far: FarRedis) -> Store:
    """A store by that line, with our functions."""
    connected = client.connect(RedisSection(url=far.url, timeout_ms=5_000))
    client.load_functions(connected)
    return connected


def test_pushes_accepted_together_are_handed_over_in_two_trips(
    far: FarRedis, store: Store, make: Make
) -> None:
    submissions = [make.submission(user) for user in USERS]
    pushes.accept_all(store, submissions)
    far.forget()

    handing_over.fresh(store, submissions, now_ms=NOW_MS, retention_s=100)

    assert far.trips("") == 2
    assert outbox.depth(store).all == PUSHES


def test_pushes_with_replace_keys_share_their_trips(far: FarRedis, store: Store, make: Make) -> None:
    submissions = [make.submission(user) for user in USERS * 2]
    keyed = [one._replace(push=one.push._replace(replace_key="score")) for one in submissions]
    pushes.accept_all(store, keyed)
    far.forget()

    handing_over.fresh(store, keyed[:PUSHES], now_ms=NOW_MS, retention_s=100)
    assert far.trips("") <= 4

    far.forget()
    handing_over.fresh(store, keyed[PUSHES:], now_ms=NOW_MS, retention_s=100)
    assert far.trips("") <= 10  # the older ones are cancelled, and their initiators told
    assert outbox.depth(store).all == PUSHES
