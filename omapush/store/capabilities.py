"""Capabilities of users' devices: facts merged into one record for each user; one writer wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from omapush.errors import TryLater
from omapush.push import capabilities as rules
from omapush.push.capabilities import Capabilities, Facts
from omapush.push.values import target
from omapush.store import codec, keys
from omapush.store.client import Call, Store, ask_all, call_all

_TRIES = 32


def read(store: Store, aor: str) -> Capabilities | None:
    """Return the capabilities of the devices of an address of record, or None."""
    return read_all(store, [aor])[0]


def read_all(store: Store, aors: Sequence[str]) -> list[Capabilities | None]:
    """Return the capabilities of many users, in one go; None for a broken record."""
    return [readable(data) for data in _read_bytes(store, aors)]


Rule = Callable[[Capabilities | None], Capabilities | None]
"""
A rule: returns the new record, or None if it stays as it is. It is called again when another writer was
faster.
"""


def learn(store: Store, facts: Mapping[str, Iterable[Facts]], now_ms: int) -> None:
    """
    Merge facts, by address of record, into the records; each record atomically.

    Raises:
        TryLater: a record was changed by others so often that the merge never got through.
    """
    change(store, {aor: partial(_merged, aor, tuple(new), now_ms) for aor, new in facts.items()}, now_ms)


def _merged(aor: str, new: tuple[Facts, ...], now_ms: int, record: Capabilities | None) -> Capabilities:
    return rules.merge(record, aor, new, now_ms)


def change(store: Store, by_user: Mapping[str, Rule], now_ms: int) -> None:
    """
    Change the records of users, each atomically by its rule.

    Raises:
        TryLater: a record was changed by others so often that the rule never got through.
    """
    left = dict(by_user)
    for _ in range(_TRIES):
        left = _change_once(store, left, now_ms)
        if not left:
            return
    raise TryLater(f"capabilities of {next(iter(left))} are changed too often at once")


def _change_once(store: Store, by_user: Mapping[str, Rule], now_ms: int) -> dict[str, Rule]:
    """Return the rules that lost against another writer."""
    users = []
    calls = []
    for aor, was in zip(by_user, _read_bytes(store, list(by_user)), strict=True):
        record = by_user[aor](readable(was))
        if record is None:
            continue
        lifetime_ms = max((one.expires_ms - now_ms for one in record.facts), default=1)
        name = keys.capabilities(store.layout.user_shard(aor), target(aor))
        users.append(aor)
        calls.append(Call("omapush_replace", [name], [was or b"", codec.encode(record), max(lifetime_ms, 1)]))
    answers = call_all(store, calls) if calls else []
    return {aor: by_user[aor] for aor, answer in zip(users, answers, strict=True) if not answer[0]}


def readable(data: bytes | None) -> Capabilities | None:
    """Return a record as it is stored; a broken one counts as none."""
    try:
        return None if data is None else codec.capabilities(data)
    except codec.BrokenRecord:
        return None


def _read_bytes(store: Store, aors: Sequence[str]) -> list[bytes | None]:
    """One MGET for each shard."""
    by_shard: dict[int, list[str]] = {}
    for aor in dict.fromkeys(aors):
        by_shard.setdefault(store.layout.user_shard(aor), []).append(aor)
    answers = ask_all(
        store,
        "read capabilities",
        (
            ("MGET", *(keys.capabilities(number, target(aor)) for aor in users))
            for number, users in by_shard.items()
        ),
    )
    found: dict[str, bytes | None] = {}
    for users, records in zip(by_shard.values(), answers, strict=True):
        found.update(zip(users, records, strict=True))
    return [found[aor] for aor in aors]
