"""What doctor finds about Redis: one test makes each mistake on a real one and sees it found."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from omapush import clock
from omapush.cli import checks, redis_checks
from omapush.cli.checks import Finding
from omapush.store import client
from omapush.store.client import Store
from tests.harness.stack import Stack


def assert_found(finding: Finding, words: str) -> None:
    """Wrong, with the words in its cause, and with effect and action."""
    assert (finding.state, words in finding.cause) == ("wrong", True), finding
    assert finding.effect
    assert finding.action


@contextmanager
def setting(store: Store, name: str, value: str) -> Iterator[None]:
    before = str(store.db.config_get(name)[name])
    store.db.config_set(name, value)
    try:
        yield
    finally:
        store.db.config_set(name, before)


def itself(store: Store) -> dict[str, Finding]:
    return {one.check: one for one in redis_checks.itself(store)}


def settings(store: Store) -> dict[str, Finding]:
    return {one.check: one for one in checks.redis_settings(store)}


def test_a_redis_as_it_should_be_is_ok(store: Store, redis_only: Stack) -> None:
    findings = [*redis_checks.itself(store), *checks.redis_settings(store), checks.clocks(store)]
    assert {one.state for one in findings} == {"ok"}
    assert checks.redis(redis_only.config, store).state == "ok"


def test_a_redis_that_may_evict_is_found(store: Store) -> None:
    with setting(store, "maxmemory-policy", "allkeys-lru"):
        assert_found(settings(store)["maxmemory-policy"], "allkeys-lru")


def test_a_redis_without_its_append_only_file_is_found(store: Store) -> None:
    with setting(store, "appendonly", "no"):
        assert_found(settings(store)["appendonly"], "no")


def test_a_redis_that_takes_pushes_to_pieces_is_found(store: Store) -> None:
    with setting(store, "hash-max-listpack-value", "64"):
        assert_found(settings(store)["hash-max-listpack-value"], "64")


def test_a_redis_that_is_nearly_full_is_found(store: Store) -> None:
    with setting(store, "maxmemory", str(int(store.db.info("memory")["used_memory"]) + 50_000)):
        assert_found(itself(store)["redis memory"], " MB")


def test_a_redis_that_is_too_old_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def old(*_: object) -> dict[str, Any]:
        return {"redis_version": "6.2.14", "used_memory": 1}

    monkeypatch.setattr(store.db, "info", old)
    assert_found(itself(store)["redis version"], "6.2.14")


def test_a_valkey_is_named_as_what_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*_: object) -> dict[str, Any]:
        return {"redis_version": "7.2.4", "valkey_version": "8.0.1", "used_memory": 1}

    monkeypatch.setattr(store.db, "info", told)
    finding = itself(store)["redis version"]
    assert finding.state == "ok"
    assert "Valkey 8.0.1" in finding.cause


def test_a_redis_that_answers_slowly_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_checks, "_ping_ms", lambda _: 30.0)
    assert_found(itself(store)["redis latency"], "30.0 ms")


def test_a_wrong_password_is_told_from_a_redis_that_is_away(store: Store, redis_only: Stack) -> None:
    store.db.acl_setuser("psa", enabled=True, passwords=["+right"], keys=["*"], commands=["+@all"])
    try:
        url = redis_only.config.redis.url.replace("unix://", "unix://psa:wrong@")
        stranger = client.connect(msgspec.structs.replace(redis_only.config.redis, url=url))
        finding = checks.redis(redis_only.config, stranger)
    finally:
        store.db.acl_deluser("psa")
    assert_found(finding, "refuses us")
    assert "wrong@" not in finding.cause


def test_a_clock_that_is_off_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: real() + 2_000)
    assert_found(checks.clocks(store), "from that of Redis")


def test_shards_without_owner_are_found(store: Store, redis_only: Stack) -> None:
    assert_found(checks.shards(redis_only.config, store), "4 of 4 have no owner")
