"""Subscriptions of devices: one winner for each change, and what is due in a user shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from omapush.errors import TryLater
from omapush.push import device_subscription as rules
from omapush.push.device_subscription import DeviceSubscription
from omapush.store import codec, keys
from omapush.store.client import Call, Store, call, store_errors

KEPT_AFTER_END_MS = 3_600_000
"How long a subscription whose last NOTIFY could never be sent is kept."
_TRIES = 32

_T = TypeVar("_T")


def read(store: Store, subscription_id: str) -> DeviceSubscription | None:
    """Return a subscription, or None."""
    data = _read_bytes(store, subscription_id)
    return None if data is None else codec.device_subscription(data)


def change(
    store: Store,
    subscription_id: str,
    rule: Callable[[DeviceSubscription | None], tuple[DeviceSubscription | None, _T]],
) -> _T:
    """
    Change a subscription atomically by `rule`, which returns it as it shall be (None: gone) and an answer.

    `rule` is asked again when another process was faster. The answer is that of the change that was stored.

    Raises:
        TryLater: others changed the subscription so often that this change never got through.
    """
    for _ in range(_TRIES):
        was = _read_bytes(store, subscription_id)
        old = _former(was)
        new, answer = rule(old)
        if (new is None and was is None) or (new is not None and new == old):
            return answer
        if _place(store, subscription_id, was, new):
            return answer
    raise TryLater(f"subscription {subscription_id} is changed too often at once")


def due(store: Store, shards: Sequence[int], now_ms: int, *, most: int) -> list[str]:
    """Return up to `most` ids of each shard about which there is something to do."""
    with store_errors("due subscriptions"):
        pipe = store.db.pipeline(transaction=False)
        for number in shards:
            pipe.zrangebyscore(keys.subscriptions_due(number), "-inf", now_ms, start=0, num=most)
        return [name.decode() for found in pipe.execute() for name in found]


def forget(store: Store, subscription_id: str) -> None:
    """Take a subscription whose record has run out from what is due."""
    number = store.layout.target_shard(subscription_id)
    with store_errors("forget subscription"):
        store.db.zrem(keys.subscriptions_due(number), subscription_id)


def _read_bytes(store: Store, subscription_id: str) -> bytes | None:
    number = store.layout.target_shard(subscription_id)
    with store_errors("read subscription"):
        data = store.db.get(keys.subscription(number, subscription_id))
    return data if isinstance(data, bytes) else None


def _former(data: bytes | None) -> DeviceSubscription | None:
    """A broken record counts as none: the device subscribes again when it is told 481."""
    try:
        return None if data is None else codec.device_subscription(data)
    except codec.BrokenRecord:
        return None


def _place(store: Store, subscription_id: str, was: bytes | None, new: DeviceSubscription | None) -> bool:
    number = store.layout.target_shard(subscription_id)
    names = [keys.subscription(number, subscription_id), keys.subscriptions_due(number)]
    if new is None:
        args: list[str | bytes | int] = [subscription_id, was or b"", b"", 0, 0]
    else:
        lifetime_ms = max(new.expires_ms - new.at_ms, 0) + KEPT_AFTER_END_MS
        args = [subscription_id, was or b"", codec.encode(new), lifetime_ms, rules.due_ms(new)]
    return bool(call(store, Call("omapush_place_subscription", names, args)))
