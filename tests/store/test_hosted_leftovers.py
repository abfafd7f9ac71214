"""Pushes for a hosted application whose table is gone: kept for it, said so, and forgotten in the end."""

from __future__ import annotations

import pytest
import structlog

from omapush.config import parse
from omapush.notifier.leftovers import Leftovers
from omapush.store import hosted
from omapush.store.client import Store
from tests.store.conftest import NOW_MS
from tests.store.test_hosted import APP, REFUSED, borrow, place, settle
from tests.unit.push.test_hosted import pushed

MINUTE_MS = 60_000
KEPT_MS = 3_600_000
SETTINGS = {"delivery": {"retention_s": KEPT_MS // 1000}}


def node(store: Store, backend: str = "") -> Leftovers:
    """The part of one node's notifier, with a table for the application or without one."""
    tables = {"hosted": {APP: {"backend": backend}}} if backend else {}
    return Leftovers(parse({**SETTINGS, **tables}, "x.toml"), store)


def looked(part: Leftovers, at_ms: int) -> list[tuple[str, int]]:
    """What the log says then, and of how many pushes."""
    with structlog.testing.capture_logs() as lines:
        part.look(at_ms)
    return [(one["event"], one["pushes"]) for one in lines]


@pytest.fixture
def left(store: Store) -> Leftovers:
    """Two pushes, one of them given up, when the table has just been taken out; the notifier without it."""
    node(store, "http://127.0.0.1:1/").look(NOW_MS)
    place(store, pushed())
    failed = pushed(call_id="d@psa")
    place(store, failed)
    settle(store, failed, REFUSED)
    without = node(store)
    without.look(NOW_MS)
    return without


def test_they_are_kept_and_the_log_says_once_how_many_and_until_when(store: Store, left: Leftovers) -> None:
    assert looked(left, NOW_MS + MINUTE_MS - 1) == []
    with structlog.testing.capture_logs() as lines:
        left.look(NOW_MS + MINUTE_MS)
    assert [(one["event"], one["pushes"], one["log_level"]) for one in lines] == [
        ("hosted_left", 2, "warning")
    ]
    assert lines[0]["application"] == APP
    assert looked(left, NOW_MS + KEPT_MS - 1) == []

    assert len(hosted.everything(store, APP)) == 2


def test_when_the_table_comes_back_they_go_on(store: Store, left: Leftovers) -> None:
    left.look(NOW_MS + MINUTE_MS)
    node(store, "http://127.0.0.1:1/").look(NOW_MS + KEPT_MS - 1)

    assert looked(left, NOW_MS + KEPT_MS) == []
    assert looked(left, NOW_MS + KEPT_MS + MINUTE_MS) == []
    other = node(store)
    assert looked(other, NOW_MS + KEPT_MS) == []
    assert looked(other, NOW_MS + KEPT_MS + MINUTE_MS) == [("hosted_left", 2)]
    assert len(borrow(store, NOW_MS + KEPT_MS)) == 1


def test_in_the_end_they_are_forgotten_together_and_the_log_says_how_many(
    store: Store, left: Leftovers
) -> None:
    assert looked(left, NOW_MS + KEPT_MS) == [("hosted_forgotten", 2)]
    assert looked(left, NOW_MS + KEPT_MS) == []

    assert {name.decode().partition(":")[0] for name in store.db.scan_iter()} == {"hosted-seen"}


def test_after_a_long_stop_of_all_nodes_the_first_that_starts_forgets_nothing_at_once(
    store: Store, left: Leftovers
) -> None:
    """Another may have the table, and be starting just now."""
    late_ms = NOW_MS + 10 * KEPT_MS
    first = node(store)
    assert looked(first, late_ms) == []
    node(store, "http://127.0.0.1:1/").look(late_ms + 1)

    assert looked(first, late_ms + MINUTE_MS) == []
    assert len(hosted.everything(store, APP)) == 2


def test_a_node_without_the_table_does_nothing_while_another_has_it(store: Store, left: Leftovers) -> None:
    other = node(store, "http://127.0.0.1:1/")
    for at_ms in range(NOW_MS, NOW_MS + 2 * KEPT_MS, MINUTE_MS // 2):
        other.look(at_ms)
        assert looked(left, at_ms) == []

    assert len(hosted.everything(store, APP)) == 2


def test_a_table_that_says_stream_now_is_none_for_what_waits_for_a_back_end(
    store: Store, left: Leftovers
) -> None:
    place(store, pushed(call_id="e@psa"), to_stream=True)

    streaming = node(store, "stream")
    assert looked(streaming, NOW_MS) == []
    assert looked(streaming, NOW_MS + KEPT_MS) == [("hosted_forgotten", 2)]
    assert hosted.streamed(store, APP) == 1


def test_of_an_application_without_pushes_nothing_is_said_or_kept(store: Store) -> None:
    node(store, "http://127.0.0.1:1/").look(NOW_MS)
    without = node(store)

    assert looked(without, NOW_MS) == []
    assert looked(without, NOW_MS + MINUTE_MS) == []
    assert list(store.db.scan_iter()) == []
