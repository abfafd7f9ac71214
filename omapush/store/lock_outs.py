"""Lock-outs for all nodes: who is locked out, and which lock-outs an operator has lifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from omapush.push.guessing import LONGEST_LOCK_S, Counter, Kind, LockOut, lock_s
from omapush.store import keys
from omapush.store.client import Store, ask_all

_MOST: Final = 10_000
"Largest number of lock-outs that are stored; a further one replaces the one that ends first."
_KEPT_S: Final = LONGEST_LOCK_S + 60
"How long a lift is kept: no lock-out from before it lasts longer."
_KINDS: Final = get_args(Kind)


def note(store: Store, locked: Sequence[tuple[Counter, int]]) -> None:
    """Store lock-outs with their ends, in ms."""
    key = keys.LOCK_OUTS
    places = [word for counter, until_ms in locked for word in (until_ms, _member(counter))]
    commands = [("ZADD", key, *places), ("ZREMRANGEBYRANK", key, 0, -_MOST - 1), ("EXPIRE", key, _KEPT_S)]
    ask_all(store, "note lock-outs", commands)


def standing(store: Store, now_ms: int) -> list[LockOut]:
    """Return the current lock-outs, the one that lasts longest last; those that are over are deleted."""
    key = keys.LOCK_OUTS
    commands: list[tuple[str | int, ...]] = [
        ("ZREMRANGEBYSCORE", key, "-inf", now_ms),
        ("ZRANGE", key, 0, -1, "WITHSCORES"),
    ]
    found = ask_all(store, "lock-outs", commands)[1]
    locked = _counters(found)
    counts = ask_all(store, "lock-outs", [("GET", keys.guesses(one.kind, one.value)) for one in locked])
    return [
        LockOut(one, int(count or 0), until_ms - lock_s(one.kind, int(count or 0)) * 1000, until_ms)
        for (one, until_ms), count in zip(locked.items(), counts, strict=True)
    ]


def lift(store: Store, counters: Sequence[Counter], now_ms: int) -> None:
    """Lift these lock-outs in all processes; each process looks once a second before it refuses somebody."""
    key = keys.LIFTED
    members = [_member(one) for one in counters]
    commands: list[tuple[str | int, ...]] = [
        *(("DEL", keys.guesses(one.kind, one.value)) for one in counters),
        ("ZREM", keys.LOCK_OUTS, *members),
        ("ZREMRANGEBYSCORE", key, "-inf", now_ms - _KEPT_S * 1000),
        ("ZADD", key, *(word for member in members for word in (now_ms, member))),
        ("EXPIRE", key, _KEPT_S),
    ]
    ask_all(store, "lift lock-outs", commands)


def lifted(store: Store) -> dict[Counter, int]:
    """Return the lock-outs that were lifted recently, with the time in ms."""
    return _counters(ask_all(store, "lifted lock-outs", [("ZRANGE", keys.LIFTED, 0, -1, "WITHSCORES")])[0])


def _member(counter: Counter) -> str:
    return f"{counter.kind} {counter.value}"


def _counters(found: Sequence[tuple[bytes, float]]) -> dict[Counter, int]:
    """Read members with their scores, leaving out kinds that only another release knows."""
    counters: dict[Counter, int] = {}
    for member, score in found:
        kind, _, value = member.decode().partition(" ")
        if kind in _KINDS:
            counters[Counter(kind, value)] = int(score)  # type: ignore[arg-type]
    return counters
