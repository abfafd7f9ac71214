"""What `omapush doctor` looks at in Redis itself; of a Cluster, in each master."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from omapush import clock
from omapush.cli.checks import Finding, found_ok, found_wrong
from omapush.store import client
from omapush.store.client import Store, store_errors

OLDEST_REDIS: Final = 7
_PINGS: Final = 9
_SLOW_MS: Final = 20.0
_FULL: Final = 0.9


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
