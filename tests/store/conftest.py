"""A Redis of the tests' own, empty at the start of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from omapush.push.values import Delivery, Event, Recipient, Result, push_ref
from omapush.store import client
from omapush.store.client import Store
from omapush.store.pushes import Submission
from tests.harness.stack import Stack
from tests.harness.values import a_delivery, a_push

NOW_MS = 1_800_000_000_000


@pytest.fixture(scope="session")
def redis_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("redis"), parts=("redis",)) as running:
        yield running


@pytest.fixture
def store(redis_only: Stack) -> Store:
    """An empty Redis that has our functions."""
    redis_only.db.flushall()
    client.load_functions(redis_only.store)
    return redis_only.store


@pytest.fixture
def other_store(redis_only: Stack, store: Store) -> Iterator[Store]:
    """A second client of the same Redis."""
    second = client.connect(redis_only.config.redis)
    yield second
    second.db.close()


def writes(store: Store) -> int:
    """The number of changes that Redis has made."""
    found: Any = store.db.info("persistence")
    return int(found["rdb_changes_since_last_save"])


@dataclass
class Make:
    """Records with what a test does not care about filled in; each push gets the next millisecond."""

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def delivery(
        self,
        aor: str = "sip:a@home1.example",
        *,
        number: int | None = None,
        priority: str = "medium",
        deliver_after_ms: int = 0,
    ) -> Delivery:
        number = next(self._numbers) if number is None else number
        return a_delivery(
            ref=push_ref("pi", str(number)),
            aor=aor,
            push_id=str(number),
            content_headers=(("X-Wap-Content-URI", "u"),),
            content=b"\0\xff",
            accepted_ms=NOW_MS + number,
            deliver_before_ms=NOW_MS + 10_000,
            deadline_given=True,
            priority=priority,
            deliver_after_ms=deliver_after_ms,
        )

    def submission(self, *aors: str, push_id: str = "", notify_url: str = "http://pi.example/") -> Submission:
        named = push_id or str(next(self._numbers))
        recipients = tuple(Recipient(f"address of {aor}", aor) for aor in aors or ("sip:a@home1.example",))
        push = a_push(
            ref=push_ref("pi", named),
            push_id=named,
            size=3,
            notify_url=notify_url,
            accepted_ms=NOW_MS,
            deliver_before_ms=NOW_MS + 10_000,
        )
        results = tuple(Result("pending", "1001", "queued", "", 0, 0, NOW_MS) for _ in recipients)
        return Submission(push, recipients, results, b"abc", Event(NOW_MS, -1, "accepted", "now"))


@pytest.fixture
def make() -> Make:
    return Make()
