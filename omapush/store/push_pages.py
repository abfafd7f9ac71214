"""
The recipients of one push, page by page: nothing that Redis does in one go grows with their number.

A push with many of them is staged first: its recipients are stored in pages under a name that nobody else
knows, and become the push in one step. What a dead process staged runs out by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from omapush.push.values import PENDING, Recipient, Result
from omapush.store import codec, keys
from omapush.store.client import Store, ask_all, store_errors

LARGE: Final = 500
"A push with more recipients is staged, and is read page by page."
PAGE: Final = 500
"Recipients in one trip to Redis."
_STAGED_S: Final = 60
"How long what was staged stays after its last page."


class Staged(NamedTuple):
    """Recipients that wait to become a push."""

    key: str
    fields: int
    "How many fields they take."
    final: tuple[int, ...]
    "Indexes of those that are final from the start."


class Page(NamedTuple):
    """Some recipients of a push, in order."""

    first: int
    "Index of the first."
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    final: tuple[bool, ...]
    "Whether the result is final."


def fields_of(index: int, recipient: Recipient, result: Result) -> tuple[Any, ...]:
    """Return the fields of a push that hold one recipient, each with its value."""
    both = (f"a{index}", codec.encode(recipient), f"r{index}", codec.encode(result))
    return both if result.state == PENDING else (*both, f"f{index}", 1)


def stage(store: Store, ref: str, recipients: Sequence[Recipient], results: Sequence[Result]) -> Staged:
    """Store recipients, page by page, where only the caller finds them."""
    key = keys.push_staged(store.layout.push_shard(ref), f"{ref}.{secrets.token_hex(8)}")
    pairs = list(zip(recipients, results, strict=True))
    for first in range(0, len(pairs), PAGE):
        fields: list[Any] = []
        for index, (recipient, result) in enumerate(pairs[first : first + PAGE], first):
            fields += fields_of(index, recipient, result)
        ask_all(store, "stage", (("HSET", key, *fields), ("EXPIRE", key, _STAGED_S)))
    final = tuple(index for index, result in enumerate(results) if result.state != PENDING)
    return Staged(key, 2 * len(pairs) + len(final), final)


def read(store: Store, ref: str, first: int, most: int) -> Page:
    """Return recipients from number `first` on, at most `most`, which is bounded by the caller."""
    key = keys.push(store.layout.push_shard(ref), ref)
    names = [f"{kind}{index}" for index in range(first, first + most) for kind in "arf"]
    with store_errors("read recipients"):
        found: Any = store.db.hmget(key, names) if names else []
    rows = [row for row in zip(found[::3], found[1::3], found[2::3], strict=True) if None not in row[:2]]
    return Page(
        first,
        tuple(codec.recipient(row[0]) for row in rows),
        tuple(codec.result(row[1]) for row in rows),
        tuple(row[2] is not None for row in rows),
    )


def read_all(store: Store, ref: str, first: int = 0, most: int | None = None) -> Iterator[Page]:
    """Give all recipients from number `first` on, at most `most`, a page at a time."""
    end = None if most is None else first + most
    while end is None or first < end:
        wanted = PAGE if end is None else min(PAGE, end - first)
        page = read(store, ref, first, wanted)
        if page.recipients:
            yield page
        if len(page.recipients) < wanted:
            return
        first += wanted
