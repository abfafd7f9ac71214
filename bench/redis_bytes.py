"""What Redis needs for one user and for one push: the memory with many of them, less what was used before."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from bench import full_size, message_push, sipp_rate, stored_users
from bench.figure import Figure, alone
from omapush.store.client import Store, load_functions

_USERS = 20_000
_PUSHES = 20_000
_S_CSCF = "sip:127.0.0.1:6060"
_PORT = 6_060


def measure_registration(folder: Path, rounds: int) -> Figure:
    """One registration with one device: the record and its key."""
    return alone("redis_bytes_registration", "bytes", "", [_round(folder / str(i))[0] for i in range(rounds)])


def measure_watch(folder: Path, rounds: int) -> Figure:
    """One watch of a registration: the record, its key, and its place among what is due."""
    return alone("redis_bytes_watch", "bytes", "", [_round(folder / str(i))[1] for i in range(rounds)])


def measure_user(folder: Path, rounds: int) -> Figure:
    """One registration and one idle subscription of the user's device to an application."""
    values = []
    for number in range(rounds):
        registered, _, subscribed = _round(folder / str(number))
        values.append(registered + subscribed)
    return alone("redis_bytes_per_user", "bytes", "a registration and an idle subscription", values)


def measure_waiting(folder: Path, rounds: int) -> Figure:
    """One accepted push of 60 bytes that waits in the outbox: record, event log, delivery."""
    return alone(
        "redis_bytes_waiting", "bytes", "", [_waiting(folder / str(number)) for number in range(rounds)]
    )


def measure_finished(folder: Path, rounds: int) -> Figure:
    """One push that is delivered and still known: record, result, event log; its content is gone."""
    return alone(
        "redis_bytes_finished", "bytes", "", [_finished(folder / str(number)) for number in range(rounds)]
    )


def _waiting(folder: Path) -> float:
    with full_size.stack(folder, ("redis",)) as stack:
        load_functions(stack.store)
        before = _used(stack.store)
        message_push.fill(stack, range(_PUSHES))
        return (_used(stack.store) - before) / _PUSHES


def _finished(folder: Path) -> float:
    stack = full_size.stack(folder, ("redis", "sip", "notifier"))
    with sipp_rate.receiver(folder, stack.core_port), stack:
        before = _used(stack.store)
        message_push.fill(stack, range(_PUSHES))
        message_push.drained(stack, _PUSHES)
        return (_used(stack.store) - before) / _PUSHES


def _round(folder: Path) -> tuple[float, float, float]:
    """Return the bytes of a registration, of a watch, of a subscription."""
    with full_size.stack(folder, ("redis",)) as stack:
        load_functions(stack.store)
        known = [_used(stack.store)]
        stored_users.put_registrations(stack.store, _USERS, _S_CSCF)
        known.append(_used(stack.store))
        stored_users.put_watches(stack.store, _USERS, _S_CSCF)
        known.append(_used(stack.store))
        stored_users.put_subscriptions(stack.store, _USERS, "news.ua", _PORT)
        known.append(_used(stack.store))
    first, second, third = ((after - before) / _USERS for before, after in pairwise(known))
    return first, second, third


def _used(store: Store) -> int:
    return int(store.db.info("memory")["used_memory"])
