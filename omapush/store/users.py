"""Registration and capabilities of users, read together: senders look at both, and both are in one slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from omapush.push.capabilities import Capabilities
from omapush.push.registration import Registration
from omapush.push.values import target
from omapush.store import capabilities, codec, keys
from omapush.store.client import Store, ask_all


class User(NamedTuple):
    """What is stored of one user."""

    registration: Registration | None
    capabilities: Capabilities | None
    problem: str = ""
    "Why the registration cannot be read; empty: it can, or there is none."


def read_all(store: Store, aors: Sequence[str]) -> list[User]:
    """Return what is stored of many users, in their order and in one go."""
    found = dict(_read(store, aors))
    return [found[aor] for aor in aors]


def _read(store: Store, aors: Sequence[str]) -> Iterator[tuple[str, User]]:
    """One MGET for each shard: a command of its own for each record would cost more than Redis' answer."""
    by_shard: dict[int, dict[str, None]] = {}
    for aor in aors:
        by_shard.setdefault(store.layout.user_shard(aor), {})[aor] = None
    answers = ask_all(
        store,
        "read users",
        (
            (
                "MGET",
                *(keys.registration(number, aor) for aor in users),
                *(keys.capabilities(number, target(aor)) for aor in users),
            )
            for number, users in by_shard.items()
        ),
    )
    for users, records in zip(by_shard.values(), answers, strict=True):
        for aor, registered, capable in zip(users, records, records[len(users) :], strict=False):
            yield aor, _user(registered, capable)


def _user(registered: bytes | None, capable: bytes | None) -> User:
    known = capabilities.readable(capable)
    if registered is None:
        return User(None, known)
    try:
        return User(codec.registration(registered), known)
    except codec.BrokenRecord as error:
        return User(None, known, str(error))
