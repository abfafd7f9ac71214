"""What is true for all nodes, read from Redis: its own state, queues and their ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from omapush.push.alarm_rules import StoreSeen
from omapush.store import client, codec, keys, msrp_workers, outbox, outbox_views, owed, pushes, records
from omapush.store.client import Command, Store, ask_all, store_errors

OVERDUE_MS: Final = 30_000
"Work that a notifier does within seconds while it runs."
_BANDS: Final = ((0, 10**15, -1_700_000_000_000_000), (10**15, 4 * 10**15, 0), (4 * 10**15, None, 3 * 10**15))
"""
Scores of `ready` for each priority: above the first number, below the second, and what was added to the time
(`schema/functions/queues.lua`). What was put first of all has the first number itself, and no time.
"""
_NO_EVICTION: Final = "noeviction"
_SAMPLE: Final = 5
"Results owed that are looked at from either end of each push shard's list."


class Ages(NamedTuple):
    """Since when the oldest of something waits, as time in ms; 0: nothing waits."""

    ready_ms: int
    owed_ms: int


def clock_offset_ms(store: Store, now_ms: int) -> int:
    """Return how far the clock of Redis is before `now_ms`, up to the time that asking takes."""
    with store_errors("time"):
        seconds, microseconds = store.db.time()
    return int(seconds * 1000 + microseconds // 1000 - now_ms)


def _part_used(memory: Mapping[str, Any]) -> float:
    """How full one server is; 0 without a limit."""
    return float(memory.get("used_memory", 0)) / float(memory.get("maxmemory", 0) or "inf")


def look(store: Store, now_ms: int) -> StoreSeen:
    """Return everything, in some ten round trips; `now_ms` by the clock of Redis."""
    with store_errors("info"):
        masters = client.servers(store)
        persistence: list[Any] = [one.info("persistence") for one in masters]
        memory: list[Any] = [one.info("memory") for one in masters]
    owners = outbox_views.owners(store)
    written = {str(one.get("aof_last_write_status", "ok")) for one in persistence} - {"ok"}
    policies = {str(one.get("maxmemory_policy", "")) for one in memory}
    fullest = max(memory, key=_part_used)
    found = ages(store)
    media = msrp_workers.live(store)
    return StoreSeen(
        appends=all(one.get("aof_enabled", 1) for one in persistence),
        write_problem=", ".join(sorted(written)),
        eviction=", ".join(sorted(policies - {_NO_EVICTION})) or _NO_EVICTION,
        memory_used=int(fullest.get("used_memory", 0)),
        memory_most=int(fullest.get("maxmemory", 0)),
        free_shards=sum(int(owner.get("until_ms", 0)) <= now_ms for owner in owners.values()),
        shards=len(owners),
        deliveries=outbox.depth(store).all,
        oldest_ready_ms=found.ready_ms,
        overdue=overdue(store, now_ms),
        owed=owed.count(store),
        oldest_owed_ms=found.owed_ms,
        media_workers=len(media),
        media_room=any(one.has_room for one in media),
        oldest_record_ms=records.oldest_ms(store),
    )


def overdue(store: Store, now_ms: int) -> int:
    """Return how many pushes and deliveries that a crash left were not taken up for half a minute."""
    left = len(pushes.not_handed_over(store, now_ms - OVERDUE_MS))
    return left + len(outbox.overdue(store, since_ms=OVERDUE_MS))


def ages(store: Store) -> Ages:
    """Return since when the oldest delivery is ready, and the oldest result owed as a sample shows it."""
    return Ages(_oldest_ready_ms(store), _oldest_owed_ms(store))


def _oldest_ready_ms(store: Store) -> int:
    return oldest_ready_ms(ask_all(store, "oldest ready", ready_commands(store)))


def ready_commands(store: Store) -> list[Command]:
    """Return what to ask for `oldest_ready_ms`, for who asks more in the same trip."""
    commands: list[Command] = []
    for number in range(store.layout.user_shards):
        for above, below, _ in _BANDS:
            most = "+inf" if below is None else f"({below}"
            words = ("ZRANGE", keys.outbox(number, "ready"), f"({above}", most, "BYSCORE")
            commands.append((*words, "LIMIT", 0, 1, "WITHSCORES"))
    return commands


def oldest_ready_ms(rows: Sequence[Any]) -> int:
    """Return since when the oldest delivery is ready, of the answers to `ready_commands`; 0: none is."""
    times = []
    for place, row in enumerate(rows):
        if row:
            score = row[0][1] if isinstance(row[0], list) else row[1]
            times.append(int((float(score) - _BANDS[place % len(_BANDS)][2]) / 1000))
    return min(times, default=0)


def _oldest_owed_ms(store: Store) -> int:
    """What has been put off the longest is at one end, what nobody took up at the other."""
    commands: list[Command] = []
    for number in range(store.layout.push_shards):
        key = keys.notify(number)
        commands += [("ZRANGE", key, 0, _SAMPLE - 1), ("ZRANGE", key, -_SAMPLE, -1)]
    members = {member.decode() for row in ask_all(store, "owed", commands) for member in row}
    asked: list[Command] = []
    for ref, index in map(owed.split_member, sorted(members)):
        asked.append(("HGET", keys.push(store.layout.push_shard(ref), ref), f"r{index}"))
    found = ask_all(store, "owed", asked) if asked else []
    return min((codec.result(data).at_ms for data in found if data is not None), default=0)
