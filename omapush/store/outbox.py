"""The outbox of each user shard: what waits, what is at a sender, what is tried again later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import Struct

from omapush.push.values import Delivery, target, ticket
from omapush.store import codec, keys, sealing
from omapush.store.client import Call, Store, call_all, store_errors

_LARGEST_ROUND_TRIP = 125_000
"Largest number of bytes of deliveries in one call."


class Owner(NamedTuple):
    """A sender process among all nodes."""

    node: str
    "Stays the same when the node's Kamailio starts again."
    run: str
    "New with each start of Kamailio; the old run's requests in flight are then known to be lost."
    sender: int


class Told(NamedTuple):
    """The answer of one subscription of a user to a push, or the refusal of one method."""

    name: str
    "Id of the subscription, or the method (`Method`)."
    sip_code: int


class Taken(Struct, frozen=True, gc=False):
    """One delivery that a sender has to send now."""

    ticket: str
    delivery: Delivery
    attempt: int
    "Counts from 1."
    told: tuple[Told, ...] = ()
    "Answers of subscriptions of the user to it so far."
    session: str = ""
    "Id of the session that carries it, or carried it last; usually there is none."


class Unreadable(NamedTuple):
    """One delivery whose record is broken: it can only be ended."""

    ticket: str
    problem: str
    is_sealed: bool = False
    "Its content can be read once the key is there, so it can wait."


class Finished(Struct, frozen=True, gc=False):
    """The end of one try."""

    ticket: str
    again_ms: int
    "When to try again; 0: never, the delivery leaves the outbox."
    on_change: bool = False
    "Try again at once when the user's registration changes before that."


class Hold(NamedTuple):
    """One delivery for which there is no device now."""

    ticket: str
    again_ms: int
    "When to check it again, even if nothing has woken it."


class Depth(NamedTuple):
    """Numbers of deliveries by where they are."""

    all: int
    ready: int
    waiting: int
    "Behind a busy target."
    taken: int
    later: int
    "Those that have a time for their next attempt."
    held: int = 0
    """Those that wait for a change of their user's registration, also while a sender checks them again."""


@lru_cache(maxsize=4_096)  # the same few for every batch
def _names(number: int, *parts: str) -> tuple[str, ...]:
    return tuple(keys.outbox(number, part) for part in parts)


def hand_over(store: Store, deliveries: Iterable[Delivery], *, first: Iterable[Call] = ()) -> None:
    """
    Put deliveries into their users' outboxes; what is there already stays as it is.

    Many go in several round trips of bounded size, so that none of them keeps Redis from others for long.
    `first`: calls that go before them, in the same trip as the first of them.
    """
    batches: dict[int, list[Any]] = {}
    size = 0
    for delivery in deliveries:
        place, record = ticket(delivery), sealing.delivery_record(store.ring, delivery)
        batch = batches.setdefault(store.layout.ticket_shard(place), [])
        batch += (place, record, delivery.deliver_before_ms, delivery.deliver_after_ms)
        size += len(record)
        if size > _LARGEST_ROUND_TRIP:
            call_all(store, [*first, *_handing_over(batches)])
            first, batches, size = (), {}, 0
    call_all(store, [*first, *_handing_over(batches)])


def _handing_over(batches: dict[int, list[Any]]) -> Iterator[Call]:
    parts = ("delivery", "busy", "ready", "waiting", "expiry", "later", "withdrawn")
    return (Call("omapush_hand_over", _names(number, *parts), args) for number, args in batches.items())


def claim(
    store: Store, numbers: Sequence[int], owner: Owner, *, lease_ms: int, transaction_ms: int
) -> list[bool]:
    """Become or stay owner of shards; False for each that another process holds."""
    answers = call_all(
        store,
        (
            Call(
                "omapush_claim",
                [*_names(number, "owner", "taken"), keys.subscription_part(number, "flight")],
                [*owner, lease_ms, transaction_ms],
            )
            for number in numbers
        ),
    )
    return [answer == 1 for answer in answers]


def release(store: Store, numbers: Sequence[int], owner: Owner) -> None:
    """Give shards back before the lease ends."""
    call_all(store, (Call("omapush_release", _names(number, "owner"), [*owner]) for number in numbers))


def take(
    store: Store, numbers: Sequence[int], owner: Owner, *, transaction_ms: int, most: int
) -> dict[int, list[Taken | Unreadable] | None]:
    """
    Take up to `most` ready deliveries from each shard.

    None for a shard that this process does not own (any more). What is taken and not completed within
    `transaction_ms` counts as lost and is sent again.
    """
    parts = ["owner", "ready", "delivery", "attempts", "taken", "busy", "waiting", "told"]
    parts += ["halted", "parked", "later", "stopped"]
    answers = call_all(
        store,
        (
            Call(
                "omapush_take",
                [*_names(number, *parts), keys.session_part(number, "of")],
                [*owner, transaction_ms, most],
            )
            for number in numbers
        ),
    )
    return {number: _taken(store, answer) for number, answer in zip(numbers, answers, strict=True)}


def _taken(store: Store, answer: list[Any] | None) -> list[Taken | Unreadable] | None:
    if answer is None:
        return None
    return [_one_taken(store, *answer[i : i + 5]) for i in range(0, len(answer), 5)]


def _one_taken(
    store: Store,
    place: bytes,
    record: bytes,
    attempts: bytes | None,
    told: bytes | None,
    session: bytes | None,
) -> Taken | Unreadable:
    try:
        delivery = sealing.delivery(store.ring, record)
        attempt, carrier = int(attempts or 0) + 1, session.decode() if session else ""
        return Taken(place.decode(), delivery, attempt, _told(told) if told else (), carrier)
    except codec.BrokenRecord as error:
        return Unreadable(place.decode(), str(error), isinstance(error, sealing.NotOpened))


def _told(text: bytes) -> tuple[Told, ...]:
    words = text.decode().split()
    return tuple(Told(name, int(code)) for name, code in zip(words[::2], words[1::2], strict=True))


def choose_again(store: Store, again: Iterable[tuple[str, Told | None]]) -> None:
    """
    Make tickets ready again at once, so that their method is chosen again; this does not count as an attempt.

    The answer of a subscription is remembered until the delivery is finished, or tried again as a whole.
    """
    batches: dict[int, list[str]] = {}
    for place, told in again:
        text = f"{told.name} {told.sip_code} " if told else ""
        batches.setdefault(store.layout.ticket_shard(place), []).extend((place, text))
    parts = ("taken", "ready", "told")
    call_all(
        store,
        (Call("omapush_choose_again", _names(number, *parts), args) for number, args in batches.items()),
    )


def complete(store: Store, finished: Iterable[Finished]) -> None:
    """End attempts: targets become free, final deliveries are removed, others wait for their next attempt."""
    batches: dict[int, list[Any]] = {}
    for one in finished:
        batch = batches.setdefault(store.layout.ticket_shard(one.ticket), [])
        batch += (one.ticket, one.again_ms, int(one.on_change))
    parts = ["delivery", "attempts", "repeats", "taken", "busy", "ready", "waiting", "later", "expiry"]
    parts += ["held", "told", "backlog", "parked", "stopped"]
    call_all(
        store, (Call("omapush_complete", _names(number, *parts), args) for number, args in batches.items())
    )


def hold(store: Store, holds: Sequence[Hold]) -> list[bool]:
    """
    Put deliveries off until `wake_targets` or their time, without counting a try; True: held anew.

    A registration that changes between the look at it and this call wakes nobody: look again afterwards.
    What gives way to earlier ones that were woken meanwhile is not held.
    """
    batches: dict[int, list[Any]] = {}
    for place, again_ms in holds:
        batches.setdefault(store.layout.ticket_shard(place), []).extend((place, again_ms))
    parts = ("taken", "later", "held", "busy", "ready", "waiting", "late")
    answers = call_all(
        store, (Call("omapush_hold", _names(number, *parts), args) for number, args in batches.items())
    )
    new = {
        place: answer == 1
        for args, found in zip(batches.values(), answers, strict=True)
        for place, answer in zip(args[::2], found, strict=True)
    }
    return [new[place] for place, _ in holds]


def wake_targets(store: Store, aors: Iterable[str], *, only_tried: bool = False) -> int:
    """
    Make ready what is held for users whose registrations have changed; returns how many.

    `only_tried`: the user has only registered again, so only what found the device away is made ready.
    """
    batches: dict[int, list[str]] = {}
    for aor in aors:
        batches.setdefault(store.layout.user_shard(aor), []).append(target(aor))
    parts = ("held", "later", "busy", "ready", "waiting", "attempts", "late")
    answers = call_all(
        store,
        (
            Call("omapush_wake_targets", _names(number, *parts), [int(only_tried), *args])
            for number, args in batches.items()
        ),
    )
    return sum(answers)


def wake(store: Store, numbers: Iterable[int] | None = None, *, most: int = 1_000) -> int:
    """Make ready deliveries whose next attempt is due, of all shards or of these; returns how many."""
    shards = range(store.layout.user_shards) if numbers is None else numbers
    answers = call_all(
        store,
        (
            Call("omapush_wake", _names(number, "later", "busy", "ready", "waiting"), [most])
            for number in shards
        ),
    )
    return sum(answers)


def read(store: Store, tickets: Sequence[str]) -> list[Delivery | None]:
    """Return the deliveries of tickets; None for each that has left the outbox or cannot be read."""
    with store_errors("read deliveries"):
        pipe = store.db.pipeline(transaction=False)
        for place in tickets:
            pipe.hget(keys.outbox(store.layout.ticket_shard(place), "delivery"), place)
        found = pipe.execute()
    return [None if data is None else _readable(store, data) for data in found]


def _readable(store: Store, data: bytes) -> Delivery | None:
    try:
        return sealing.delivery(store.ring, data)
    except codec.BrokenRecord:
        return None


def give_way(store: Store, tickets: Iterable[str]) -> None:
    """Put taken tickets behind earlier ones of the same target; this is no attempt."""
    parts = ("taken", "busy", "ready", "waiting", "late")
    call_all(
        store,
        (
            Call("omapush_give_way", _names(number, *parts), places)
            for number, places in _by_shard(store, tickets).items()
        ),
    )


def put_off(store: Store, waits: Iterable[tuple[str, int]]) -> None:
    """
    Give back tickets that could not be sent yet. Each is ready again after its number of ms, as the same
    attempt.

    Nothing to the same target overtakes them.
    """
    batches: dict[int, list[Any]] = {}
    for place, wait_ms in waits:
        batches.setdefault(store.layout.ticket_shard(place), []).extend((place, wait_ms))
    parts = ("taken", "later")
    call_all(
        store, (Call("omapush_put_off", _names(number, *parts), args) for number, args in batches.items())
    )


def overdue(store: Store, *, since_ms: int = 0, most: int = 500) -> list[str]:
    """
    Return tickets whose sender has not reported a result, at least `since_ms` after they were due.

    Its process is assumed to be dead.
    """
    shards = range(store.layout.user_shards)
    answers = call_all(
        store, (Call("omapush_overdue", _names(number, "taken"), [since_ms, most]) for number in shards)
    )
    return [place.decode() for found in answers for place in found]


def expire(store: Store, *, transaction_ms: int, most: int = 500) -> dict[str, bool]:
    """
    Take tickets whose deliver-before has passed, each with whether it was held; the caller ends them.

    A ticket that is at a sender is left to its answer. A ticket that the caller forgets comes back as a lost
    one.
    """
    answers = call_all(
        store,
        (
            Call("omapush_expire", _names(number, "expiry", "taken", "later", "held"), [transaction_ms, most])
            for number in range(store.layout.user_shards)
        ),
    )
    return {answer[i].decode(): answer[i + 1] == 1 for answer in answers for i in range(0, len(answer), 2)}


def told_of(store: Store, tickets: Sequence[str]) -> list[tuple[Told, ...]]:
    """Return the answers of subscriptions to these deliveries so far; usually there are none."""
    with store_errors("told of"):
        pipe = store.db.pipeline(transaction=False)
        for place in tickets:
            pipe.hget(keys.outbox(store.layout.ticket_shard(place), "told"), place)
        return [_told(text) if text else () for text in pipe.execute()]


def send_again(store: Store, tickets: Iterable[str]) -> dict[str, int]:
    """Make lost deliveries ready again; returns how often that has happened to each that was."""
    answers = call_all(
        store,
        (
            Call("omapush_send_again", _names(number, "taken", "ready", "repeats"), places)
            for number, places in _by_shard(store, tickets).items()
        ),
    )
    flat = [item for answer in answers for item in answer]
    return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}


def _by_shard(store: Store, tickets: Iterable[str]) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    for place in tickets:
        places.setdefault(store.layout.ticket_shard(place), []).append(place)
    return places


def depth(store: Store) -> Depth:
    """Return the numbers over all shards."""
    with store_errors("outbox depth"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.user_shards):
            pipe.hlen(keys.outbox(number, "delivery"))
            pipe.zcard(keys.outbox(number, "ready"))
            pipe.zcard(keys.outbox(number, "waiting"))
            pipe.zcard(keys.outbox(number, "taken"))
            pipe.zcard(keys.outbox(number, "later"))
            pipe.zcard(keys.outbox(number, "held"))
        counts = pipe.execute()
    everything, ready, waiting, taken, later, held = (sum(counts[i::6]) for i in range(6))
    return Depth(everything, ready, waiting, taken, max(later - held, 0), held)
