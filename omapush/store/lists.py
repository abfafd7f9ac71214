"""Distribution lists: named groups of users, each of one initiator, all of an initiator's in one slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from omapush.store import keys
from omapush.store.client import Call, Store, ask_all, call

AT_ONCE: Final = 1_000
"Members that one change names at most; also those of one page that is read for a push."


class ListInfo(NamedTuple):
    """One list."""

    name: str
    members: int


class Change(NamedTuple):
    """What a change of members came to."""

    removed: int
    added: int
    members: int


class TooMany(Exception):
    """A limit is reached; nothing was changed."""


def create(store: Store, initiator: str, name: str, *, most: int) -> bool:
    """
    Create a list; False when it was there.

    Raises:
        TooMany: the initiator has `most` lists.
    """
    ask_all(store, "list owners", [("SADD", keys.LIST_OWNERS, initiator)])  # first: nothing stays unknown
    answer = call(store, Call("omapush_list_create", [keys.lists(initiator)], [name, most]))
    if answer < 0:
        raise TooMany
    return bool(answer)


def change(
    store: Store, initiator: str, name: str, *, remove: Sequence[str], add: Sequence[str], most: int
) -> Change | None:
    """
    Take members out, then put others in, as one step; None when there is no such list.

    Who is in both, or in the list already, stays. Both together at most 2 * AT_ONCE.

    Raises:
        TooMany: the list would have more than `most` members.
    """
    names = [keys.lists(initiator), keys.list_members(initiator, name)]
    answer: Any = call(store, Call("omapush_list_change", names, [name, most, len(remove), *remove, *add]))
    if answer is None:
        return None
    if answer == -1:
        raise TooMany
    return Change(*answer)


def delete(store: Store, initiator: str, name: str) -> bool:
    """Delete a list; False when there was none."""
    names = [keys.lists(initiator), keys.list_members(initiator, name)]
    return bool(call(store, Call("omapush_list_delete", names, [name])))


def show(store: Store, initiator: str, name: str) -> ListInfo | None:
    """Return one list, or None."""
    known, members = ask_all(
        store,
        "list",
        [
            ("ZSCORE", keys.lists(initiator), name),
            ("ZCARD", keys.list_members(initiator, name)),
        ],
    )
    return None if known is None else ListInfo(name, members)


def page(store: Store, initiator: str, *, after: str, most: int) -> list[ListInfo]:
    """Return lists of the initiator in order of their names, those behind `after`."""
    names = _page(store, keys.lists(initiator), after, most)
    sizes = ask_all(store, "lists", (("ZCARD", keys.list_members(initiator, name)) for name in names))
    return [ListInfo(name, size) for name, size in zip(names, sizes, strict=True)]


def members(store: Store, initiator: str, name: str, *, after: str, most: int) -> list[str]:
    """Return members in order of their addresses, those behind `after`; none when there is no such list."""
    return _page(store, keys.list_members(initiator, name), after, most)


def all_members(store: Store, initiator: str, name: str) -> Iterator[list[str]]:
    """Give all members of a list, a page at a time."""
    after = ""
    while found := members(store, initiator, name, after=after, most=AT_ONCE):
        yield found
        if len(found) < AT_ONCE:
            return
        after = found[-1]


def owners(store: Store) -> list[str]:
    """Return the initiators that ever had a list."""
    return sorted(name.decode() for name in ask_all(store, "owners", [("SMEMBERS", keys.LIST_OWNERS)])[0])


def containing(store: Store, aor: str) -> Iterator[tuple[str, str]]:
    """Give (initiator, list) of all lists that have this member, by looking at each list."""
    for initiator in owners(store):
        after = ""
        while names := _page(store, keys.lists(initiator), after, AT_ONCE):
            scores = ask_all(
                store, "lists of", (("ZSCORE", keys.list_members(initiator, name), aor) for name in names)
            )
            yield from (
                (initiator, name) for name, score in zip(names, scores, strict=True) if score is not None
            )
            after = names[-1]


def _page(store: Store, key: str, after: str, most: int) -> list[str]:
    start = f"({after}" if after else "-"
    found = ask_all(store, "page", [("ZRANGE", key, start, "+", "BYLEX", "LIMIT", 0, most)])[0]
    return [name.decode() for name in found]
