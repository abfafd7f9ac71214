"""A client for each form of `redis.url`: one server, the master that Sentinels name, a Cluster."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import AbstractConnection
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from omapush.config import RedisSection
from omapush.store.cluster import Cluster


class _Closing(SentinelManagedConnection):
    """
    A connection that is closed when an answer did not come in time.

    The library closes its others then; those to a master that Sentinels name it would use on, and the next
    question would get the answer of the one before.
    """

    def read_response(self, *args: Any, disconnect_on_error: bool | None = True, **kwargs: Any) -> Any:
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **kwargs)


class _ClosingByTls(_Closing, SentinelManagedSSLConnection):
    """The same by TLS."""


def client_of(settings: RedisSection, timeout_s: float) -> tuple[redis.Redis, Cluster | None]:
    """
    Return a client whose sockets are opened on first use, and the Cluster when it is one.

    A connection that Redis closed is opened once more; a time-out is not repeated.

    Raises:
        BadConfiguration: a password file cannot be read or is empty.
    """
    place = settings.place
    waits: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    if place.kind == "one":
        return redis.Redis.from_url(settings.url, **settings.access(), **waits, retry=retry), None
    access = settings.access()
    if place.tls:
        access["ssl"] = True
    if place.user:
        access["username"] = place.user
    if place.password and "password" not in access:
        access["password"] = place.password
    if place.kind == "sentinel":
        return _master(settings, access, waits, retry), None
    # Each of the library's own tries may wait for the whole time-out: two are enough.
    cluster = Cluster(
        lambda: RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in place.nodes],  # type: ignore[no-untyped-call]
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **access,
            **waits,
        )
    )
    return cluster, cluster


def is_replaced(pool: redis.ConnectionPool, connection: AbstractConnection) -> bool:
    """
    Tell whether any Sentinel names another master than the server of this connection, or is replacing it.

    For when no replica has what was stored: a master that stood still while it was replaced thinks for some
    ten seconds more that it is the master, and what it takes then is lost. The replica is promoted a second
    or two before the first Sentinel names it.
    """
    if not isinstance(pool, SentinelConnectionPool):
        return False
    ours = (connection.host, connection.port)  # type: ignore[attr-defined]
    for sentinel in pool.sentinel_manager.sentinels:
        with suppress(redis.RedisError, OSError):
            seen: Any = sentinel.sentinel_master(pool.service_name)
            if (seen["ip"], seen["port"]) != ours or "failover_in_progress" in seen["flags"].split(","):
                return True
    return False


def _master(
    settings: RedisSection, access: dict[str, Any], waits: dict[str, Any], retry: Retry
) -> redis.Redis:
    """A client that asks the Sentinels for the master with each new connection."""
    place = settings.place
    of_sentinels = {key: value for key, value in access.items() if key.startswith("ssl")}
    if password := settings.sentinel_password():
        of_sentinels["password"] = password
    # One that does not answer is not to cost the time that the next one needs to say who the master is.
    shorter = {key: value / (len(place.nodes) + 1) for key, value in waits.items()}
    once = Retry(NoBackoff(), 0)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        place.nodes, sentinel_kwargs={**of_sentinels, **shorter, "retry": once}, **access, **waits
    )
    found: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        place.service,
        db=place.database,
        retry=retry,
        connection_class=_ClosingByTls if place.tls else _Closing,
    )
    return found
