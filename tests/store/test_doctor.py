"""What doctor finds about Redis: one test makes each mistake on a real one and sees it found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omapush import clock
from omapush.cli import checks, doctor, redis_checks, redis_words
from omapush.cli.checks import Finding
from omapush.config import RedisSection
from omapush.errors import StoreUnavailable
from omapush.store import client, redis_state
from omapush.store.client import Store
from tests.harness.authority import TestCa
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.stack import Stack
from tests.harness.wait import wait_until


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
    return {one.check: one for one in redis_checks.settings(store)}


def test_a_redis_as_it_should_be_is_ok(store: Store, redis_only: Stack) -> None:
    findings = [*redis_checks.itself(store), *redis_checks.settings(store), checks.clocks(store)]
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


def test_a_redis_that_forgets_what_sentinels_made_of_it_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The private Redis was started with nothing but words, as a master in a container often is."""
    sentinels = RedisSection(url="redis+sentinel://127.0.0.1:26379/omapush")
    [finding] = redis_checks.restarts(sentinels, store)
    assert_found(finding, "without a redis.conf")

    monkeypatch.setattr(store.db, "info", lambda *_: {"config_file": "/etc/redis/redis.conf"})
    assert [one.state for one in redis_checks.restarts(sentinels, store)] == ["ok"]
    monkeypatch.setattr(store.db, "info", lambda *_: {})
    assert [one.state for one in redis_checks.restarts(sentinels, store)] == ["skipped"]


def test_of_a_redis_without_sentinels_no_configuration_file_is_asked_for(
    store: Store, redis_only: Stack
) -> None:
    assert list(redis_checks.restarts(redis_only.config.redis, store)) == []


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


@contextmanager
def without(store: Store, redis_only: Stack, *rights: str) -> Iterator[Store]:
    """A store whose user may do everything but that."""
    store.db.acl_setuser(
        "psa", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", *rights]
    )
    url = redis_only.config.redis.url.replace("unix://", "unix://psa:any@")
    connected = client.connect(msgspec.structs.replace(redis_only.config.redis, url=url))
    try:
        yield connected
    finally:
        connected.db.close()
        store.db.acl_deluser("psa")


@pytest.mark.parametrize("right", ["-fcall", "-time"])
def test_a_user_that_may_not_do_what_pushes_need_is_told_so_and_providers_come_again(
    store: Store, redis_only: Stack, right: str
) -> None:
    with without(store, redis_only, right) as limited:
        found = checks.redis(redis_only.config, limited)
        assert_found(found, "")
        assert "docs/security.md" in found.action
        with pytest.raises(StoreUnavailable):
            redis_state.require_writes(limited)


def test_functions_are_counted_until_all_are_in_redis(redis_only: Stack, store: Store) -> None:
    name = next(iter(client.libraries()))
    assert checks.functions(store).cause == f"all {len(client.libraries())} of {client.release()}"
    store.db.function_delete(name)
    try:
        assert checks.functions(store).cause.startswith(f"1 of our {len(client.libraries())} ")
        assert checks.functions(store).state == "skipped"
    finally:
        client.load_functions(redis_only.store)


def test_a_redis_without_functions_is_told_so_and_providers_come_again(
    redis_only: Stack, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--save", "", "--rename-command", "FUNCTION", ""]
    with Process(command, log=tmp_path / "redis.log") as running:
        wait_until(lambda: "Ready to accept" in running.log_text(), 10, "Redis")
        settings = msgspec.structs.replace(redis_only.config.redis, url=f"redis://127.0.0.1:{port}/0")
        renamed = client.connect(settings)
        found = checks.redis(redis_only.config, renamed)
        assert_found(found, "unknown command")
        assert "rename-command" in found.action
        assert len(found.cause) < 300
        with pytest.raises(StoreUnavailable):
            redis_state.require_writes(renamed)


@pytest.mark.parametrize("right", ["-info", "-function|list", "-config|get", "-smembers"])
def test_what_one_check_may_not_ask_keeps_no_other_from_its_own(
    store: Store, redis_only: Stack, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with without(store, redis_only, right) as limited:
        monkeypatch.setattr(client, "connect", lambda _: limited)
        found = {one.check: one for one in doctor.look(redis_only.config, redis_only.control)}
    assert found["redis"].state == "ok"
    assert found["clock"].state == "ok"
    assert len(found) > 20


def test_where_config_is_not_allowed_info_tells_of_file_and_policy(store: Store, redis_only: Stack) -> None:
    with setting(store, "maxmemory-policy", "allkeys-lru"), without(store, redis_only, "-config") as limited:
        found = settings(limited)
    assert_found(found["maxmemory-policy"], "allkeys-lru")
    assert found["appendonly"].state == "ok"
    assert found["hash-max-listpack-value"].state == "skipped"


def test_a_redis_that_refuses_us_is_named_though_nothing_else_runs(
    store: Store, redis_only: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with without(store, redis_only, "-fcall") as limited:
        monkeypatch.setattr(client, "connect", lambda _: limited)
        found = {one.check: one for one in doctor.look(redis_only.config, redis_only.control)}
    assert_found(found["redis"], "fcall")


@pytest.mark.parametrize(
    ("theirs", "ours", "action"),
    [(True, False, "renew it"), (False, True, "redis.certificate"), (False, None, "redis.certificate")],
)
def test_a_certificate_that_is_not_taken_is_named(
    redis_only: Stack, tmp_path: Path, theirs: bool, ours: bool | None, action: str
) -> None:
    """`theirs`, `ours`: whether the certificate of the side has expired; None: it has none."""
    authority, (port,) = TestCa(tmp_path / "ca"), free_ports(1)
    server = authority.issue("localhost", expired=theirs)
    own = authority.issue("psa.home1.example", expired=bool(ours))
    command: list[str | Path] = ["redis-server", "--port", "0", "--tls-port", str(port), "--save", ""]
    command += ["--tls-cert-file", server.certificate, "--tls-key-file", server.private_key]
    command += ["--tls-ca-cert-file", authority.certificate]
    settings = msgspec.structs.replace(
        redis_only.config.redis,
        url=f"rediss://localhost:{port}/0",
        trusted_certificates=str(authority.certificate),
        certificate="" if ours is None else str(own.certificate),
        private_key="" if ours is None else str(own.private_key),
    )
    with Process(command, log=tmp_path / "redis.log") as running:
        wait_until(lambda: "Ready to accept" in running.log_text(), 10, "Redis")
        found = checks.redis(redis_only.config, client.connect(settings))
    assert_found(found, "")
    assert action in found.action, found


def test_a_redis_without_room_for_connections_is_told_so() -> None:
    assert "maxclients" in redis_words.action("ping: ConnectionError: max number of clients reached")


def test_a_clock_that_is_off_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: real() + 2_000)
    assert_found(checks.clocks(store), "from that of Redis")


def test_shards_without_owner_are_found(store: Store, redis_only: Stack) -> None:
    assert_found(checks.shards(redis_only.config, store), "4 of 4 have no owner")
