"""Pushes for applications hosted behind this server: each stored once, and kept until it is taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from omapush.push.backend_answer import Verdict
from omapush.push.hosted import HostedPush, HostedState
from omapush.store import codec, keys, sealing
from omapush.store.client import Call, Store, call, call_all, store_errors

_VERDICTS_KEPT_MS: Final = 60_000
"A waiter that is gone by then has found the verdict with the push, or died."
_GRACE_MS: Final = 5_000
"How long after its time a waiter may still come for its verdict."
_MOST_RETRIED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Placing:
    """A push that came."""

    push: HostedPush
    to_stream: bool
    most: int
    "Pushes of its application that may wait, in all shards."
    remembered_s: int
    waiter: str = ""
    "Who answers its sender only when the back end has answered; empty: nobody does."
    deadline_ms: int = 0


class Placed(NamedTuple):
    """What became of it."""

    status: Literal["new", "seen", "full"]
    id: str
    "Of the first, when it came before."
    verdict: Verdict | None
    "What the sender of the first was told; None: nothing, or that it was taken."
    waits: bool
    "The back end has not answered yet, and the sender of the first still waits for that."


class Due(NamedTuple):
    """A push that its back end is to be told now."""

    push: HostedPush
    state: HostedState


class Listed(NamedTuple):
    """A push that waits or failed."""

    push: HostedPush
    state: HostedState
    due_ms: int
    "When its back end is told next; 0: it was given up."


def place_all(store: Store, placings: Sequence[Placing], now_ms: int) -> list[Placed]:
    """Store pushes that came."""
    answers = call_all(store, (_placing(store, one, now_ms) for one in placings), is_safe=True)
    return [
        Placed(status.decode(), first.decode(), _verdict(said), waits == 1)
        for status, first, said, waits in answers
    ]


def _placing(store: Store, one: Placing, now_ms: int) -> Call:
    push = one.push
    shard = store.layout.target_shard(push.id)
    names = _names(shard, push.application, "push", "due", "open", "stream")
    opened = f"{one.deadline_ms} {one.waiter}" if one.waiter else ""
    most = max(1, one.most // store.layout.user_shards)
    record = b"" if one.to_stream else sealing.hosted_record(store.ring, push)
    args: list[str | bytes | int] = [push.id, now_ms, one.remembered_s * 1000, most, record, opened]
    if one.to_stream:
        args += (item for pair in _stream_fields(push) for item in pair)
    return Call("omapush_place_hosted", [*names, *_seen(shard, push)], args)


def _stream_fields(push: HostedPush) -> list[tuple[str, str | bytes | int]]:
    """Plain fields, so that any client of Redis reads them; see schema/keys.md."""
    named: list[tuple[str, str | bytes | int]] = [
        ("id", push.id),
        ("application", push.application),
        ("sender", push.sender),
        ("recipient", push.recipient),
        ("content-type", push.content_type),
        ("content", push.content),
        ("push-id", push.push_id),
        ("initiator-uri", push.initiator_uri),
        ("content-uri", push.content_uri),
        ("valid-until-ms", push.valid_until_ms),
        ("received-ms", push.received_ms),
        ("method", push.method),
        ("call-id", push.call_id),
    ]
    return named + [(f"header:{name}", value) for name, value in push.fields]


def accept_all(store: Store, waiting: Iterable[tuple[str, str]]) -> list[Verdict | None]:
    """
    Stop waiting for back ends, for pushes by (application, id).

    None: the push is stored and will be delivered. A verdict: it came first, and the push is over.
    """
    calls = []
    for application, push_id in waiting:
        shard = store.layout.target_shard(push_id)
        names = [keys.hosted(shard, "open", application), keys.hosted_seen(shard, push_id)]
        calls.append(Call("omapush_accept_hosted", names, [push_id]))
    return [_verdict(said) for said in call_all(store, calls)] if calls else []


def verdicts(store: Store, waiter: str, most: int) -> list[tuple[str, Verdict]]:
    """Return what back ends said meanwhile of pushes that `waiter` waits for; each is told once."""
    with store_errors("read verdicts"):
        found = store.db.lpop(keys.hosted_verdicts(waiter), most)
    told = (one.decode().partition(" ") for one in found or () if isinstance(one, bytes))
    return [(push_id, Verdict.unpack(packed)) for push_id, _, packed in told]


def borrow(
    store: Store, application: str, now_ms: int, *, lease_ms: int, most: int, kept_s: int
) -> list[Due]:
    """
    Return pushes that are due, up to `most` of each shard; nobody else gets them before the lease ends.

    What failed more than `kept_s` ago is forgotten.
    """
    calls = [
        Call(
            "omapush_borrow_hosted",
            _names(shard, application, "push", "state", "due", "failed"),
            [now_ms, lease_ms, most, now_ms - kept_s * 1000],
        )
        for shard in range(store.layout.user_shards)
    ]
    found = []
    for answer in call_all(store, calls):
        for record, state in zip(answer[::2], answer[1::2], strict=True):
            with suppress(codec.BrokenRecord):
                push = sealing.hosted_push(store.ring, record)
                found.append(Due(push, codec.hosted_state(state) if state else HostedState()))
    return found


def settle(
    store: Store, push: HostedPush, verdict: Verdict, state: HostedState, *, again_ms: int | None
) -> bool:
    """
    Note what an exchange came to; True when that was told to its sender, who still waited.

    The push is then over, also when the back end could not take it now: its sender tries again.
    """
    shard = store.layout.target_shard(push.id)
    names = _names(shard, push.application, "push", "state", "due", "open", "failed")
    taken = int(verdict.kind == "taken")
    args = [push.id, state.at_ms, taken, again_ms or 0, codec.encode(state), verdict.pack(), _GRACE_MS]
    waiter = call(store, Call("omapush_settle_hosted", [*names, *_seen(shard, push)], args)).decode()
    if not waiter:
        return False
    name = keys.hosted_verdicts(waiter)
    with store_errors("tell verdict"):
        pipe = store.db.pipeline(transaction=False)
        pipe.rpush(name, f"{push.id} {verdict.pack()}")
        pipe.pexpire(name, _VERDICTS_KEPT_MS)
        pipe.execute()
    return True


def everything(store: Store, application: str) -> list[Listed]:
    """Return all pushes of an application that wait or failed, in order of arrival."""
    found = [one for shard in range(store.layout.user_shards) for one in _of_shard(store, application, shard)]
    return sorted(found, key=lambda one: (one.push.received_ms, one.push.id))


def _of_shard(store: Store, application: str, shard: int) -> Iterable[Listed]:
    names = _names(shard, application, "push", "state", "due")
    with store_errors("list hosted"):
        pipe = store.db.pipeline(transaction=False)
        pipe.hgetall(names[0])
        pipe.hgetall(names[1])
        pipe.zrange(names[2], 0, -1, withscores=True)
        pushes, states, due = pipe.execute()
    times = {name: int(score) for name, score in due}
    for name, record in pushes.items():
        with suppress(codec.BrokenRecord):
            state = codec.hosted_state(states[name]) if name in states else HostedState()
            yield Listed(sealing.hosted_push(store.ring, record), state, times.get(name, 0))


def streamed(store: Store, application: str) -> int:
    """Return how many pushes lie in the application's streams."""
    with store_errors("count streams"):
        pipe = store.db.pipeline(transaction=False)
        for shard in range(store.layout.user_shards):
            pipe.xlen(keys.hosted(shard, "stream", application))
        return sum(pipe.execute())


def retry(store: Store, application: str, now_ms: int) -> int:
    """Have the back end told again what was given up, up to 1,000 pushes of each shard; returns how many."""
    return sum(
        int(number)
        for number in call_all(
            store,
            (
                Call(
                    "omapush_retry_hosted",
                    _names(shard, application, "state", "due", "failed"),
                    [now_ms, _MOST_RETRIED],
                )
                for shard in range(store.layout.user_shards)
            ),
        )
    )


def _names(shard: int, application: str, *parts: str) -> list[str]:
    return [keys.hosted(shard, part, application) for part in parts]


def _seen(shard: int, push: HostedPush) -> tuple[str, str]:
    by_request = keys.hosted_seen(shard, push.id)
    return by_request, keys.hosted_seen(shard, push.seen_push) if push.push_id else by_request


def _verdict(said: bytes) -> Verdict | None:
    return Verdict.unpack(said.decode()) if said else None
