"""What a soak asks Redis: keys by kind, members of what stays, and memory with and without sessions."""

from __future__ import annotations

from omapush.store.client import Store
from soak import redis_probe
from soak.series import REDIS, WITHOUT_SESSIONS, Kind, Series

RECORD = b"x" * 20_000


def test_keys_are_counted_by_kind_and_members_where_the_key_stays(store: Store) -> None:
    store.db.mset({f"push:{{p{n}}}:00ff": "1" for n in range(3)})
    store.db.zadd("session-due:{u1}", {"a": 1, "b": 2})
    store.db.hset("session-of:{u1}", "ticket", "a")

    found = redis_probe.keys(store.db)

    counts = {series: value for series, value in found.items() if series.kind is not Kind.REDIS}
    assert counts == {
        Series(Kind.KEYS, "push"): 3,
        Series(Kind.KEYS, "session-due"): 1,
        Series(Kind.KEYS, "session-of"): 1,
        Series(Kind.MEMBERS, "session-due"): 2,
        Series(Kind.MEMBERS, "session-of"): 1,
    }


def test_the_memory_of_redis_is_told_without_the_records_of_sessions(store: Store) -> None:
    def between() -> float:
        return redis_probe.memory(store.db)[REDIS] - redis_probe.keys(store.db)[WITHOUT_SESSIONS]

    before = between()
    store.db.mset({f"session:{{u{n}}}:00ff": RECORD for n in range(20)})
    of_sessions = between() - before
    store.db.mset({f"push:{{p{n}}}:00ff": RECORD for n in range(20)})
    of_both = between() - before

    least = 20 * len(RECORD)
    assert 0.9 * least < of_sessions < 1.3 * least
    assert 0.9 * least < of_both < 1.3 * least, "a push counts"
