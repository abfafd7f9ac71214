"""The faults: what is done to a running stack, for how long, and how it is made good again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from chaos.core import Core, Mood
from tests.harness.stack import Stack

_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 3.0
_KILLED: Final = "kill -9"
_FROZEN: Final = "SIGSTOP"
_MOOD: Final = "core"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    what: str
    "Part of the stack, or the core's mood."
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.kind} {self.what} for {self.lasts_s:.1f} s"


def plan(seed: int, parts: tuple[str, ...]) -> Iterator[Fault]:
    """
    Give faults without end, the same for the same seed.

    Each round has every fault once, in an order of its own, so that a short run misses none.
    """
    chance = random.Random(seed)
    moods = [mood for mood in Mood if mood is not Mood.WELL]
    while True:
        kinds = [(_KILLED, part) for part in parts]
        kinds += [(_FROZEN, part) for part in parts]
        kinds += [(_MOOD, mood.name) for mood in moods]
        chance.shuffle(kinds)
        for kind, what in kinds:
            yield Fault(kind, what, chance.uniform(_SHORTEST_S, _LONGEST_S))


def strike(fault: Fault, stack: Stack, core: Core) -> None:
    """Let it happen, and return when all parts run again."""
    if fault.kind == _KILLED:
        stack.kill(fault.what)
        time.sleep(fault.lasts_s)
        stack.start(fault.what)
    elif fault.kind == _FROZEN:
        with _frozen(stack, fault.what):
            time.sleep(fault.lasts_s)
    else:
        core.mood = Mood[fault.what]
        time.sleep(fault.lasts_s)
        core.mood = Mood.WELL


@contextmanager
def _frozen(stack: Stack, part: str) -> Iterator[None]:
    process = stack.parts[part]
    process.signal_group(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal_group(signal.SIGCONT)
