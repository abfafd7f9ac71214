"""The state of all parts of the system, as rows that a page shows."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

from omapush import clock
from omapush.config import Config
from omapush.errors import PushError
from omapush.health import kamailio
from omapush.pap_http.probes import problem_of_kamailio
from omapush.protocol.sip_uri import host_and_port
from omapush.push import nodes
from omapush.push.alarm_rules import Hop
from omapush.push.alarms import Alarm
from omapush.store import alarms, msrp_workers, outbox_views, redis_state
from omapush.store import nodes as node_store
from omapush.store.client import Store
from omapush.store.redis_state import RedisState
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
    """All parts, and the alarms that stand."""

    parts: tuple[Part, ...]
    alarms: tuple[Alarm, ...]


async def look(config: Config, store: Store) -> System:
    """Return the state of all parts; what cannot be read is a part in a bad state."""
    sip_side = asyncio.create_task(_kamailio(config))
    alarmed = asyncio.create_task(asyncio.to_thread(alarms.standing, store, clock.now_ms()))
    try:
        parts = await asyncio.to_thread(_from_redis, config, store)
    except PushError as error:
        parts = [Part("Redis", "", "bad", "away", str(error))]
    return System((*parts, *await sip_side), tuple(await alarmed))


async def _kamailio(config: Config) -> list[Part]:
    """Kamailio of this node, its memory, and the next hops that it has sent to."""
    problem, exposed = await asyncio.gather(problem_of_kamailio(config), kamailio.exposition(config))
    address = next(one for one in config.sip.listen if one.startswith("udp:")).removeprefix("udp:")
    state = kamailio.read(exposed.decode(errors="replace"))
    detail = problem
    if state.memory_total and not problem:
        detail = f"{_mb(state.memory_total - state.memory_free)} of {_mb(state.memory_total)} shared memory"
    word = "silent" if problem else "answers"
    part = Part("Kamailio", f"of this node, {address}", "bad" if problem else "good", word, detail)
    known = {hop.name for hop in state.hops}
    quiet = [host_and_port(uri) for uri in (config.core.next_hop, *config.core.next_hops)]
    hops = [*state.hops, *(Hop(name, 0, 0) for name in dict.fromkeys(quiet) if name not in known)]
    return [part, *(_hop(hop, clock.now_ms()) for hop in hops)]


def _hop(hop: Hop, now_ms: int, node: str = "") -> Part:
    """A next hop as a node has found it; without `node` that is this one."""
    name = f"{hop.name} of {node}" if node else hop.name
    if hop.down_until_ms > now_ms:
        return Part("Next hop", name, "bad", "down", "nobody answers there; others are tried first")
    if hop.paused_until_ms > now_ms:
        left = span(hop.paused_until_ms - now_ms)
        return Part("Next hop", name, "warn", "paused", f"it answered 503; nothing is sent for {left}")
    return Part("Next hop", name, "good", "no trouble", "")


def _from_redis(config: Config, store: Store) -> list[Part]:
    now_ms = clock.now_ms()
    others = [one for one in alarms.nodes(store, now_ms) if one.node != config.node]
    return [
        *_redis(store),
        *_nodes(store),
        *_senders(store, now_ms),
        *_media(config, store),
        *(_hop(hop, now_ms, seen.node) for seen in others for hop in seen.hops),
    ]


def _redis(store: Store) -> list[Part]:
    asked = clock.monotonic()
    states = redis_state.read(store)
    took_ms = (clock.monotonic() - asked) * 1000 / len(states)
    return [
        _server(state, took_ms, number if len(states) > 1 else 0) for number, state in enumerate(states, 1)
    ]


def _server(state: RedisState, took_ms: float, number: int) -> Part:
    """One Redis; `number` tells masters of a cluster apart, 0: there is one."""
    name = f"{state.version}, master {number}" if number else state.version
    limit = f" of {_mb(state.limit_bytes)}" if state.limit_bytes else ""
    facts = [f"{took_ms:.1f} ms", f"{_mb(state.used_bytes)}{limit}", f"{state.clients} clients"]
    facts.append(f"up for {span(state.uptime_s * 1000)}")
    if state.replicas:
        facts.append(f"{state.replicas} replicas")
    if state.persistence:
        return Part("Redis", name, "warn", state.persistence, ", ".join(facts))
    return Part("Redis", name, "good", state.role or "answers", ", ".join(facts))


def _nodes(store: Store) -> list[Part]:
    """Each node with its processes."""
    parts = []
    for name, signs in nodes.by_node(node_store.live(store)).items():
        state = nodes.node_state(signs)
        kinds = ", ".join(sorted({sign.kind for sign in signs}))
        parts.append(Part("Node", name, "good" if state == nodes.SERVING else "warn", state, kinds))
    return parts


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
