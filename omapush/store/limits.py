"""What initiators with limits have submitted: let in by one call, and counted down as results are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from omapush.config import Config
from omapush.push.limits import LIMITS, InitiatorLimits, Reached
from omapush.store import keys
from omapush.store.client import Call, Store, ask_all, call, call_all, store_errors

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


class Usage(NamedTuple):
    """What one initiator has submitted."""

    outstanding: int = 0
    "Deliveries without a final result."
    today: int = 0
    "Deliveries since midnight, UTC."
    last_minute: int = 0
    "Deliveries of the last whole minute."
    refused: Mapping[str, int] = dict.fromkeys(LIMITS, 0)
    "Submissions that were refused, by limit."


class Admission(NamedTuple):
    """What of one submission is counted."""

    initiator: str
    limits: InitiatorLimits
    deliveries: int
    outstanding: int
    "So many of them have their results counted; those of a push to subscribers have not."


def limits_of(config: Config) -> dict[str, InitiatorLimits]:
    """Return the limits of each initiator that has any."""
    found = {
        name: InitiatorLimits(one.rate, one.burst, one.outstanding, one.daily)
        for name, one in config.initiator.items()
    }
    return {name: one for name, one in found.items() if one.any}


def admit(store: Store, wanted: Admission) -> Reached | None:
    """Let a submission in; or return the limit that it would go beyond, and count nothing."""
    return admit_all(store, [wanted])[0]


def admit_all(store: Store, wanted: Iterable[Admission]) -> list[Reached | None]:
    """Do the same for many, in their order and in one trip."""
    return [_reached(answer) for answer in call_all(store, (_admitting(one) for one in wanted))]


def _admitting(wanted: Admission) -> Call:
    limits, numbers = wanted.limits, [wanted.deliveries, wanted.outstanding]
    numbers += [limits.interval_us, limits.burst, limits.outstanding, limits.daily]
    return Call("omapush_admit", [keys.limits(wanted.initiator)], numbers)


def _reached(answer: Sequence[Any]) -> Reached | None:
    if not answer:
        return None
    name, wait_ms = answer
    return Reached(next(limit for limit in LIMITS if limit == name.decode()), int(wait_ms))


def give_back(store: Store, admitted: Admission) -> None:
    """Take back what was let in, of a submission that certainly was not stored."""
    args = [admitted.deliveries, admitted.outstanding, admitted.limits.interval_us]
    call(store, Call("omapush_give_back", [keys.limits(admitted.initiator)], args))


def mark(store: Store, pushes: Iterable[tuple[str, str]]) -> None:
    """Have the deliveries of these pushes, ref and initiator of each, counted as they get their results."""
    call_all(
        store,
        (
            Call(
                "omapush_mark",
                [keys.push(number, ref), keys.quota(number)],
                [initiator],
            )
            for ref, initiator in pushes
            for number in (store.layout.push_shard(ref),)
        ),
    )


def catch_up(store: Store, initiators: Sequence[str]) -> dict[str, int]:
    """Take into account which deliveries have ended; returns how many each has outstanding."""
    names = [f"{what}:{initiator}" for initiator in initiators for what in ("stored", "final")]
    if not names:
        return {}
    shards = ask_all(
        store,
        "read quotas",
        (("HMGET", keys.quota(number), *names) for number in range(store.layout.push_shards)),
    )
    totals = [sum(int(found[place] or 0) for found in shards) for place in range(len(names))]
    answers = call_all(
        store,
        (
            Call("omapush_catch_up", [keys.limits(one)], totals[2 * place : 2 * place + 2])
            for place, one in enumerate(initiators)
        ),
    )
    return dict(zip(initiators, map(int, answers), strict=True))


def usage(store: Store, initiators: Sequence[str], now_ms: int) -> dict[str, Usage]:
    """Return what each initiator has submitted; zeroes for one that has no limits."""
    with store_errors("usage of initiators"):
        pipe = store.db.pipeline(transaction=False)
        for initiator in initiators:
            pipe.hgetall(keys.limits(initiator))
        found = pipe.execute()
    return {one: _usage(fields, now_ms) for one, fields in zip(initiators, found, strict=True)}


def _usage(fields: dict[bytes, bytes], now_ms: int) -> Usage:
    known = {name.decode(): int(float(value)) for name, value in fields.items()}
    minute = now_ms // _MINUTE_MS
    last = {minute: known.get("before", 0), minute - 1: known.get("now", 0)}.get(known.get("minute", 0), 0)
    return Usage(
        outstanding=max(known.get("admitted", 0) - known.get("freed", 0), 0),
        today=known.get("used", 0) if known.get("day") == now_ms // _DAY_MS else 0,
        last_minute=last,
        refused={limit: known.get(f"over:{limit}", 0) for limit in LIMITS},
    )
