"""From demand to nodes, processors, memory and disk: plain arithmetic, each step of it named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from omapush.capacity.measured import Measured

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
_MEGABYTE: Final = 1_000_000
COPIES_OF_CONTENT: Final = 2
"A content up to 16 KiB waits in the push and in the delivery."
FRAGMENTS: Final = 1.25
"What the allocator of Redis takes above what it holds."
REWRITE: Final = 1.5
"While the append-only file is rewritten, pages that change are there twice; half of them is much."
REDIS_SHARE: Final = 0.2
"Part of the processor time of a push that Redis spends on its one thread for commands."
APPEND_ONLY: Final = 3.0
"Disk for the append-only file, in data sets: the file, twice its size before a rewrite, and the new one."


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the service."""

    users: int
    "Registered users, one device each."
    pushes_per_day: int
    busy_hour_share: float = 0.1
    "Part of a day's pushes that the busiest hour has."
    peak: float = 2.0
    "How much faster than its mean the busiest second of that hour is."
    content_bytes: int = 500
    large_share: float = 0.0
    "Part of the pushes that travel in MSRP sessions."
    large_bytes: int = 1_000_000
    waiting_share: float = 0.02
    "Part of a day's pushes that waits at the worst moment, for users who are away or for their time."
    registers_per_user_day: float = 6.0
    "Third-party REGISTERs of one user: refreshes, and each time a device comes and goes."
    retention_s: int = DAY_S
    "`delivery.retention_s`."


@dataclass(frozen=True, slots=True)
class Plant:
    """What it is to run on."""

    cores_per_node: int = 8
    utilisation: float = 0.5
    "How busy the processors of a node may be at the peak."
    spare_nodes: int = 1
    "Nodes that may be missing at the peak."


@dataclass(frozen=True, slots=True)
class Sizing:
    """The answer."""

    pushes_per_s: float
    "At the peak."
    registers_per_s: float
    large_mb_per_s: float
    cores: float
    "Busy processors at the peak, Redis and all parts of ours together."
    nodes: int
    memory_gb: float
    "Redis needs so much RAM; without replicas."
    disk_gb: float
    "For its append-only file."
    users_gb: float
    waiting_gb: float
    finished_gb: float
    redis_masters: int
    "Redis has one processor for commands: above what it carries, a Cluster of so many masters."


def size(demand: Demand, plant: Plant, measured: Measured) -> Sizing:
    """Return what `demand` needs on `plant`, judged by what was measured; one node is never enough."""
    busy_per_s = demand.busy_hour_share / HOUR_S * demand.peak
    pushes = demand.pushes_per_day * busy_per_s
    registers = demand.users * demand.registers_per_user_day * busy_per_s
    large_mb = pushes * demand.large_share * demand.large_bytes / _MEGABYTE
    push_cores = pushes / (measured.pushes / measured.cores)
    cores = (
        push_cores
        + registers / (measured.registers / measured.cores)
        + large_mb / (measured.msrp_mb / measured.cores)
    )
    needed = max(1, math.ceil(cores / (plant.cores_per_node * plant.utilisation)))
    users, waiting, finished = _memory_gb(demand, measured)
    memory = (users + waiting + finished) * FRAGMENTS * REWRITE
    return Sizing(
        pushes_per_s=pushes,
        registers_per_s=registers,
        large_mb_per_s=large_mb,
        cores=cores,
        nodes=max(2, needed + plant.spare_nodes),
        memory_gb=memory,
        disk_gb=(users + waiting + finished) * APPEND_ONLY,
        users_gb=users,
        waiting_gb=waiting,
        finished_gb=finished,
        redis_masters=max(1, math.ceil(cores * REDIS_SHARE / plant.utilisation)),
    )


def _memory_gb(demand: Demand, measured: Measured) -> tuple[float, float, float]:
    """What users, waiting pushes and finished pushes take in Redis."""
    users = demand.users * (measured.user_bytes + measured.watch_bytes)
    small = 1 - demand.large_share
    content = small * demand.content_bytes * COPIES_OF_CONTENT + demand.large_share * demand.large_bytes
    waiting = demand.pushes_per_day * demand.waiting_share * (measured.waiting_bytes + content)
    finished = demand.pushes_per_day * demand.retention_s / DAY_S * measured.finished_bytes
    return users / 1e9, waiting / 1e9, finished / 1e9
