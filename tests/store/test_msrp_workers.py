"""Media workers in Redis: signs of life, and what they are told."""

from omapush.cli import checks
from omapush.config import Config, Sessions
from omapush.push.media_worker import RECORD_VERSION, MediaWorker
from omapush.store import keys, msrp_workers
from omapush.store.client import Store
from tests.harness.wait import wait_until

LEASE_MS = 60_000


def worker(name: str, streams: int = 0) -> MediaWorker:
    return MediaWorker(RECORD_VERSION, name, f"msrp://{name}.example:2855", streams, 10)


def test_a_worker_that_announces_itself_is_found_with_its_last_load(store: Store) -> None:
    msrp_workers.announce(store, worker("a"), LEASE_MS)
    msrp_workers.announce(store, worker("b"), LEASE_MS)
    msrp_workers.announce(store, worker("a", 3), LEASE_MS)

    assert sorted(msrp_workers.live(store)) == [worker("a", 3), worker("b")]
    assert msrp_workers.living(store, ["a", "c", "a"]) == {"a"}


def test_a_worker_without_a_sign_of_life_is_dead(store: Store) -> None:
    msrp_workers.announce(store, worker("a"), LEASE_MS)
    msrp_workers.announce(store, worker("b"), 1)
    wait_until(lambda: not msrp_workers.living(store, ["b"]), 5, "the end of its lease")

    assert msrp_workers.live(store) == [worker("a")]
    assert store.db.smembers(keys.MSRP_WORKERS) == {b"a"}


def test_a_worker_that_was_late_is_found_again(store: Store) -> None:
    msrp_workers.announce(store, worker("a"), 1)
    wait_until(lambda: not msrp_workers.live(store), 5, "the end of its lease")
    msrp_workers.announce(store, worker("a"), LEASE_MS)

    assert msrp_workers.live(store) == [worker("a")]


def test_a_worker_that_ends_leaves_nothing(store: Store) -> None:
    msrp_workers.announce(store, worker("a"), LEASE_MS)
    msrp_workers.tell(store, "a", ["s1"])
    msrp_workers.retire(store, "a")

    assert msrp_workers.live(store) == []
    assert not store.db.keys("msrp-*")


def test_what_is_told_is_heard_once_in_its_order(store: Store) -> None:
    msrp_workers.tell(store, "a", ["s1", "s2"])
    msrp_workers.tell(store, "b", ["s3"])
    msrp_workers.tell(store, "a", ["s1", "s4"])
    msrp_workers.tell(store, "a", [])

    assert msrp_workers.heard(store, "a", 0.1) == ["s1", "s2", "s4"]
    assert msrp_workers.heard(store, "a", 0.01) == []
    assert msrp_workers.heard(store, "b", 0.1) == ["s3"]


def test_what_a_dead_worker_was_told_goes_away(store: Store) -> None:
    msrp_workers.tell(store, "a", ["s1"])

    assert 0 < store.db.ttl(keys.msrp_told("a")) <= 60


def test_the_doctor_tells_who_carries_sessions(store: Store) -> None:
    config = Config(path="")
    nobody = checks.media_workers(config, store)
    msrp_workers.announce(store, worker("a", 10), LEASE_MS)
    full = checks.media_workers(config, store)
    msrp_workers.announce(store, worker("b", 3), LEASE_MS)

    assert (nobody.state, nobody.cause) == ("wrong", "none lives")
    assert (full.state, full.cause) == ("wrong", "all 1 are full: 10 contents")
    assert checks.media_workers(config, store).cause == "2 live and carry 13 of 20 contents"
    assert checks.media_workers(Config(path="", sessions=Sessions(enabled=False)), store).state == "skipped"
