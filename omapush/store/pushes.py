"""Pushes: accepted, handed over, with a result for each recipient, an event log, and results owed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from omapush.push import spans
from omapush.push.fan_out import FanOut, FanOutState
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import PENDING, Delivery, Event, Push, Recipient, Result
from omapush.store import codec, counted, event_log, keys, push_pages
from omapush.store.client import Call, Store, call, call_all, store_errors

LARGEST_INLINE: Final = 16_384
"Bytes of content that travel inside each delivery; larger content stays with its push."

_UNTOLD: Final = Result(PENDING, TAKEN_CODE, "queued", "", 0, 0, 0)


class Submission(NamedTuple):
    """What accept() stores in one atomic call."""

    push: Push
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    "First result of each recipient: pending, or final at once."
    content: bytes
    "Empty when it was uploaded."
    event: Event
    upload: str = ""
    "Name of content that was uploaded (store/contents.py)."
    fingerprint: bytes = b""
    "Fingerprint that tells a repeat from another push (push/fingerprint.py)."
    id_kept_ms: int = 0
    "How long after acceptance its push-id counts as used, even if the push is forgotten."
    retention_s: int = 86_400
    "How long it is remembered if all its recipients are final from the start."
    log_s: int | None = None
    "How long its event log is kept after its end; None: as long as the push."


class Stored(Struct, frozen=True, gc=False):
    """The result of one attempt, to be stored."""

    ref: str
    recipient: int
    result: Result
    final: bool
    event: Event
    carried: str = ""
    "What else its event data record contains (`push/event_record.py`)."


class Known(NamedTuple):
    """Everything that is stored about one push."""

    push: Push
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    events: tuple[Event, ...]
    "In order of time."
    subscribers: counted.Counted | None = None
    "For a push to subscribers, which has no recipients."
    by_state: dict[str, int] | None = None
    "For a push with many recipients: number in each state, if not all of them are in `recipients`."


def _push_keys(store: Store, ref: str) -> tuple[str, str]:
    number = store.layout.push_shard(ref)
    return keys.push(number, ref), keys.push_log(number, ref)


def accept_all(store: Store, submissions: Sequence[Submission]) -> list[bool | None]:
    """
    Store new pushes. False: the initiator has used the push-id before (2007); None: its uploaded content has
    expired.

    Pushes that are stored here are handed over to the outbox afterwards, or by the sweeper after a crash.
    """
    answers = call_all(store, (_accept(store, one) for one in submissions), is_safe=True)
    return [None if answer < 0 else answer == 1 for answer in answers]


def accept_large(store: Store, submission: Submission) -> bool | None:
    """
    Store one push with many recipients in small steps, of which only the last one makes it visible.

    Returns as `accept_all`; None also if the first steps have expired meanwhile.
    """
    staged = push_pages.stage(store, submission.push.ref, submission.recipients, submission.results)
    fields = [*_head(store, submission), "open", len(submission.results) - len(staged.final)]
    for state, number in Counter(result.state for result in submission.results).items():
        fields += (f"n:{state}", number)
    event = codec.encode(submission.event)
    rest = [staged.fields, *fields]
    one = _accepting(store, submission, "omapush_accept_staged", event, staged.final, rest, [staged.key])
    answer = call(store, one, is_safe=True)
    return None if answer < 0 else bool(answer)


def _accept(store: Store, submission: Submission) -> Call:
    has_log = len(submission.recipients) == 1 and submission.log_s is None
    fields = _head(store, submission)
    final: list[int] = []
    for index, (recipient, result) in enumerate(zip(submission.recipients, submission.results, strict=True)):
        fields += push_pages.fields_of(index, recipient, result)
        if result.state != PENDING:
            final.append(index)
    if submission.push.subscribers:
        fields += ("shards", store.layout.user_shards, "total", 0, "done", 0, "state", "running")
    log = event_log.first_fields(submission.event) if has_log else ()
    fields = ["open", len(submission.results) - len(final), *log, *fields]  # in front is what is asked most
    event = b"" if has_log else codec.encode(submission.event)
    return _accepting(store, submission, "omapush_accept", event, final, fields)


def _head(store: Store, submission: Submission) -> list[Any]:
    push = submission.push
    fields: list[Any] = ["record", codec.encode(push), "count", len(submission.recipients)]
    fields += ("print", submission.fingerprint)
    fields += () if submission.log_s is None else ("logs", submission.log_s)
    body = store.ring.seal(push.ref, submission.content)
    fields += ("pieces", 1) if submission.upload else ("body", body)
    return [*fields, "notify", 1] if push.notify_url else fields


def _accepting(
    store: Store,
    submission: Submission,
    function: str,
    event: bytes,
    final: Sequence[int],
    rest: list[Any],
    more_keys: Sequence[str] = (),
) -> Call:
    push = submission.push
    number = store.layout.push_shard(push.ref)
    owed = ("" if push.notify_url else "-") + ",".join(map(str, final))
    names = [*_push_keys(store, push.ref), keys.handover(number), keys.notify(number)]
    names += (keys.own(number, push.initiator), keys.totals(number), keys.records(number), *more_keys)
    if submission.upload:
        names += (keys.upload(number, submission.upload), keys.content(number, push.ref))
    is_over = len(final) == len(submission.results) and not push.subscribers
    head = [push.ref, push.accepted_ms, event, owed, submission.id_kept_ms]
    head += (submission.retention_s if is_over else 0, _states(submission))
    return Call(function, names, [*head, *rest])


def _states(submission: Submission) -> str:
    """Number of recipients, and of those that start in each final state."""
    final = Counter(result.state for result in submission.results if result.state != PENDING)
    return " ".join([str(len(submission.results)), *(f"{state} {number}" for state, number in final.items())])


def handed_over(store: Store, handed: Iterable[Push | str]) -> None:
    """
    Note that all deliveries of these pushes are in the outbox.

    For a push that is traced, also note that its spans have to be made.
    """
    with store_errors("handed over"):
        pipe = store.db.pipeline(transaction=False)
        for one in handed:
            ref = one if isinstance(one, str) else one.ref
            number = store.layout.push_shard(ref)
            if not isinstance(one, str) and spans.has_own(one):
                pipe.zadd(keys.trace_due(number), {ref: one.accepted_ms})
            pipe.zrem(keys.handover(number), ref)
        pipe.execute()


def fan_out_of(push: Push, content: bytes) -> FanOut:
    """Return what each user shard keeps of a push to subscribers."""
    return FanOut(1, delivery_of(push, 0, Recipient("", ""), content), push.subscribers)


def not_handed_over(store: Store, before_ms: int, *, most: int = 200) -> list[str]:
    """Return refs accepted before `before_ms` whose hand-over was never noted, in order of acceptance."""
    with store_errors("not handed over"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.push_shards):
            name = keys.handover(number)
            pipe.zrangebyscore(name, "-inf", before_ms, start=0, num=most, withscores=True)
        found = sorted((score, ref) for of_shard in pipe.execute() for ref, score in of_shard)
    return [ref.decode() for _, ref in found]


def open_deliveries(store: Store, ref: str) -> Iterator[Delivery]:
    """Yield the deliveries of a push whose recipients have no final result; none if the push is unknown."""
    with store_errors("open deliveries"):
        found: Any = store.db.hmget(_push_keys(store, ref)[0], ("record", "body", "count"))
    record, body, count = found
    if record is None:
        return
    push, content = codec.push(record), store.ring.open(ref, body or b"")
    for page in push_pages.read_all(store, ref, most=None if count is None else int(count)):
        pairs = zip(page.recipients, page.final, strict=True)
        for index, (recipient, is_final) in enumerate(pairs, page.first):
            if not is_final:
                yield delivery_of(push, index, recipient, content)


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
    Return what the user shards have to know about a push to subscribers, and its state.

    None if it is not such a push, is unknown, or all shards have finished it.
    """
    with store_errors("open fan-out"):
        names = ("record", "body", "shards", "state")
        found: Any = store.db.hmget(_push_keys(store, ref)[0], names)
    record, body, shards, state = found
    if record is None or shards in (None, b"0"):
        return None
    return fan_out_of(codec.push(record), store.ring.open(ref, body or b"")), state.decode()


def store_results(
    store: Store, results: Sequence[Stored], *, now_ms: int, retention_s: int
) -> dict[tuple[str, int], bool]:
    """
    Store results; a recipient that is final already stays as it is (a repeat after a crash).

    Returns for each (ref, recipient index) whether its result was stored.
    """
    of_one = [one for one in results if one.recipient == 0]
    others = [one for one in results if one.recipient != 0]
    stored = _store_results(store, "omapush_result_of_one", of_one, now_ms, retention_s)
    others += (one for one in of_one if stored[one.ref, 0] < 0)
    stored |= _store_results(store, "omapush_result", others, now_ms, retention_s)
    return {who: answer == 1 for who, answer in stored.items()}


def _store_results(
    store: Store, function: str, results: Sequence[Stored], now_ms: int, retention_s: int
) -> dict[tuple[str, int], int]:
    """Return the answer of the function for each."""
    batches: dict[int, tuple[list[str], list[Any], list[tuple[str, int]]]] = {}
    for one in results:
        number = store.layout.push_shard(one.ref)
        batch = batches.get(number)
        if batch is None:
            whole = [keys.notify(number), keys.quota(number), keys.totals(number), keys.records(number)]
            batch = batches[number] = (whole, [now_ms, retention_s], [])
        names, args, whose = batch
        push, log, of_fan_out, content = keys.prefixes_of_push(number)
        names += (push + one.ref, log + one.ref)
        if function == "omapush_result":
            names += (of_fan_out + one.ref, content + one.ref)
            args += (one.ref, one.recipient)
        record, event = codec.encode(one.result), codec.encode(one.event)
        args += (record, one.result.state if one.final else "", event, one.carried)
        whose.append((one.ref, one.recipient))
    answers = call_all(store, (Call(function, names, args) for names, args, _ in batches.values()))
    return {
        who: answer
        for (_, _, whose), found in zip(batches.values(), answers, strict=True)
        for who, answer in zip(whose, found, strict=True)
    }


def note(store: Store, events: Iterable[tuple[str, Event]]) -> None:
    """Add events to the logs of pushes, each given with its push's ref."""
    batches: dict[int, tuple[list[str], list[bytes]]] = {}
    for ref, event in events:
        number = store.layout.push_shard(ref)
        names, args = batches.setdefault(number, ([], []))
        push, log = keys.prefixes_of_push(number)[:2]
        names += (push + ref, log + ref)
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


def read(store: Store, ref: str, *, most: int | None = None, events: bool = True) -> Known | None:
    """
    Return what is stored about a push, or None.

    Returns at most the first `most` recipients and as many events; all of them if `most` is None, and no
    events without `events`.
    """
    with store_errors("read push"):
        found: Any = store.db.hmget(_push_keys(store, ref)[0], ("record", "count", "n:pending"))
    record, count, pending = found
    if record is None:
        return None
    push = codec.push(record)
    fields = _fields(store, ref) if push.subscribers else {}
    wanted = None if count is None else int(count) if most is None else min(most, int(count))
    pages = [] if push.subscribers else list(push_pages.read_all(store, ref, most=wanted))
    lines = event_log.events(store, ref, most=most) if events else []  # last: each result has its line then
    return Known(
        push=push,
        recipients=tuple(one for page in pages for one in page.recipients),
        results=tuple(one for page in pages for one in page.results),
        events=tuple(sorted(lines, key=lambda event: event.at_ms)),
        subscribers=counted.of_fields(fields) if fields else None,
        by_state=counted.by_state(_fields(store, ref, counted.STATES)) if pending is not None else None,
    )


def _fields(store: Store, ref: str, names: Sequence[str] = ()) -> dict[str, bytes]:
    """The fields of a push to subscribers, or some of any push."""
    key = _push_keys(store, ref)[0]
    with store_errors("read push"):
        if not names:
            everything: Any = store.db.hgetall(key)
            return {name.decode(): value for name, value in everything.items()}
        found: Any = store.db.hmget(key, names)
    return {name: value for name, value in zip(names, found, strict=True) if value is not None}


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
