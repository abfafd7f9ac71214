"""Lock-outs as all nodes see them: what is locked, and what an operator has lifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from omapush.push.guessing import LONGEST_LOCK_S, Counter, Kind, LockOut, lock_s
from omapush.store import keys
from omapush.store.client import Store, ask_all

_MOST: Final = 10_000
"Of what is locked; that which ends first goes for one more."
_KEPT_S: Final = LONGEST_LOCK_S + 60
"Nothing that was locked before a lift lasts longer after it."
_KINDS: Final = get_args(Kind)


def note(store: Store, locked: Sequence[tuple[Counter, int]]) -> None:
    """Note what is locked until when, in ms."""
    key = keys.LOCK_OUTS
    places = [word for counter, until_ms in locked for word in (until_ms, _member(counter))]
    commands = [("ZADD", key, *places), ("ZREMRANGEBYRANK", key, 0, -_MOST - 1), ("EXPIRE", key, _KEPT_S)]
    ask_all(store, "note lock-outs", commands)


def standing(store: Store, now_ms: int) -> list[LockOut]:
    """Return what is locked now, what lasts longest last; those that are over are forgotten."""
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
    """Have these begin anew, in all processes: each looks before it refuses somebody, once a second."""
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
    """Return what was lifted of late, with when in ms."""
    return _counters(ask_all(store, "lifted lock-outs", [("ZRANGE", keys.LIFTED, 0, -1, "WITHSCORES")])[0])


def _member(counter: Counter) -> str:
    return f"{counter.kind} {counter.value}"


def _counters(found: Sequence[tuple[bytes, float]]) -> dict[Counter, int]:
    """Read members with their scores; a kind that another release counts is not ours to tell."""
    counters: dict[Counter, int] = {}
    for member, score in found:
        kind, _, value = member.decode().partition(" ")
        if kind in _KINDS:
            counters[Counter(kind, value)] = int(score)  # type: ignore[arg-type]
    return counters
