"""Samples of Redis: memory, keys by kind, and members of the collections that stay."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final, cast

from redis import Redis

from soak.series import REDIS, WITHOUT_SESSIONS, Kind, Series

_PAGE: Final = 1_000
_STAYS: Final = re.compile(rb"[a-z-]+:\{[up][0-9]+\}|(own|subs|usual):.*|[a-z-]+(:\{[a-z]+\})?")
"Names of keys whose number stays: what may grow in them is their members."
_OF_SESSIONS: Final = ("session", "session-of", "session-due")
_SIZES: Final = {b"hash": "HLEN", b"zset": "ZCARD", b"set": "SCARD", b"list": "LLEN", b"stream": "XLEN"}


def memory(db: Redis) -> dict[Series, float]:
    """Return what Redis has in use."""
    return {REDIS: _used(db)}


def _used(db: Redis) -> float:
    return float(db.info("memory")["used_memory"])


def keys(db: Redis) -> dict[Series, float]:
    """
    Return the number of keys of each kind, and of members of the collections that stay, by kind.

    And what Redis has in use without the records of sessions, which become more for ten minutes.
    """
    number: Counter[str] = Counter()
    members: Counter[str] = Counter()
    of_sessions = 0
    cursor = 0
    while True:
        cursor, found = db.scan(cursor, count=_PAGE)
        names = cast(list[bytes], found)
        number.update(kind_of(name) for name in names)
        members.update(_members(db, [name for name in names if _STAYS.fullmatch(name)]))
        of_sessions += _size(db, [name for name in names if kind_of(name) in _OF_SESSIONS])
        if cursor == 0:
            break
    return (
        {Series(Kind.KEYS, kind): float(count) for kind, count in number.items()}
        | {Series(Kind.MEMBERS, kind): float(count) for kind, count in members.items()}
        | {WITHOUT_SESSIONS: _used(db) - of_sessions}
    )


def kind_of(name: bytes) -> str:
    """Return what stands before the first colon of a key's name."""
    return name.partition(b":")[0].decode()


def _size(db: Redis, names: list[bytes]) -> int:
    """Return how many bytes keys take; one that has gone meanwhile takes none."""
    return sum(size or 0 for size in _each(db, [("MEMORY USAGE", name) for name in names]))


def _members(db: Redis, names: list[bytes]) -> Counter[str]:
    types = _each(db, [("TYPE", name) for name in names])
    asked = [(_SIZES[kind], name) for kind, name in zip(types, names, strict=True) if kind in _SIZES]
    sizes: Counter[str] = Counter()
    for (_, name), size in zip(asked, _each(db, asked), strict=True):
        sizes[kind_of(name)] += int(size)
    return sizes


def _each(db: Redis, commands: list[tuple[str, bytes]]) -> list[Any]:
    pipe = db.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)  # type: ignore[no-untyped-call]
    return list(pipe.execute())
