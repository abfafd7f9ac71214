"""Where Redis is far away, each trip to it costs time: all pushes of a batch share theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from omapush.config import RedisSection, parse
from omapush.errors import PushError
from omapush.pap_http.metrics import Metrics
from omapush.pap_http.probes import OutboxGate
from omapush.pap_http.quotas import Quotas
from omapush.push.acceptance import Accepted
from omapush.push.values import Result
from omapush.store import client, handing_over, outbox, pushes
from omapush.store.client import Store
from tests.harness.far_redis import FarRedis
from tests.harness.values import a_push
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


def test_submissions_of_initiators_with_limits_are_admitted_together(far: FarRedis, store: Store) -> None:
    config = parse({"initiator": {"pi": {"password": "p", "daily": PUSHES - 5}}}, "omapush.toml")
    quotas = Quotas(config, store, Metrics(config, store, OutboxGate(store, 1)))
    pending = Result("pending", "1001", "queued", "", 0, 0, NOW_MS)
    accepted = Accepted(a_push(ref="r"), (), (pending,), b"")
    far.forget()

    async def admitted() -> list[object]:
        asked = (quotas.admit("pi", accepted) for _ in range(PUSHES))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = asyncio.run(admitted())
    assert 0 < far.trips("omapush_admit_") <= 3
    assert [isinstance(one, PushError) for one in found] == [False] * (PUSHES - 5) + [True] * 5
