"""
The books: accepted = final + waiting, from what Redis holds and from no counter.

Every push of a time is looked at, page by page, and every delivery without a final result has to be where it
can leave from. Then the other way round: what is in the outbox has to be of a push that waits for it. What is
on its way between two places while it is looked at is looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from omapush.push.books import Books, PushBalance, Sum, Wrong
from omapush.push.fan_out import Progress
from omapush.push.values import PENDING, Push, Recipient, ticket, ticket_delivery
from omapush.store import codec, keys, pushes
from omapush.store.client import Command, Store, ask_all, store_errors
from omapush.store.codec import BrokenRecord
from omapush.store.counted import NONE_COUNTED

_PAGE: Final = 500
"Pushes, recipients or tickets in one trip to Redis."
_MOST_AGAIN: Final = 10_000
"Pushes and tickets that are looked at again; of more, the first look counts."
_LOOKS: Final = 4
_QUEUES: Final = ("ready", "waiting", "taken", "later")
_T = TypeVar("_T")


class _Accepted(NamedTuple):
    ref: str
    at_ms: int


class _Head(NamedTuple):
    """What is known of a push before its recipients are read."""

    push: Push
    recipients: int
    open: int
    shards: int | None
    "Of a push to subscribers: how many have not told yet how many deliveries they made."


class _Open(NamedTuple):
    """One delivery without a final result."""

    ref: str
    recipient: int
    ticket: str


def balance(
    store: Store,
    *,
    from_ms: int,
    to_ms: int,
    forgotten_before_ms: Callable[[], int],
    rest: Callable[[], None],
) -> Books:
    """
    Return the books of the pushes accepted from `from_ms` on and before `to_ms`.

    A push that is not there any more must have been accepted before `forgotten_before_ms`, and is in no book.
    It is asked anew for each page: pushes go on being forgotten while many are looked at.
    `rest` is called before what did not balance is looked at again: work under way goes on meanwhile.
    """
    total = Sum()
    again: list[_Accepted] = []
    for page in _pages(_accepted(store, from_ms, to_ms), _PAGE):
        for one, found in zip(page, _look(store, page, forgotten_before_ms), strict=True):
            if found is not None and found.wrong and len(again) < _MOST_AGAIN:
                again.append(one)
            elif found is not None:
                total.add(found)
    in_outbox, tickets = _all_tickets(store)
    for look in range(1, _LOOKS):
        if again or tickets:
            rest()
        again = _again(store, again, forgotten_before_ms, total, is_last=look == _LOOKS - 1)
        tickets = _wrong_tickets(store, list(tickets))
    for place, text in tickets.items():
        total.add_wrong(Wrong(*ticket_delivery(place), text))
    return total.books(in_outbox)


def _again(
    store: Store,
    suspects: Sequence[_Accepted],
    forgotten_before_ms: Callable[[], int],
    total: Sum,
    *,
    is_last: bool,
) -> list[_Accepted]:
    """Add those that balance now, or all of them; returns the others."""
    left: list[_Accepted] = []
    for page in _pages(suspects, _PAGE):
        for one, found in zip(page, _look(store, page, forgotten_before_ms), strict=True):
            if found is not None and found.wrong and not is_last:
                left.append(one)
            elif found is not None:
                total.add(found)
    return left


def _pages(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page


# Pushes -------------------------------------------------------------------------------------------


def _accepted(store: Store, from_ms: int, to_ms: int) -> Iterator[_Accepted]:
    """Yield all pushes of a time, of every initiator that has any."""
    with store_errors("books"):
        names = [name.decode() for name in store.db.scan_iter(match="own:*", count=_PAGE * 10)]
    for name in sorted(set(names)):
        yield from _of_list(store, name, from_ms, to_ms)


def _of_list(store: Store, name: str, from_ms: int, to_ms: int) -> Iterator[_Accepted]:
    """One list in order of time. What is added or taken out meanwhile moves nothing that has an own time."""
    since_ms, passed = from_ms, 0
    while True:
        words = ("ZRANGE", name, since_ms, f"({to_ms}", "BYSCORE", "LIMIT", passed, _PAGE, "WITHSCORES")
        row: list[Any] = ask_all(store, "books", [words])[0]
        pairs = row if row and isinstance(row[0], list) else list(zip(row[::2], row[1::2], strict=True))
        for member, score in pairs:
            at_ms = int(score)
            since_ms, passed = (since_ms, passed + 1) if at_ms == since_ms else (at_ms, 1)
            yield _Accepted(member.decode(), at_ms)
        if len(pairs) < _PAGE:
            return


def _look(
    store: Store, page: Sequence[_Accepted], forgotten_before_ms: Callable[[], int]
) -> list[PushBalance | None]:
    """Look at pushes once; None for each that is forgotten as it should be."""
    heads = _heads(store, [one.ref for one in page])
    may_be_gone_ms = forgotten_before_ms()
    states: dict[str, Counter[str]] = {one.ref: Counter() for one in page}
    wrong: dict[str, list[Wrong]] = {one.ref: [] for one in page}
    number_open: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    wanted = [
        (head.push, head.recipients) for head in heads if isinstance(head, _Head) and head.shards is None
    ]
    for still_open in _pages(_recipients(store, wanted, states, wrong), _PAGE):
        number_open.update(delivery.ref for delivery in still_open)
        for delivery, waits in zip(still_open, _places(store, still_open), strict=True):
            if waits:
                waiting[delivery.ref] += 1
            else:
                nowhere = Wrong(delivery.ref, delivery.recipient, "not final, and waits nowhere")
                wrong[delivery.ref].append(nowhere)
    found: list[PushBalance | None] = []
    for one, head in zip(page, heads, strict=True):
        ref = one.ref
        if isinstance(head, str):
            found.append(PushBalance(ref, 0, {}, 0, (Wrong(ref, -1, head),)))
        elif head is None:
            is_due = one.at_ms < may_be_gone_ms
            gone = Wrong(ref, -1, "accepted, and not there any more")
            found.append(None if is_due else PushBalance(ref, 0, {}, 0, (gone,)))
        elif head.shards is not None:
            found.append(_fan_out(store, ref))
        else:
            if number_open[ref] != head.open:
                text = f"{number_open[ref]} without a final result, it counts {head.open}"
                wrong[ref].append(Wrong(ref, -1, text))
            found.append(PushBalance(ref, head.recipients, states[ref], waiting[ref], tuple(wrong[ref])))
    return found


def _heads(store: Store, refs: Sequence[str]) -> list[_Head | str | None]:
    """What is known of pushes; None: not there; a text: its record is broken."""
    names = ("record", "count", "open", "shards")
    commands: list[Command] = [
        ("HMGET", keys.push(store.layout.push_shard(ref), ref), *names) for ref in refs
    ]
    heads: list[_Head | str | None] = []
    for record, count, open_, shards in ask_all(store, "books", commands):
        if record is None:
            heads.append(None)
            continue
        try:
            push = codec.push(record)
        except BrokenRecord as error:
            heads.append(str(error))
            continue
        heads.append(_Head(push, int(count or 0), int(open_ or 0), None if shards is None else int(shards)))
    return heads


def _recipients(
    store: Store,
    wanted: Iterable[tuple[Push, int]],
    states: dict[str, Counter[str]],
    wrong: dict[str, list[Wrong]],
) -> Iterator[_Open]:
    """Yield the deliveries without a final result; count the others by state."""
    places = ((push, index) for push, count in wanted for index in range(count))
    for page in _pages(places, _PAGE):
        commands: list[Command] = [
            (
                "HMGET",
                keys.push(store.layout.push_shard(push.ref), push.ref),
                f"a{index}",
                f"r{index}",
                f"f{index}",
            )
            for push, index in page
        ]
        for (push, index), row in zip(page, ask_all(store, "books", commands), strict=True):
            recipient, result, is_final = row
            if recipient is None or result is None:
                wrong[push.ref].append(Wrong(push.ref, index, "no recipient or no result is stored"))
                continue
            state = codec.result(result).state
            if (state != PENDING) is not (is_final is not None):
                text = f"{state}, and {'final' if is_final else 'not final'}"
                wrong[push.ref].append(Wrong(push.ref, index, text))
            if is_final is not None:
                states[push.ref][state] += 1
            else:
                whom: Recipient = codec.recipient(recipient)
                yield _Open(push.ref, index, ticket(pushes.delivery_of(push, index, whom, b"")))


def _places(store: Store, recipients: Sequence[_Open]) -> list[bool]:
    """Tell for each whether it is where it can leave from: outbox, hand-over, link, or told in a moment."""
    commands: list[Command] = []
    for one in recipients:
        user, push = store.layout.ticket_shard(one.ticket), store.layout.push_shard(one.ref)
        commands += [
            ("HSTRLEN", keys.outbox(user, "delivery"), one.ticket),
            ("HEXISTS", keys.outbox(user, "untold"), one.ticket),
            ("ZSCORE", keys.handover(push), one.ref),
            ("ZSCORE", keys.fetches(push), f"{one.ref}.{one.recipient}"),
        ]
    found = ask_all(store, "books", commands)
    return [any(row not in (None, 0) for row in found[at : at + 4]) for at in range(0, len(found), 4)]


# Pushes to subscribers ----------------------------------------------------------------------------


def _fan_out(store: Store, ref: str) -> PushBalance:
    """Of these only numbers are kept: made so far, ended by state, and what is in the outboxes."""
    known = pushes.read(store, ref, events=False)
    counted = NONE_COUNTED if known is None else known.subscribers or NONE_COUNTED
    commands: list[Command] = []
    for number in range(store.layout.user_shards):
        commands.append(("HGET", keys.fan_outs(number, "fanning"), ref))
        commands.append(("ZLEXCOUNT", keys.outbox(number, "backlog"), f"[{ref}", f"({ref}~"))
    found = ask_all(store, "books", commands)
    backlog = sum(found[1::2])
    made = sum(counted.made.values()) + sum(
        Progress.read(text.decode()).made
        for number, text in enumerate(found[::2])
        if text is not None and number not in counted.made
    )
    states = counted.by_state
    left = made - sum(states.values())
    waiting = backlog if left == backlog else backlog + _links(store, ref)
    if waiting == left:
        return PushBalance(ref, made, states, left)
    text = f"{made} deliveries made, {made - left} ended, {waiting} wait"
    return PushBalance(ref, made, states, min(waiting, left), (Wrong(ref, -1, text),))


def _links(store: Store, ref: str) -> int:
    """How many recipients of a push took a link and are waited for."""
    with store_errors("books"):
        key = keys.fetches(store.layout.push_shard(ref))
        return len({member for member, _ in store.db.zscan_iter(key, match=f"{ref}.*", count=_PAGE)})


# The outbox ---------------------------------------------------------------------------------------


def _all_tickets(store: Store) -> tuple[int, dict[str, str]]:
    """Look at everything in the outbox; returns how much that was, and what is wrong with which."""
    number, wrong = 0, dict[str, str]()
    for shard in range(store.layout.user_shards):
        with store_errors("books"):
            found = store.db.zscan_iter(keys.outbox(shard, "expiry"), count=_PAGE)
            for page in _pages((place.decode() for place, _ in found), _PAGE):
                number += len(page)
                wrong |= _wrong_tickets(store, page)
    return number, wrong


def _wrong_tickets(store: Store, tickets: Sequence[str]) -> dict[str, str]:
    """Return those that no push waits for, or that nobody will take, each with why."""
    return {
        place: text
        for page in _pages(tickets, _PAGE)
        for place, text in zip(page, _texts(store, page), strict=True)
        if text
    }


def _texts(store: Store, tickets: Sequence[str]) -> Iterator[str]:
    commands: list[Command] = []
    for place in tickets:
        user, (ref, index) = store.layout.ticket_shard(place), ticket_delivery(place)
        key = keys.push(store.layout.push_shard(ref), ref)
        commands.append(("HMGET", key, f"a{index}", "shards", f"f{index}"))
        commands.append(("GETBIT", keys.push_counted(store.layout.push_shard(ref), ref), index))
        commands.append(("HSTRLEN", keys.outbox(user, "delivery"), place))
        commands += (("ZSCORE", keys.outbox(user, queue), place) for queue in _QUEUES)
        commands.append(("ZSCORE", keys.outbox(user, "expiry"), place))
    found = ask_all(store, "books", commands)
    width = len(_QUEUES) + 4
    for at in range(0, len(found), width):
        (recipient, shards, is_final), is_counted, length, *queues, expiry = found[at : at + width]
        if expiry is None:
            yield ""  # it has left
        elif recipient is None and shards is None:
            yield "in the outbox, and its push is not there"
        elif is_final is not None or is_counted:
            yield "in the outbox, and its result is final"
        elif not length or queues == [None] * len(_QUEUES):
            yield "in the outbox, and nobody will take it"
        else:
            yield ""
