"""
What senders read about users in one trip: registration, capabilities, subscriptions, and whether a delivery
gives way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from omapush.push.capabilities import Capabilities
from omapush.push.registration import Registration
from omapush.push.subscription import Subscription
from omapush.push.values import target
from omapush.store import capabilities, codec, keys, subscriptions
from omapush.store.client import Command, Store, ask_and_call


class User(NamedTuple):
    """What is stored of one user."""

    registration: Registration | None
    capabilities: Capabilities | None
    subscriptions: tuple[Subscription, ...] = ()
    "Subscriptions to the application, including those that have expired."
    problem: str = ""
    "Why the registration cannot be read; empty if it can, or if there is none."
    gives_way: bool = False
    "Deliveries that were accepted earlier and were held have been made ready meanwhile."


def read_all(store: Store, wanted: Sequence[tuple[str, str]], tickets: Sequence[str] = ()) -> list[User]:
    """
    Return what is stored for each (address of record, application), in their order and in one go.

    `tickets`: the deliveries to them, to find out whether they give way; none, or one for each.
    """
    by_shard: dict[int, dict[str, None]] = {}
    for aor, _ in wanted:
        by_shard.setdefault(store.layout.user_shard(aor), {})[aor] = None
    asked = subscriptions.lookup(store, wanted)
    # Registrations first: who sees that a user is back sees then what is ready since.
    commands = [_records(number, users) for number, users in by_shard.items()]
    # Of those all, for mostly there are none.
    commands += [("ZRANGE", keys.outbox(number, "late"), 0, -1) for number in by_shard if tickets]
    records, answers = ask_and_call(store, "read users", commands, asked.calls)
    found: dict[str, User] = {}
    for users, values in zip(by_shard.values(), records, strict=False):
        for aor, registered, capable in zip(users, values, values[len(users) :], strict=False):
            found[aor] = _user(registered, capable)
    subscribed = subscriptions.found_by(store, asked, answers)
    read = [
        found[aor]._replace(subscriptions=of_user) if of_user else found[aor]
        for (aor, _), of_user in zip(wanted, subscribed, strict=True)
    ]
    late = {ticket.decode() for of_shard in records[len(by_shard) :] for ticket in of_shard}
    if not late:
        return read
    return [user._replace(gives_way=place in late) for user, place in zip(read, tickets, strict=True)]


def _records(number: int, users: Iterable[str]) -> Command:
    """One MGET for each shard: a command of its own for each record would cost more than Redis' answer."""
    registered = (keys.registration(number, aor) for aor in users)
    return ("MGET", *registered, *(keys.capabilities(number, target(aor)) for aor in users))


def _user(registered: bytes | None, capable: bytes | None) -> User:
    known = capabilities.readable(capable)
    if registered is None:
        return User(None, known)
    try:
        return User(codec.registration(registered), known)
    except codec.BrokenRecord as error:
        return User(None, known, problem=str(error))
