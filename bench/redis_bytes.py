"""What Redis needs for one user: the memory that it uses with many of them, less what it used before."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from bench import full_size, stored_users
from bench.figure import Figure, alone
from omapush.store.client import Store, load_functions

_USERS = 20_000
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
    return alone("redis_bytes_per_user", "bytes", "(at most 2,000, aim 1,200)", values)


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
