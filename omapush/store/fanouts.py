"""
Pushes to all subscribers of an application: registered in each user shard, expanded there, counted in the
push.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from omapush.push.fan_out import FanOut, FanOutState, Page, Progress
from omapush.push.values import Event, ticket
from omapush.store import codec, keys, sealing, subscriptions
from omapush.store.client import Call, Store, call, call_all, store_errors
from omapush.store.pushes import Known


class Job(NamedTuple):
    """One push in one user shard."""

    shard: int
    ref: str
    progress: Progress
    backlog: int
    "Its deliveries in the shard's outbox."
    ready: int
    "Deliveries of all pushes that are ready in the shard's outbox."


class Reach(NamedTuple):
    """Progress of a push to subscribers, besides its results."""

    subscribed: int
    "Number of subscriptions to its application now."
    made: int
    "Deliveries made so far."


def reach(store: Store, known: Known) -> Reach | None:
    """Return the progress of a push; None if it names its recipients."""
    counted = known.subscribers
    if counted is None:
        return None
    going_on = [number for number in range(store.layout.user_shards) if number not in counted.made]
    with store_errors("reach of a push"):
        pipe = store.db.pipeline(transaction=False)
        for number in going_on:
            pipe.hget(keys.fan_outs(number, "fanning"), known.push.ref)
        found = [Progress.read(text.decode()) for text in pipe.execute() if text is not None]
    made = sum(counted.made.values()) + sum(progress.made for progress in found)
    return Reach(subscriptions.count(store, known.push.application), made)


def _jobs(number: int) -> list[str]:
    return [keys.fan_outs(number, part) for part in ("fanout", "fanning", "fanned")]


def register(store: Store, fan_outs: Iterable[tuple[FanOut, FanOutState]]) -> None:
    """
    Register pushes as jobs in all user shards, each in the state that its push is in.

    A shard that has the job already, or has finished it, is left alone.
    """
    call_all(
        store,
        (
            Call("omapush_fan_register", _jobs(number), [fan_out.template.ref, record, state])
            for fan_out, state in fan_outs
            for record in (sealing.fan_out_record(store.ring, fan_out),)
            for number in range(store.layout.user_shards)
        ),
    )


def steer(store: Store, ref: str, state: FanOutState, event: Event) -> str | None:
    """
    Pause, resume or abort a push; returns the state that it is in afterwards, None when it is no fan-out.

    `finished` and `aborted` stay. The push itself comes first: a crash before the shards know is mended by
    the same call again. What is at a sender is left to its answer.
    """
    number = store.layout.push_shard(ref)
    names = [keys.push(number, ref), keys.push_log(number, ref)]
    answer = call(store, Call("omapush_steer", names, [state, codec.encode(event)]))
    if answer is None:
        return None
    now: str = answer.decode()
    if now != "finished":
        parts = ("halted", "parked", "later")
        call_all(
            store,
            (
                Call(
                    "omapush_fan_steer",
                    [*_jobs(shard)[1:], *(keys.outbox(shard, part) for part in parts)],
                    [ref, now],
                )
                for shard in range(store.layout.user_shards)
            ),
        )
    return now


def jobs(store: Store, numbers: Sequence[int]) -> list[Job]:
    """Return the jobs of these user shards."""
    with store_errors("fan-outs"):
        pipe = store.db.pipeline(transaction=False)
        for number in numbers:
            pipe.hgetall(keys.fan_outs(number, "fanning"))
        found = [
            (number, ref.decode(), Progress.read(text.decode()))
            for number, shard in zip(numbers, pipe.execute(), strict=True)
            for ref, text in shard.items()
        ]
        for number, ref, _ in found:
            pipe.zlexcount(keys.outbox(number, "backlog"), f"[{ref}", f"({ref}~")
            pipe.zcard(keys.outbox(number, "ready"))
        counts = pipe.execute() if found else []
    return [
        Job(*job, backlog, ready)
        for job, backlog, ready in zip(found, counts[::2], counts[1::2], strict=True)
    ]


def read(store: Store, job: Job) -> FanOut | None:
    """Return the push of a job; None if only its state has been registered yet."""
    with store_errors("read fan-out"):
        data: Any = store.db.hget(keys.fan_outs(job.shard, "fanout"), job.ref)
    return None if data is None else sealing.fan_out(store.ring, data)


def expand(store: Store, job: Job, page: Page) -> bool:
    """Put one page into the outbox, once; False if the job was paused, aborted or is further by now."""
    parts = ("delivery", "busy", "ready", "waiting", "expiry", "later", "withdrawn", "backlog")
    names = [keys.outbox(job.shard, part) for part in parts]
    args: list[Any] = [job.ref, str(job.progress), str(page.progress)]
    for delivery in page.deliveries:
        args += (ticket(delivery), sealing.delivery_record(store.ring, delivery))
        args.append(delivery.deliver_before_ms)
        args.append(delivery.deliver_after_ms)
    return bool(call(store, Call("omapush_expand", [*names, keys.fan_outs(job.shard, "fanning")], args)))


def withdraw(store: Store, job: Job, *, transaction_ms: int) -> list[str]:
    """Take the tickets of a job that are not at a sender; the caller ends them."""
    names = [keys.outbox(job.shard, part) for part in ("backlog", "taken", "later", "parked")]
    answer = call(store, Call("omapush_fan_withdraw", names, [job.ref, transaction_ms]))
    return [place.decode() for place in answer]


def close(store: Store, job: Job, *, retention_s: int) -> None:
    """
    Store in the push how many deliveries this shard made in all, then delete the job. Each is done once.

    Only for a job that makes no more deliveries and has none in the outbox.
    """
    number = store.layout.push_shard(job.ref)
    names = [keys.push(number, job.ref), keys.push_log(number, job.ref), keys.push_counted(number, job.ref)]
    names += (keys.content(number, job.ref), keys.totals(number))
    call(store, Call("omapush_told_all", names, [job.shard, job.progress.made, retention_s]))
    names = [*_jobs(job.shard), keys.outbox(job.shard, "halted")]
    call(store, Call("omapush_fan_drop", names, [job.ref, str(job.progress)]))
