"""All that is stored of a great many users, made to run out at one moment."""

from __future__ import annotations

from itertools import islice
from typing import Final

from bench import stored_users
from bench.stored_users import User
from omapush import clock
from omapush.push.values import target
from omapush.store import codec, keys
from omapush.store.client import Store

_AT_ONCE: Final = 1_000


def end_at(store: Store, number: int, application: str, port: int, at_ms: int) -> None:
    """
    Have registrations, capabilities and subscriptions of the first users end at `at_ms`.

    The subscriptions are those that `stored_users.put_subscriptions` made with the same arguments.
    """
    one = stored_users.subscription(User.number(0), application, port, clock.now_ms())
    one = one._replace(expires_ms=at_ms)
    numbers = iter(range(number))
    while batch := list(islice(numbers, _AT_ONCE)):
        pipe = store.db.pipeline(transaction=False)
        for index in batch:
            user = User.number(index)
            shard = store.layout.user_shard(user.aor)
            pipe.pexpireat(keys.registration(shard, user.aor), at_ms)
            pipe.pexpireat(keys.capabilities(shard, target(user.aor)), at_ms)
            subscription = stored_users.alike_subscription(one, user)
            pipe.set(keys.subscription(shard, subscription.id), codec.encode(subscription))
            pipe.zadd(keys.subscription_part(shard, "expiry"), {subscription.id: at_ms})
        pipe.execute()


def subscriptions(store: Store) -> int:
    """Return how many subscriptions there are."""
    pipe = store.db.pipeline(transaction=False)
    for shard in range(store.layout.user_shards):
        pipe.zcard(keys.subscription_part(shard, "expiry"))
    return int(sum(pipe.execute()))


def expired(store: Store) -> int:
    """Return how many keys Redis has removed since its start because their time was over."""
    return int(store.db.info("stats")["expired_keys"])
