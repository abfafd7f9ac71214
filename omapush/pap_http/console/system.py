"""The state of all parts of the system, as rows that a page shows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal, NamedTuple

from omapush import clock
from omapush.config import Config
from omapush.errors import PushError
from omapush.pap_http.probes import problem_of_kamailio
from omapush.store import msrp_workers, outbox_views, redis_state
from omapush.store.client import Store
from omapush.views.words import span

Health = Literal["good", "warn", "bad"]


class Part(NamedTuple):
    """One process or server."""

    kind: str
    name: str
    health: Health
    state: str
    "In a word or two."
    detail: str


class System(NamedTuple):
    """All parts, and what is wrong with them in a sentence each."""

    parts: tuple[Part, ...]
    problems: tuple[str, ...]


async def look(config: Config, store: Store) -> System:
    """Return the state of all parts; what cannot be read is a part in a bad state."""
    kamailio = asyncio.create_task(problem_of_kamailio(config))
    try:
        parts = await asyncio.to_thread(_from_redis, config, store)
    except PushError as error:
        parts = [Part("Redis", "", "bad", "away", str(error))]
    problem = await kamailio
    address = next(one for one in config.sip.listen if one.startswith("udp:")).removeprefix("udp:")
    name, state = f"of this node, {address}", "silent" if problem else "answers"
    parts.append(Part("Kamailio", name, "bad" if problem else "good", state, problem))
    return System(tuple(parts), tuple(_problems(parts)))


def _problems(parts: Iterable[Part]) -> list[str]:
    return [f"{one.kind} {one.name} {one.state}: {one.detail}" for one in parts if one.health == "bad"]


def _from_redis(config: Config, store: Store) -> list[Part]:
    now_ms = clock.now_ms()
    return [_redis(store), *_senders(store, now_ms), *_media(config, store)]


def _redis(store: Store) -> Part:
    asked = clock.monotonic()
    state = redis_state.read(store)
    took_ms = (clock.monotonic() - asked) * 1000
    limit = f" of {_mb(state.limit_bytes)}" if state.limit_bytes else ""
    facts = [f"{took_ms:.1f} ms", f"{_mb(state.used_bytes)}{limit}", f"{state.clients} clients"]
    if state.replicas:
        facts.append(f"{state.replicas} replicas")
    if state.persistence:
        return Part("Redis", state.version, "warn", state.persistence, ", ".join(facts))
    return Part("Redis", state.version, "good", state.role or "answers", ", ".join(facts))


def _senders(store: Store, now_ms: int) -> list[Part]:
    """Kamailio on each node by the user shards that its senders own, and shards that nobody owns."""
    owned: dict[str, list[int]] = {}
    since: dict[str, int] = {}
    for number, owner in outbox_views.owners(store).items():
        is_live = int(owner.get("until_ms", 0)) > now_ms
        node = owner["node"] if is_live else ""
        owned.setdefault(node, []).append(number)
        if is_live:
            since[node] = min(since.get(node, now_ms), int(owner.get("since_ms", now_ms)))
    orphans = owned.pop("", [])
    parts = [
        Part("Senders", node, "good", f"{len(shards)} shards", f"for {span(now_ms - since[node])}")
        for node, shards in sorted(owned.items())
    ]
    if orphans:
        numbers = ", ".join(map(str, orphans))
        detail = f"pushes to the users of user shard {numbers} wait: start omapush sip"
        parts.append(Part("Senders", "none", "bad", f"{len(orphans)} shards without owner", detail))
    return parts


def _media(config: Config, store: Store) -> list[Part]:
    live = msrp_workers.live(store)
    if not live and config.sessions.enabled:
        return [Part("Media worker", "none", "warn", "none lives", "large pushes by session wait")]
    return [Part("Media worker", one.name, "good", f"{one.streams} streams", "") for one in live]


def _mb(size: int) -> str:
    return f"{size / 1_048_576:,.0f} MB"
