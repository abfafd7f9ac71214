"""Pushes: accepted, handed over, with a result for each recipient, an event log, and results owed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from omapush.push.fan_out import FanOut, FanOutState
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import PENDING, Delivery, Event, Push, Recipient, Result
from omapush.store import codec, keys
from omapush.store.client import Call, Store, call, call_all, store_errors

LARGEST_INLINE: Final = 16_384
"Bytes of content that travel inside each delivery; larger content stays with its push."

_UNTOLD: Final = Result(PENDING, TAKEN_CODE, "queued", "", 0, 0, 0)


class Submission(NamedTuple):
    """What accept() stores in one atomic call."""

    push: Push
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    "Where each recipient starts: pending, or final at once."
    content: bytes
    "Empty when it was uploaded."
    event: Event
    upload: str = ""
    "Name of content that was uploaded (store/contents.py)."


class Stored(NamedTuple):
    """One try's result, to be stored."""

    ref: str
    recipient: int
    result: Result
    final: bool
    event: Event


class Counted(NamedTuple):
    """What is known of the deliveries of a push to subscribers, which are only counted."""

    state: Literal["running", "paused", "aborted", "finished"]
    "As it was last told to be, until it is finished."
    is_aborted: bool
    ended: int
    "Deliveries with a final result."
    by_state: dict[str, int]
    "The same by their states."
    made: dict[int, int]
    "Deliveries that each user shard made which has no more to make."


NONE_COUNTED: Final = Counted("running", False, 0, {}, {})
"How it begins."


class Known(NamedTuple):
    """All that is remembered about one push."""

    push: Push
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    events: tuple[Event, ...]
    "In order of time."
    subscribers: Counted | None = None
    "For a push to subscribers, which has no recipients."


class Due(NamedTuple):
    """One result that its initiator has to be told."""

    push: Push
    recipient: Recipient
    result: Result


def _push_keys(store: Store, ref: str) -> tuple[str, str]:
    number = store.layout.push_shard(ref)
    return keys.push(number, ref), keys.push_log(number, ref)


def accept_all(store: Store, submissions: Sequence[Submission]) -> list[bool | None]:
    """
    Store new pushes; False for each whose push-id the initiator has used before (2007).

    None for one whose uploaded content has run out meanwhile. What is stored here is handed over to the
    outbox afterwards, or by the sweeper after a crash.
    """
    answers = call_all(store, (_accept(store, one) for one in submissions))
    return [None if answer < 0 else answer == 1 for answer in answers]


def _accept(store: Store, submission: Submission) -> Call:
    ref = submission.push.ref
    fields: list[Any] = ["record", codec.encode(submission.push)]
    fields += ("pieces", 1) if submission.upload else ("body", submission.content)
    if submission.push.notify_url:
        fields += ("notify", 1)
    final: list[int] = []
    for index, (recipient, result) in enumerate(zip(submission.recipients, submission.results, strict=True)):
        fields += (f"a{index}", codec.encode(recipient), f"r{index}", codec.encode(result))
        if result.state != PENDING:
            fields += (f"f{index}", 1)
            final.append(index)
    if submission.push.subscribers:
        fields += ("shards", store.layout.user_shards, "total", 0, "done", 0, "state", "running")
    fields += ("open", len(submission.results) - len(final))
    owed = ",".join(map(str, final)) if submission.push.notify_url else ""
    number = store.layout.push_shard(ref)
    large = [keys.upload(number, submission.upload), keys.content(number, ref)] if submission.upload else []
    return Call(
        "omapush_accept",
        [*_push_keys(store, ref), keys.handover(number), keys.notify(number), *large],
        [ref, submission.push.accepted_ms, codec.encode(submission.event), owed, *fields],
    )


def handed_over(store: Store, refs: Iterable[str]) -> None:
    """Note that all deliveries of these pushes are in the outbox."""
    with store_errors("handed over"):
        pipe = store.db.pipeline(transaction=False)
        for ref in refs:
            pipe.zrem(keys.handover(store.layout.push_shard(ref)), ref)
        pipe.execute()


def fan_out_of(push: Push, content: bytes) -> FanOut:
    """Return what each user shard keeps of a push to subscribers."""
    return FanOut(1, delivery_of(push, 0, Recipient("", ""), content), push.subscribers)


def not_handed_over(store: Store, before_ms: int, *, most: int = 200) -> list[str]:
    """Return refs accepted before `before_ms` whose hand-over was never noted."""
    with store_errors("not handed over"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.push_shards):
            pipe.zrangebyscore(keys.handover(number), "-inf", before_ms, start=0, num=most)
        return [ref.decode() for found in pipe.execute() for ref in found]


def open_deliveries(store: Store, ref: str) -> list[Delivery]:
    """Return the deliveries of a push whose recipients have no final result; empty when it is unknown."""
    with store_errors("open deliveries"):
        fields: dict[bytes, bytes] = store.db.hgetall(_push_keys(store, ref)[0])  # type: ignore[assignment]
    if b"record" not in fields:
        return []
    push = codec.push(fields[b"record"])
    content = fields.get(b"body", b"")
    return [
        delivery_of(push, index, codec.recipient(fields[f"a{index}".encode()]), content)
        for index in range(_recipients(fields))
        if f"f{index}".encode() not in fields
        and codec.result(fields[f"r{index}".encode()]).state == "pending"
    ]


def delivery_of(push: Push, index: int, recipient: Recipient, content: bytes) -> Delivery:
    """Return the delivery of `push` for its recipient number `index`."""
    return Delivery(
        version=1,
        ref=push.ref,
        recipient=index,
        aor=recipient.aor,
        application=push.application,
        initiator=push.initiator,
        push_id=push.push_id,
        content_type=push.content_type,
        content_headers=push.content_headers,
        content=content if len(content) <= LARGEST_INLINE else b"",
        delivery_method=push.delivery_method,
        accepted_ms=push.accepted_ms,
        deliver_before_ms=push.deliver_before_ms,
        deadline_given=push.deadline_given,
        order_us=push.order_us,
        size=push.size,
        method=push.method,
        priority=push.priority,
        deliver_after_ms=push.deliver_after_ms,
    )


def open_fan_out(store: Store, ref: str) -> tuple[FanOut, FanOutState] | None:
    """
    Return what the user shards have to know of a push to subscribers, and its state.

    None when it is no such push, is unknown, or all shards are done with it.
    """
    with store_errors("open fan-out"):
        names = ("record", "body", "shards", "state")
        found: Any = store.db.hmget(_push_keys(store, ref)[0], names)
    record, body, shards, state = found
    if record is None or shards in (None, b"0"):
        return None
    return fan_out_of(codec.push(record), body or b""), state.decode()


def _recipients(fields: dict[bytes, bytes]) -> int:
    return sum(1 for name in fields if name[:1] == b"a")


def store_results(store: Store, results: Sequence[Stored], *, now_ms: int, retention_s: int) -> None:
    """Store results; a recipient that is final already stays as it is (a repeat after a crash)."""
    batches: dict[int, tuple[list[str], list[Any]]] = {}
    for one in results:
        number = store.layout.push_shard(one.ref)
        names, args = batches.setdefault(number, ([keys.notify(number)], [now_ms, retention_s]))
        names += (
            keys.push(number, one.ref),
            keys.push_log(number, one.ref),
            keys.push_counted(number, one.ref),
            keys.content(number, one.ref),
        )
        record, event = codec.encode(one.result), codec.encode(one.event)
        args += (one.ref, one.recipient, record, 1 if one.final else 0, event)
    call_all(store, (Call("omapush_result", names, args) for names, args in batches.values()))


def note(store: Store, events: Iterable[tuple[str, Event]]) -> None:
    """Add events to the logs of pushes, each given with its push's ref."""
    batches: dict[int, tuple[list[str], list[bytes]]] = {}
    for ref, event in events:
        names, args = batches.setdefault(store.layout.push_shard(ref), ([], []))
        names.append(_push_keys(store, ref)[1])
        args.append(codec.encode(event))
    call_all(store, (Call("omapush_note", names, args) for names, args in batches.values()))


def are_final(store: Store, deliveries: Sequence[tuple[str, int]]) -> list[bool]:
    """Tell for each (ref, recipient index) whether its result is final, or the push long forgotten."""
    with store_errors("are final"):
        pipe = store.db.pipeline(transaction=False)
        for ref, index in deliveries:
            pipe.hmget(_push_keys(store, ref)[0], f"a{index}", f"f{index}", "shards")
            pipe.getbit(keys.push_counted(store.layout.push_shard(ref), ref), index)
        answers = pipe.execute()
    return [
        final is not None or (bool(counted) if shards is not None else recipient is None)
        for (recipient, final, shards), counted in zip(answers[::2], answers[1::2], strict=True)
    ]


def read(store: Store, ref: str) -> Known | None:
    """Return all that is remembered about a push, or None."""
    push_key, log_key = _push_keys(store, ref)
    with store_errors("read push"):
        pipe = store.db.pipeline(transaction=False)
        pipe.hgetall(push_key)
        pipe.lrange(log_key, 0, -1)
        fields, log = pipe.execute()
    if b"record" not in fields:
        return None
    indexes = range(_recipients(fields))
    return Known(
        push=codec.push(fields[b"record"]),
        recipients=tuple(codec.recipient(fields[f"a{i}".encode()]) for i in indexes),
        results=tuple(codec.result(fields[f"r{i}".encode()]) for i in indexes),
        events=tuple(sorted((codec.event(line) for line in log), key=lambda event: event.at_ms)),
        subscribers=_counted(fields) if b"shards" in fields else None,
    )


def _counted(fields: dict[bytes, bytes]) -> Counted:
    finished = fields[b"shards"] == b"0" and fields[b"total"] == fields[b"done"]
    told = fields[b"state"].decode()
    numbers = {name.decode(): value for name, value in fields.items()}
    return Counted(
        state="finished" if finished else told,  # type: ignore[arg-type]
        is_aborted=told == "aborted",
        ended=int(fields[b"done"]),
        by_state={
            name.partition(":")[2]: int(value) for name, value in numbers.items() if name.startswith("n:")
        },
        made={int(name[1:]): int(value) for name, value in numbers.items() if re.fullmatch("t[0-9]+", name)},
    )


def result_of(store: Store, ref: str, recipient: int) -> Result | None:
    """Return the last result of one recipient, or None when the push is forgotten."""
    return results_of(store, [(ref, recipient)])[0]


def results_of(store: Store, deliveries: Sequence[tuple[str, int]]) -> list[Result | None]:
    """
    Return the same for many, each given as (ref, recipient index).

    Results of a push to subscribers are only counted: each is as at the beginning here.
    """
    with store_errors("results of"):
        pipe = store.db.pipeline(transaction=False)
        for ref, recipient in deliveries:
            pipe.hmget(_push_keys(store, ref)[0], f"r{recipient}", "shards")
        found = pipe.execute()
    return [
        codec.result(record) if record is not None else _UNTOLD if shards is not None else None
        for record, shards in found
    ]


def borrow_due(store: Store, *, now_ms: int, lease_ms: int, most: int) -> list[tuple[str, Due | None]]:
    """
    Borrow results that initiators have to be told now, each with its name for settle().

    None in place of a result whose push was forgotten meanwhile. What is not settled within `lease_ms`
    is due again.
    """
    answers = call_all(
        store,
        (
            Call("omapush_borrow", [keys.notify(number)], [now_ms, lease_ms, most])
            for number in range(store.layout.push_shards)
        ),
    )
    members = [member.decode() for answer in answers for member in answer]
    with store_errors("borrow due"):
        pipe = store.db.pipeline(transaction=False)
        for member in members:
            ref, index = split_member(member)
            pipe.hmget(_push_keys(store, ref)[0], "record", f"a{index}", f"r{index}")
        rows = pipe.execute()
    return [(member, _due(*row)) for member, row in zip(members, rows, strict=True)]


def _due(record: bytes | None, recipient: bytes | None, result: bytes | None) -> Due | None:
    if record is None or recipient is None or result is None:
        return None
    return Due(codec.push(record), codec.recipient(recipient), codec.result(result))


def split_member(member: str) -> tuple[str, int]:
    """Return (push ref, recipient index) of a name that borrow_due gave."""
    ref, _, index = member.partition(".")
    return ref, int(index)


def settle(store: Store, member: str, *, again_ms: int, event: Event) -> None:
    """End one notification try: 0 closes it for good, else it is due again at `again_ms`."""
    ref = split_member(member)[0]
    number = store.layout.push_shard(ref)
    call(
        store,
        Call(
            "omapush_settle",
            [keys.notify(number), *_push_keys(store, ref)],
            [member, again_ms, codec.encode(event)],
        ),
    )


def owed(store: Store) -> int:
    """Return how many notifications are owed."""
    with store_errors("owed"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.push_shards):
            pipe.zcard(keys.notify(number))
        return int(sum(pipe.execute()))
