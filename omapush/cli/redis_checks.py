"""What `omapush doctor` looks at in Redis itself; of a Cluster, in each master."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from omapush import clock
from omapush.cli import launch
from omapush.cli.checks import Finding, found_ok, found_wrong, skipped
from omapush.config import RedisSection
from omapush.errors import PushError
from omapush.store import client
from omapush.store.client import Store, store_errors

OLDEST_REDIS: Final = 7
_PINGS: Final = 9
_SLOW_MS: Final = 20.0
_FULL: Final = 0.9
_FILE: Final = "redis configuration file"
_UNPACKED: Final = "a push takes 400 bytes more, and when many wait Redis a tenth more of a processor"


def itself(store: Store) -> Iterator[Finding]:
    """Check version, memory, and how quickly it answers."""
    with store_errors("info"):
        told = [one.info() for one in client.servers(store)]
    yield _version(told)
    yield _latency(store)
    yield _memory(told)


def _version(told: list[dict[str, Any]]) -> Finding:
    """Valkey says which Redis it speaks as, and its own version beside it."""
    text = ", ".join(sorted({_name_of(one) for one in told}))
    if any(int(str(one["redis_version"]).partition(".")[0]) < OLDEST_REDIS for one in told):
        effect = "it has no functions: nothing works"
        return found_wrong("redis version", text, effect, f"install Redis {OLDEST_REDIS} or later")
    return found_ok("redis version", text)


def _name_of(told: dict[str, Any]) -> str:
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}, speaks as Redis {told['redis_version']}"
    return str(told["redis_version"])


def _latency(store: Store) -> Finding:
    spans_ms = sorted(_ping_ms(store) for _ in range(_PINGS))
    middle_ms = spans_ms[len(spans_ms) // 2]
    text = f"{middle_ms:.1f} ms for a question"
    if middle_ms > _SLOW_MS:
        action = "is it far away, does it swap, does its disk hold it up, is one processor too few?"
        return found_wrong("redis latency", text, "every push waits for several of them", action)
    return found_ok("redis latency", text)


def _ping_ms(store: Store) -> float:
    servers = client.servers(store)
    began = clock.monotonic()
    with store_errors("ping"):
        for one in servers:
            one.ping()
    return (clock.monotonic() - began) * 1000 / max(len(servers), 1)


def _memory(told: list[dict[str, Any]]) -> Finding:
    used = [(int(one["used_memory"]), int(one.get("maxmemory", 0))) for one in told]
    text = ", ".join(f"{mine >> 20} MB" + (f" of {most >> 20} MB" if most else "") for mine, most in used)
    if any(most and mine > most * _FULL for mine, most in used):
        return found_wrong(
            "redis memory", f"{text} used", "pushes are refused with 503", "a larger maxmemory"
        )
    bounded = all(most for _, most in used)
    return found_ok("redis memory", f"{text} used" + ("" if bounded else ", no maxmemory"))


def settings(store: Store) -> Iterator[Finding]:
    """Check what Redis must be set to so that nothing accepted is lost, and what makes pushes cheap."""
    wanted = (
        ("appendonly", "yes", "what was accepted is lost when Redis restarts"),
        ("maxmemory-policy", "noeviction", "Redis may throw away pushes and registrations when it is full"),
        *((name, right, _UNPACKED) for name, right in launch.PACKED_HASHES.items()),
    )
    for name, right, effect in wanted:
        try:
            found = ", ".join(sorted(_values(store, name)))
        except PushError as error:
            yield skipped(name, f"Redis does not tell: {error}")
            continue
        if found == right:
            yield found_ok(name, found)
        else:
            yield found_wrong(name, found, effect, f"redis-cli config set {name} {right}, and in redis.conf")


def restarts(settings: RedisSection, store: Store) -> Iterator[Finding]:
    """Check that a master that Sentinels made is one after its restart, too; else nothing to check."""
    if settings.place.kind != "sentinel":
        return
    with store_errors("info"):
        told = [one.info("server") for one in client.servers(store)]
    if any("config_file" not in one for one in told):
        yield skipped(_FILE, "Redis does not tell")
    elif all(one["config_file"] for one in told):
        yield found_ok(_FILE, ", ".join(str(one["config_file"]) for one in told))
    else:
        effect = "a restart undoes what Sentinels changed: then there may be no master, until somebody helps"
        action = "start each server with a redis.conf that it may write, and replicaof only in there"
        yield found_wrong(_FILE, "none: it was started without a redis.conf", effect, action)


def _values(store: Store, name: str) -> set[str]:
    """Return what a setting is, of each server; those that do not let CONFIG be asked tell some by INFO."""
    try:
        with store_errors(name):
            return {str(one.config_get(name).get(name, "")) for one in client.servers(store)}
    except PushError:
        if name not in _BY_INFO:
            raise
        with store_errors(name):
            return {_BY_INFO[name](one.info()) for one in client.servers(store)}


_BY_INFO: Final[Mapping[str, Callable[[dict[str, Any]], str]]] = {
    "appendonly": lambda info: "yes" if info["aof_enabled"] else "no",
    "maxmemory-policy": lambda info: str(info["maxmemory_policy"]),
}
