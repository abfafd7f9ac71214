"""What nodes and Redis tell, as conditions of the alarm catalogue: pure rules, with the limits as values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from omapush.push.alarms import Condition

LARGEST_CLOCK_OFFSET_MS: Final = 500
LEAST_FREE_MEMORY: Final = 0.1
"Of Kamailio's shared memory."
_STORE_FULL: Final = 0.9
_OUTBOX_RAISE: Final = 0.8
_OUTBOX_CLEAR: Final = 0.7
_FAILURES: Final = 5
"Notifications in a row that an initiator did not take."
_MOST_SUBJECTS: Final = 20
"Of one kind from one node; more hops or files are not named one by one."
_DAY_MS: Final = 86_400_000

NODE_SILENT_MS: Final = 30_000
"A node that has told nothing for so long is silent."
NODE_FORGOTTEN_MS: Final = 3_600_000


class Limits(NamedTuple):
    """Where trouble begins, by configuration."""

    waiting_ms: int
    owed_ms: int
    disk_percent: float
    certificate_ms: int
    most_waiting: int
    wants_media: bool
    record_ms: int
    "How long after its result an event data record may come."


class Certificate(NamedTuple):
    """One certificate that a node shows."""

    file: str
    until_ms: int
    "0: it cannot be read."


class Disk(NamedTuple):
    """One disk that a node writes to."""

    folder: str
    free: int
    "Bytes."
    total: int


class Hop(NamedTuple):
    """One next hop of a node that is in trouble, or was."""

    name: str
    paused_until_ms: int
    down_until_ms: int


class Failing(NamedTuple):
    """One initiator that takes no notifications."""

    initiator: str
    failures: int
    "In a row."
    why: str
    "Its last answer."


class NodeSeen(NamedTuple):
    """What the notifier of one node sees of its node."""

    version: int
    node: str
    at_ms: int
    clock_offset_ms: int
    "Of the node's clock against that of Redis."
    sip_problem: str = ""
    "Why Kamailio does not answer; empty: it does."
    api_problem: str = ""
    audit_problem: str = ""
    memory_free: int = 0
    "Of Kamailio's shared memory, in bytes."
    memory_total: int = 0
    "0: not known."
    certificates: tuple[Certificate, ...] = ()
    disks: tuple[Disk, ...] = ()
    hops: tuple[Hop, ...] = ()
    failing: tuple[Failing, ...] = ()


class StoreSeen(NamedTuple):
    """What is true for all nodes, read from Redis."""

    appends: bool
    "The append-only file is on."
    write_problem: str
    "Of its last write; empty: it went well."
    eviction: str
    "The maxmemory-policy; empty: Redis does not tell."
    memory_used: int
    memory_most: int
    "0: no limit, or Redis does not tell."
    free_shards: int
    "User shards that nobody owns."
    shards: int
    deliveries: int
    "In the outbox."
    oldest_ready_ms: int
    "Since when the oldest delivery that could leave waits; 0: none does."
    overdue: int
    "Deliveries that a crash left and nobody took up."
    owed: int
    "Notifications."
    oldest_owed_ms: int
    "When the oldest result came about that its initiator was not told; 0: none."
    media_workers: int
    media_room: bool
    "One of them takes more."
    oldest_record_ms: int = 0
    "When the oldest result came about whose event data record is not written; 0: none waits."


def of_store(seen: StoreSeen, limits: Limits, now_ms: int, standing: Collection[str]) -> Iterator[Condition]:
    """Yield what is wrong for all; `standing`: names of alarms that stand, which may end at another limit."""
    yield from _of_redis(seen)
    if seen.free_shards:
        yield Condition("shard-without-owner", "", f"{seen.free_shards} of {seen.shards} have no owner")
    if seen.oldest_ready_ms and now_ms - seen.oldest_ready_ms > limits.waiting_ms:
        waited_s = (now_ms - seen.oldest_ready_ms) / 1000
        yield Condition("oldest-waiting", "", f"ready for {waited_s:.0f} s")
    bound = _OUTBOX_CLEAR if "outbox-nearly-full" in standing else _OUTBOX_RAISE
    if seen.deliveries >= bound * limits.most_waiting:
        yield Condition("outbox-nearly-full", "", f"{seen.deliveries} of {limits.most_waiting} deliveries")
    if seen.overdue:
        yield Condition("work-overdue", "", f"{seen.overdue} deliveries wait for a sweeper")
    if seen.oldest_owed_ms and now_ms - seen.oldest_owed_ms > limits.owed_ms:
        owed_s = (now_ms - seen.oldest_owed_ms) / 1000
        yield Condition("notifications-late", "", f"{seen.owed} owed, one for {owed_s:.0f} s")
    if seen.oldest_record_ms and now_ms - seen.oldest_record_ms > limits.record_ms:
        late_s = (now_ms - seen.oldest_record_ms) / 1000
        yield Condition("records-late", "", f"one for {late_s:.0f} s")
    if limits.wants_media and not seen.media_workers:
        yield Condition("media-worker-missing", "", "none lives")
    elif limits.wants_media and not seen.media_room:
        yield Condition("media-workers-full", "", f"all {seen.media_workers} are full")


def _of_redis(seen: StoreSeen) -> Iterator[Condition]:
    if not seen.appends:
        yield Condition("store-not-persistent", "", "appendonly is no")
    elif seen.write_problem:
        yield Condition("store-not-persistent", "", f"last write: {seen.write_problem}")
    if seen.eviction and seen.eviction != "noeviction":
        yield Condition("store-evicts", "", f"maxmemory-policy is {seen.eviction}")
    if seen.memory_most and seen.memory_used >= _STORE_FULL * seen.memory_most:
        used, most = seen.memory_used // 1_000_000, seen.memory_most // 1_000_000
        yield Condition("store-nearly-full", "", f"{used} of {most} MB used")


def of_nodes(nodes: Iterable[NodeSeen], limits: Limits, now_ms: int) -> Iterator[Condition]:
    """Yield what is wrong on each node; of a silent one only that it is silent."""
    for node in nodes:
        silent_ms = now_ms - node.at_ms
        if silent_ms > NODE_SILENT_MS:
            yield Condition("node-silent", node.node, f"no sign of life for {silent_ms // 1000} s")
        else:
            yield from _of_processes(node)
            yield from _of_files(node, limits, now_ms)
            yield from _of_peers(node, now_ms)


def _of_processes(node: NodeSeen) -> Iterator[Condition]:
    problems: Mapping[str, str] = {
        "sip-down": node.sip_problem,
        "api-down": node.api_problem,
        "audit-broken": node.audit_problem,
    }
    for name, problem in problems.items():
        if problem:
            yield Condition(name, node.node, problem)
    if node.memory_total and node.memory_free < LEAST_FREE_MEMORY * node.memory_total:
        free, total = node.memory_free // 1_000_000, node.memory_total // 1_000_000
        yield Condition("sip-memory-low", node.node, f"{free} of {total} MB free")
    if abs(node.clock_offset_ms) > LARGEST_CLOCK_OFFSET_MS:
        yield Condition("clock-differs", node.node, f"{node.clock_offset_ms} ms from that of Redis")


def _of_files(node: NodeSeen, limits: Limits, now_ms: int) -> Iterator[Condition]:
    for one in node.certificates[:_MOST_SUBJECTS]:
        subject = f"{one.file} on {node.node}"
        left_ms = one.until_ms - now_ms
        if not one.until_ms:
            yield Condition("certificate-expires", subject, "cannot be read")
        elif left_ms <= 0:
            yield Condition("certificate-expired", subject, f"since {-left_ms // _DAY_MS} days")
        elif left_ms <= limits.certificate_ms:
            yield Condition("certificate-expires", subject, f"in {left_ms / _DAY_MS:.1f} days")
    for disk in node.disks[:_MOST_SUBJECTS]:
        if disk.free * 100 < limits.disk_percent * disk.total:
            text = f"{disk.free // 1_000_000} of {disk.total // 1_000_000} MB free"
            yield Condition("disk-nearly-full", f"{disk.folder} on {node.node}", text)


def _of_peers(node: NodeSeen, now_ms: int) -> Iterator[Condition]:
    """A hop's trouble is seen by several nodes: it is one alarm, about the hop."""
    for hop in node.hops[:_MOST_SUBJECTS]:
        if hop.down_until_ms > now_ms:
            yield Condition("next-hop-down", hop.name, f"no answer to pushes of {node.node}")
        if hop.paused_until_ms > now_ms:
            for_s = (hop.paused_until_ms - now_ms) / 1000
            yield Condition("next-hop-paused", hop.name, f"for {for_s:.0f} s more, by {node.node}")
    for one in node.failing[:_MOST_SUBJECTS]:
        if one.failures >= _FAILURES:
            yield Condition("initiator-failing", one.initiator, f"{one.failures} in a row: {one.why}")
