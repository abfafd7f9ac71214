"""What is an alarm: each rule at its limit, on either side of it."""

from typing import Any

import pytest

from omapush.push import alarm_rules
from omapush.push.alarm_rules import (
    NODE_SILENT_MS,
    Certificate,
    Disk,
    Failing,
    Hop,
    Limits,
    NodeSeen,
    StoreSeen,
)
from omapush.push.alarms import CATALOGUE

NOW = 1_800_000_000_000
DAY = 86_400_000
LIMITS = Limits(
    waiting_ms=30_000,
    owed_ms=600_000,
    disk_percent=10.0,
    certificate_ms=30 * DAY,
    most_waiting=1_000,
    wants_media=True,
    record_ms=65_000,
)
FINE = StoreSeen(
    appends=True,
    write_problem="",
    eviction="noeviction",
    memory_used=89,
    memory_most=100,
    free_shards=0,
    shards=16,
    deliveries=799,
    oldest_ready_ms=NOW - 30_000,
    overdue=0,
    owed=1,
    oldest_owed_ms=NOW - 600_000,
    media_workers=1,
    media_room=True,
    oldest_record_ms=NOW - 65_000,
)
WELL = NodeSeen(
    1,
    "n1",
    NOW,
    500,
    memory_free=10,
    memory_total=100,
    certificates=(Certificate("c", NOW + 30 * DAY + 1),),
    disks=(Disk("/d", 10, 100),),
    hops=(Hop("h", NOW, NOW),),
    failing=(Failing("pi", 4, "HTTP 500"),),
)


def of_store(**changed: Any) -> list[tuple[str, str]]:
    found = alarm_rules.of_store(FINE._replace(**changed), LIMITS, NOW, ())
    return [(one.name, one.subject) for one in found]


def of_node(**changed: Any) -> list[tuple[str, str]]:
    found = alarm_rules.of_nodes([WELL._replace(**changed)], LIMITS, NOW)
    return [(one.name, one.subject) for one in found]


def test_nothing_is_wrong_at_the_limits() -> None:
    assert of_store() == []
    assert of_node() == []


OF_STORE: list[tuple[str, dict[str, Any]]] = [
    ("store-not-persistent", {"appends": False}),
    ("store-not-persistent", {"write_problem": "err"}),
    ("store-evicts", {"eviction": "allkeys-lru"}),
    ("store-nearly-full", {"memory_used": 90}),
    ("shard-without-owner", {"free_shards": 1}),
    ("oldest-waiting", {"oldest_ready_ms": NOW - 30_001}),
    ("outbox-nearly-full", {"deliveries": 800}),
    ("work-overdue", {"overdue": 1}),
    ("records-late", {"oldest_record_ms": NOW - 65_001}),
    ("notifications-late", {"oldest_owed_ms": NOW - 600_001}),
    ("media-worker-missing", {"media_workers": 0, "media_room": False}),
    ("media-workers-full", {"media_room": False}),
]
OF_NODE: list[tuple[str, str, dict[str, Any]]] = [
    ("sip-down", "n1", {"sip_problem": "no answer"}),
    ("api-down", "n1", {"api_problem": "refused"}),
    ("audit-broken", "n1", {"audit_problem": "no room"}),
    ("sip-memory-low", "n1", {"memory_free": 9}),
    ("clock-differs", "n1", {"clock_offset_ms": -501}),
    ("certificate-expires", "c on n1", {"certificates": (Certificate("c", NOW + 30 * DAY),)}),
    ("certificate-expires", "c on n1", {"certificates": (Certificate("c", 0),)}),
    ("certificate-expired", "c on n1", {"certificates": (Certificate("c", NOW),)}),
    ("disk-nearly-full", "/d on n1", {"disks": (Disk("/d", 9, 100),)}),
    ("next-hop-paused", "h", {"hops": (Hop("h", NOW + 1, 0),)}),
    ("next-hop-down", "h", {"hops": (Hop("h", 0, NOW + 1),)}),
    ("initiator-failing", "pi", {"failing": (Failing("pi", 5, "HTTP 500"),)}),
    ("node-silent", "n1", {"at_ms": NOW - NODE_SILENT_MS - 1}),
]


@pytest.mark.parametrize(("name", "changed"), OF_STORE, ids=lambda one: str(one))
def test_what_is_wrong_for_all_nodes_is_its_alarm_and_no_other(name: str, changed: dict[str, Any]) -> None:
    assert of_store(**changed) == [(name, "")]


@pytest.mark.parametrize(("name", "subject", "changed"), OF_NODE, ids=lambda one: str(one))
def test_what_is_wrong_on_a_node_is_its_alarm_and_no_other(
    name: str, subject: str, changed: dict[str, Any]
) -> None:
    assert of_node(**changed) == [(name, subject)]


def test_every_alarm_of_the_catalogue_has_its_rule() -> None:
    tried = {name for name, _ in OF_STORE} | {name for name, _, _ in OF_NODE}

    assert set(CATALOGUE) - tried == {"store-away", "alarms-unwatched"}  # seen by who cannot read the alarms


def test_of_a_silent_node_nothing_else_is_said() -> None:
    assert of_node(at_ms=NOW - NODE_SILENT_MS - 1, sip_problem="no answer") == [("node-silent", "n1")]


def test_an_outbox_that_was_nearly_full_is_so_down_to_seven_tenths() -> None:
    def stands(deliveries: int) -> bool:
        seen = FINE._replace(deliveries=deliveries)
        return bool(list(alarm_rules.of_store(seen, LIMITS, NOW, {"outbox-nearly-full"})))

    assert [stands(699), stands(700)] == [False, True]


def test_without_sessions_nobody_misses_a_media_worker() -> None:
    seen = FINE._replace(media_workers=0, media_room=False)

    assert list(alarm_rules.of_store(seen, LIMITS._replace(wants_media=False), NOW, ())) == []


def test_a_redis_that_does_not_tell_its_policy_or_limit_is_believed() -> None:
    assert of_store(eviction="", memory_most=0, memory_used=10**12) == []
