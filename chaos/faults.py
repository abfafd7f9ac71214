"""The faults: what is done to a running scene, for how long, and how it is made good again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from chaos import disk, network
from chaos.core import Mood
from chaos.scene import Scene
from tests.harness.processes import Process
from tests.harness.redis_servers import Servers
from tests.harness.wait import wait_until

_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 3.0
_TAKE_OVER_S: Final = 4.0
"What a master is away longer for: some are replaced, some are back before."
_STEP_S: Final = 45.0
"How far a clock is stepped at most: less than a push may wait, more than any lease and retry of a run."
_WHOLE_S: Final = 60.0
"Sentinels let a master that comes back be one for some ten seconds."
KILLED: Final = "kill -9"
FROZEN: Final = "SIGSTOP"
MOOD: Final = "core"
FULL: Final = "disk full"
STEPPED: Final = "clock"
NETWORK: Final = "loopback"
MASTER: Final = "master"
REPLICA: Final = "replica"
ALL: Final = "all"


class Kind(NamedTuple):
    """What goes wrong, with what."""

    kind: str
    what: str
    "Part of the stack, server, clock, the core's mood, what the loopback does."


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    what: str
    lasts_s: float
    by_s: float = 0.0
    "How far a clock is stepped."

    def __str__(self) -> str:
        step = f" by {self.by_s:+.1f} s" if self.kind == STEPPED else ""
        return f"{self.kind} {self.what}{step} for {self.lasts_s:.1f} s"


def kinds_of(scene: Scene) -> list[Kind]:
    """Each thing that can be done to it on this machine."""
    parts = list(scene.stack.parts)
    several = [MASTER, REPLICA] if scene.servers else []
    found = [Kind(KILLED, part) for part in (*parts, *several)]
    found += [Kind(FROZEN, part) for part in (*parts, *several)]
    found += [Kind(MOOD, mood.name) for mood in Mood if mood is not Mood.WELL]
    found.append(Kind(FULL, MASTER if scene.servers else "redis"))
    if clocks := scene.clock_names():
        found += [Kind(STEPPED, name) for name in (*clocks, ALL)]
    return found + [Kind(NETWORK, what) for what in network.kinds()]


def plan(seed: int, kinds: Sequence[Kind]) -> Iterator[Fault]:
    """
    Give faults without end, the same for the same seed and kinds.

    Each round has every fault once, in an order of its own, so that a short run misses none.
    """
    chance = random.Random(seed)
    while True:
        for kind, what in chance.sample(kinds, len(kinds)):
            longest = _LONGEST_S + (_TAKE_OVER_S if what == MASTER else 0.0)
            lasts_s, by_s = chance.uniform(_SHORTEST_S, longest), chance.uniform(-_STEP_S, _STEP_S)
            yield Fault(kind, what, lasts_s, by_s if kind == STEPPED else 0.0)


def strike(fault: Fault, scene: Scene) -> None:
    """
    Let it happen, and return when all parts run again.

    Raises:
        TimeoutError: something did not come back.
    """
    if fault.what in (MASTER, REPLICA) and scene.servers:
        _strike_server(fault, scene.servers)
    elif fault.kind == KILLED:
        scene.stack.kill(fault.what)
        time.sleep(fault.lasts_s)
        scene.stack.start(fault.what)
    else:
        with _wrong(fault, scene):
            time.sleep(fault.lasts_s)


@contextmanager
def _wrong(fault: Fault, scene: Scene) -> Iterator[None]:
    """Have it wrong for as long as the context lasts."""
    stack = scene.stack
    if fault.kind == FROZEN:
        with _frozen(stack.parts[fault.what]):
            yield
    elif fault.kind == FULL:
        with disk.full(stack.parts[fault.what].pid, stack.run_dir):
            yield
    elif fault.kind == STEPPED:
        names = scene.clock_names() if fault.what == ALL else [fault.what]
        with scene.clocks.stepped(names, fault.by_s):
            yield
    elif fault.kind == NETWORK:
        with network.disturbed(fault.what):
            yield
    else:
        scene.core.mood = Mood[fault.what]
        yield
        scene.core.mood = Mood.WELL


def _strike_server(fault: Fault, servers: Servers) -> None:
    """Do it to a Redis server; the others do what they do then, and all is whole again before the next."""
    master = servers.master()
    index = master if fault.what == MASTER else servers.replica_of(master)
    server = servers.nodes[index]
    if fault.kind == KILLED:
        server.kill()
        time.sleep(fault.lasts_s)
        server.start()
    elif fault.kind == FULL:
        with disk.full(server.pid, server.log.parent):
            time.sleep(fault.lasts_s)
    else:
        with _frozen(server):
            time.sleep(fault.lasts_s)
    wait_until(servers.is_whole, _WHOLE_S, lambda: f"servers that are whole after {fault}")


@contextmanager
def _frozen(process: Process) -> Iterator[None]:
    process.signal_group(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal_group(signal.SIGCONT)
