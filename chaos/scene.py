"""Where a run takes place: a stack, the Redis that it uses, the core, the clocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chaos.clocks import Clocks
from chaos.core import Core
from tests.harness.redis_servers import RedisCluster, Servers, Watched
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PARTS, Settings, Stack

ONE: Final = "one"
SENTINEL: Final = "sentinel"
CLUSTER: Final = "cluster"
PLACES: Final = (ONE, SENTINEL, CLUSTER)
"What `redis.url` leads to."


@dataclass(frozen=True, slots=True)
class Scene:
    """All that can be struck."""

    stack: Stack
    core: Core
    clocks: Clocks
    servers: Servers | None = None
    "The Redis servers where they are several; else the stack has its own."

    def clock_names(self) -> list[str]:
        """Each clock that can be stepped: of a part, or of one Redis server."""
        return self.clocks.names()


@contextmanager
def scene(folder: Path, settings: Settings, core: Core, place: str) -> Iterator[Scene]:
    """Start everything; it ends with the context."""
    clocks = Clocks(folder / "clocks")
    with ExitStack() as running:
        servers: Servers | None = None
        parts: tuple[str, ...] = PARTS
        tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in settings.items()}
        if place != ONE:
            kind: type[RedisCluster | Watched] = RedisCluster if place == CLUSTER else Watched
            several = kind(folder / "servers", environment=clocks.environment)
            servers = running.enter_context(several)
            tables.setdefault("redis", {}).update(several.settings)
            parts = tuple(part for part in PARTS if part != "redis")
        stack = Stack(folder / "stack", tables, parts, environment=clocks.environment)
        running.enter_context(SipPeer(stack.core_port, policy=core))
        running.enter_context(stack)
        yield Scene(stack, core, clocks, servers)
