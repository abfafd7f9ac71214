"""
The newest pushes to each user, for people who look for one; no push depends on these lists.

They are written between acceptance and the outbox. Pushes to all subscribers are in none, nor are those that
were accepted before there were lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from omapush.push.values import Push, Recipient, target
from omapush.store import keys, own_pushes
from omapush.store.client import Call, Store, ask_all, call_all
from omapush.store.own_pushes import Place

MOST: Final = 100
"Pushes that the list of a user has; older ones are only in the lists of their initiators."
_LONGEST_MS: Final = 400 * 86_400_000
"""
After its newest push a list stays no longer, whatever that push's deliver-before: initiators write the year
9999 for "never", and their pushes are over in seconds.
"""
_AT_ONCE: Final = 500
"Entries made in one trip to Redis."


class _Entry(NamedTuple):
    """One push in the list of one user."""

    aor: str
    ref: str
    accepted_ms: int
    until_ms: int


def enter(store: Store, addressed: Iterable[tuple[Push, Iterable[Recipient]]], *, retention_s: int) -> None:
    """Enter pushes in the lists of their recipients; those that SIP reaches nowhere have none."""
    call_all(store, enter_most(store, addressed, retention_s=retention_s))


def enter_most(
    store: Store, addressed: Iterable[tuple[Push, Iterable[Recipient]]], *, retention_s: int
) -> list[Call]:
    """Do the same for all but the last of them; return the calls for those, for the caller's next trip."""
    batch: list[_Entry] = []
    for entry in _entries(addressed, retention_s):
        if len(batch) == _AT_ONCE:
            call_all(store, _entering(store, batch))
            batch = []
        batch.append(entry)
    return _entering(store, batch)


def _entries(addressed: Iterable[tuple[Push, Iterable[Recipient]]], retention_s: int) -> Iterator[_Entry]:
    for push, recipients in addressed:
        until_ms = min(push.deliver_before_ms, push.accepted_ms + _LONGEST_MS) + retention_s * 1000
        for recipient in recipients:
            if recipient.aor:
                yield _Entry(recipient.aor, push.ref, push.accepted_ms, until_ms)


def _entering(store: Store, batch: list[_Entry]) -> list[Call]:
    shards: dict[int, tuple[list[str], list[Any]]] = {}
    for aor, *rest in batch:
        number = store.layout.user_shard(aor)
        names, args = shards.setdefault(number, ([], []))
        names.append(keys.user_pushes(number, target(aor)))
        args += rest
    return [Call("omapush_enter_pushes", names, args) for names, args in shards.values()]


def number(store: Store, aor: str) -> int:
    """Return how many pushes the list of a user has; at `MOST` there may have been older ones."""
    return int(ask_all(store, "pushes of a user", [("ZCARD", _name(store, aor))])[0])


def oldest(store: Store, aor: str) -> Place | None:
    """Return where the oldest push stands that the list of a user has; None: there is no list."""
    rows = ask_all(store, "pushes of a user", [("ZRANGE", _name(store, aor), 0, 0, "WITHSCORES")])
    return next(iter(own_pushes.places(rows[0])), None)


def page(store: Store, aor: str, *, before: Place | None, since_ms: int, until_ms: int) -> list[Place]:
    """Return the newest pushes to a user in this time, older than `before`; some may be forgotten already."""
    lists = [_name(store, aor)]
    return own_pushes.page_of(store, lists, before=before, since_ms=since_ms, until_ms=until_ms, most=MOST)


def _name(store: Store, aor: str) -> str:
    return keys.user_pushes(store.layout.user_shard(aor), target(aor))
