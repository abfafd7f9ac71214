"""Subscriptions of devices: one winner for each change, one NOTIFY at a time, lists by application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from omapush.errors import TryLater
from omapush.push.subscribe import CONTENT, DEVICE
from omapush.push.subscription import Subscription
from omapush.push.values import target
from omapush.store import codec, keys
from omapush.store.client import Call, Store, ask_all, call_all, store_errors

KEPT_AFTER_END_MS: Final = 3_600_000
"How long a subscription is kept whose last NOTIFY could never be sent."
_TRIES: Final = 64
_PAGE: Final = 500

_T = TypeVar("_T")


class Placed(NamedTuple, Generic[_T]):
    """What a rule makes of one subscription."""

    new: Subscription | None
    "The new record; None: it is deleted; the same as before: nothing happens."
    owed_ms: int | None
    "In how many ms a NOTIFY is owed; None: this change owes none."
    answer: _T


Rule = Callable[[Subscription | None], Placed[_T]]


class Begun(NamedTuple):
    """A NOTIFY that may be sent now."""

    subscription: Subscription
    cseq: int
    "0: another one is under way in this dialog."


class Due(NamedTuple):
    """Subscriptions that are due now."""

    owed: list[str]
    "Ids to which a NOTIFY is owed."
    run_out: list[str]
    "Ids whose time is over."


def read(store: Store, subscription_id: str) -> Subscription | None:
    """Return a subscription, or None."""
    return read_all(store, [subscription_id])[0]


def read_all(store: Store, ids: Sequence[str]) -> list[Subscription | None]:
    """Return subscriptions by their ids; a broken record counts as none."""
    return [_former(data) for data in _read_bytes(store, ids)]


def change(store: Store, subscription_id: str, rule: Rule[_T]) -> _T:
    """Change one subscription atomically; see `change_all`."""
    return change_all(store, {subscription_id: rule})[subscription_id]


def change_all(store: Store, rules: Mapping[str, Rule[_T]]) -> dict[str, _T]:
    """
    Change subscriptions, each atomically by its rule, and return what the rules answered.

    A rule is asked again when another process was faster; the answer is that of the change that was stored.

    Raises:
        TryLater: others changed one so often that this change never got through.
    """
    answers: dict[str, _T] = {}
    waiting = list(rules)
    for _ in range(_TRIES):
        if not waiting:
            return answers
        changes: list[_Change] = []
        for name, was in zip(waiting, _read_bytes(store, waiting), strict=True):
            old = _former(was)
            placed = rules[name](old)
            answers[name] = placed.answer
            is_same = placed.new == old and placed.owed_ms is None and (old is not None or was is None)
            if not is_same:
                changes.append(_Change(name, was or b"", old, placed.new, placed.owed_ms))
        waiting = _place(store, changes)
    raise TryLater(f"subscription {waiting[0]} is changed too often at once")


class _Change(NamedTuple):
    id: str
    was: bytes
    old: Subscription | None
    new: Subscription | None
    owed_ms: int | None


def _place(store: Store, changes: Sequence[_Change]) -> list[str]:
    """Return the ids of changes that lost against another writer."""
    by_shard: dict[int, list[_Change]] = {}
    for change_ in changes:
        by_shard.setdefault(store.layout.target_shard(change_.id), []).append(change_)
    answers = call_all(store, (_placing(number, found) for number, found in by_shard.items()))
    return [
        one.id
        for found, won in zip(by_shard.values(), answers, strict=True)
        for one, is_won in zip(found, won, strict=True)
        if not is_won
    ]


def _placing(number: int, changes: Sequence[_Change]) -> Call:
    names = [keys.subscription_part(number, part) for part in ("expiry", "owed", "cseq", "flight", "kinds")]
    args: list[str | bytes | int] = []
    for name, was, old, new, owed in changes:
        names += (keys.subscription(number, name), _index(number, new or old))
        if new is None:
            args += (name, was, b"", 0, "")
        else:
            args += (name, was, codec.encode(new), end_of(new), "" if owed is None else owed)
    return Call("omapush_place_subscriptions", names, args)


def _index(number: int, known: Subscription | None) -> str:
    if known is None:
        return keys.subscriptions_of(number, DEVICE, "")
    return keys.subscriptions_of(number, known.profile, known.application)


def end_of(subscription: Subscription) -> int:
    """Return when the owner of the shard has to end the subscription, or forget one that has ended."""
    if subscription.state == "terminated":
        return subscription.at_ms + KEPT_AFTER_END_MS
    return subscription.expires_ms


# NOTIFYs --------------------------------------------------------------------------------------------


def begin_notifies(store: Store, ids: Sequence[str], *, transaction_ms: int) -> list[Begun | None]:
    """
    Take the next CSeq in each of these dialogs; None for one that is gone.

    Whoever takes a number sends at once, and tells `end_notifies` when it has its answer: until then, or for
    `transaction_ms`, nobody else gets one.
    """
    found: dict[str, Begun | None] = {}
    by_shard = _by_shard(store, ids)
    calls = [
        Call(
            "omapush_begin_notifies",
            [
                *(keys.subscription_part(number, part) for part in ("cseq", "flight", "owed", "expiry")),
                *(keys.subscription(number, name) for name in names),
            ],
            [transaction_ms, *names],
        )
        for number, names in by_shard.items()
    ]
    for names, answer in zip(by_shard.values(), call_all(store, calls), strict=True):
        for place, name in enumerate(names):
            record = _former(answer[2 * place])
            found[name] = None if record is None else Begun(record, int(answer[2 * place + 1]))
    return [found[name] for name in ids]


def end_notifies(store: Store, ended: Iterable[tuple[str, int]]) -> None:
    """
    Note that NOTIFYs with these (id, CSeq) have their final answer; the answer to an earlier NOTIFY changes
    nothing.
    """
    _call_for_flights(store, "omapush_end_notifies", ended)


def put_off_notifies(store: Store, waits: Iterable[tuple[str, int, int]]) -> None:
    """
    Give back NOTIFYs that were begun and could not be sent yet: (id, CSeq, in how many ms it is owed again).

    The next NOTIFY of the dialog has the same number, for this one was seen by nobody.
    """
    _call_for_flights(store, "omapush_put_off_notifies", waits)


def _call_for_flights(store: Store, function: str, rows: Iterable[tuple[str | int, ...]]) -> None:
    """Call a function about NOTIFYs under way; a row is an id and what the function takes with it."""
    by_shard: dict[int, list[str | int]] = {}
    for row in rows:
        by_shard.setdefault(store.layout.target_shard(str(row[0])), []).extend(row)
    call_all(
        store,
        (
            Call(
                function, [keys.subscription_part(number, part) for part in ("cseq", "flight", "owed")], args
            )
            for number, args in by_shard.items()
        ),
    )


def remove_all(store: Store, ids: Iterable[str]) -> None:
    """Delete subscriptions and everything that is stored about them."""
    change_all(store, dict.fromkeys(ids, _removed))


def _removed(_old: Subscription | None) -> Placed[None]:
    return Placed(None, None, None)


def due(store: Store, shards: Sequence[int], *, most: int) -> Due:
    """
    Return up to `most` of each kind from each shard. A NOTIFY whose process has died becomes owed again.
    """
    parts = ("owed", "flight", "expiry")
    answers = call_all(
        store,
        (
            Call(
                "omapush_due_subscriptions",
                [keys.subscription_part(number, part) for part in parts],
                [most],
            )
            for number in shards
        ),
    )
    return Due(
        [name.decode() for owed, _ in answers for name in owed],
        [name.decode() for _, run_out in answers for name in run_out],
    )


# Lists ----------------------------------------------------------------------------------------------


class Lookup(NamedTuple):
    """A search for subscriptions of users, each to one application."""

    calls: list[Call]
    indexes: dict[str, dict[str, None]]
    "The users to look for in each list, in the order of the calls."
    places: list[tuple[str, str]]
    "List and user of each question."


def lookup(store: Store, wanted: Sequence[tuple[str, str]]) -> Lookup:
    """Return the search for each (address of record, application)."""
    indexes: dict[str, dict[str, None]] = {}
    places: list[tuple[str, str]] = []
    for aor, application in wanted:
        name = target(aor)
        index = keys.subscriptions_of(store.layout.target_shard(name), CONTENT, application)
        indexes.setdefault(index, {})[name] = None
        places.append((index, name))
    calls = [Call("omapush_subscriptions_of", [index], list(names)) for index, names in indexes.items()]
    return Lookup(calls, indexes, places)


def found_by(store: Store, asked: Lookup, answers: Sequence[Any]) -> list[tuple[Subscription, ...]]:
    """Return what the calls have found, in the order of the questions; for most users nothing."""
    found: dict[tuple[str, str], list[str]] = {}
    for (index, names), answer in zip(asked.indexes.items(), answers, strict=True):
        for name, ids in zip(names, answer, strict=False):  # no list at all: none of them has one
            found[index, name] = [one.decode() for one in ids]
    everything = [name for ids in found.values() for name in ids]
    records = dict(zip(everything, read_all(store, everything), strict=True))
    return [
        tuple(one for name in found.get(place, ()) if (one := records[name]) is not None)
        for place in asked.places
    ]


def of_user(store: Store, aor: str) -> list[Subscription]:
    """Return all subscriptions of a user, content and device profiles."""
    number = store.layout.user_shard(aor)
    name = target(aor)
    with store_errors("subscriptions of user"):
        pipe = store.db.pipeline(transaction=False)
        for index in _indexes(store, number):
            pipe.zrange(index, f"[{name}", f"({name}~", bylex=True)
        ids = [one.decode() for found in pipe.execute() for one in found]
    return [one for one in read_all(store, ids) if one is not None]


def of_application(store: Store, application: str) -> Iterator[Subscription]:
    """Yield the subscriptions to an application, page by page; those that begin meanwhile may be missed."""
    for number in range(store.layout.user_shards):
        yield from _pages(store, keys.subscriptions_of(number, CONTENT, application))


def everything(store: Store) -> Iterator[Subscription]:
    """Yield all subscriptions, page by page."""
    for number in range(store.layout.user_shards):
        for index in _indexes(store, number):
            yield from _pages(store, index)


def page(store: Store, number: int, application: str, *, after: str, most: int) -> list[str]:
    """Return up to `most` ids of an application's subscriptions in one user shard that come after `after`."""
    return _page(store, keys.subscriptions_of(number, CONTENT, application), after, most)


def count(store: Store, application: str) -> int:
    """Return how many subscriptions an application has."""
    with store_errors("count subscriptions"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.user_shards):
            pipe.zcard(keys.subscriptions_of(number, CONTENT, application))
        return int(sum(pipe.execute()))


def _page(store: Store, index: str, after: str, most: int) -> list[str]:
    with store_errors("page of subscriptions"):
        found = store.db.zrange(
            index,
            f"({after}" if after else "-",
            "+",
            bylex=True,
            offset=0,
            num=most,
        )
    return [name.decode() for name in found]  # type: ignore[union-attr]


def _pages(store: Store, index: str) -> Iterator[Subscription]:
    after = ""
    while ids := _page(store, index, after, _PAGE):
        yield from (one for one in read_all(store, ids) if one is not None)
        after = ids[-1]


def _indexes(store: Store, number: int) -> list[str]:
    with store_errors("kinds of subscriptions"):
        kinds = store.db.smembers(keys.subscription_part(number, "kinds"))
    profiles = (kind.decode().partition(":") for kind in kinds)  # type: ignore[union-attr]
    return sorted(keys.subscriptions_of(number, profile, application) for profile, _, application in profiles)


def _read_bytes(store: Store, ids: Sequence[str]) -> list[bytes | None]:
    """One MGET for each shard: a command of its own for each would cost more than Redis' answer."""
    by_shard = _by_shard(store, ids)
    answers = ask_all(
        store,
        "read subscriptions",
        (
            ("MGET", *(keys.subscription(number, name) for name in names))
            for number, names in by_shard.items()
        ),
    )
    found: dict[str, bytes | None] = {}
    for names, records in zip(by_shard.values(), answers, strict=True):
        found.update(zip(names, records, strict=True))
    return [found[name] for name in ids]


def _former(data: bytes | None) -> Subscription | None:
    """A broken record counts as none: the device subscribes again when it is told 481."""
    try:
        return None if data is None else codec.subscription(data)
    except codec.BrokenRecord:
        return None


def _by_shard(store: Store, ids: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name in ids:
        found.setdefault(store.layout.target_shard(name), []).append(name)
    return found
