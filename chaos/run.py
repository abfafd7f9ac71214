"""One run: a stack under load, faults one after the other, and what is left of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from chaos import faults, scene, verdict
from chaos.core import Core
from chaos.faults import Fault
from chaos.load import APPLICATION, Provider
from chaos.scene import Scene
from chaos.verdict import Verdict
from tests.fakes.initiator import NotificationSink
from tests.harness.stack import Settings

SETTINGS: Final[Settings] = {
    "delivery": {"transaction_s": 5},
    # Absent and silent cores last some seconds here, and a push is to live through several.
    f'application."{APPLICATION}"': {"retry": {"attempts": 30, "first_s": 0.5, "longest_s": 2.0}},
    "notify": {"first_retry_s": 0.5, "longest_retry_s": 2.0},
}
_BETWEEN_S: Final = 1.0
"So that a fault meets a stack at work, and not one that still recovers from the one before."
_SETTLE_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault and when it came, in seconds from the start."""

    at_s: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class Run:
    """All that a report needs."""

    seed: int
    place: str
    "What `redis.url` leads to."
    seconds: float
    providers: int
    possible: frozenset[str]
    "The kinds of faults that can be had on this machine."
    refused: int
    struck: list[Struck]
    settled_s: float
    "How long it took, after the last fault, until nothing was left to do."
    verdict: Verdict


def run(
    folder: Path,
    *,
    seed: int,
    seconds: float,
    providers: int,
    rate: float,
    most: int = sys.maxsize,
    place: str = scene.ONE,
    only: Sequence[str] = (),
) -> Run:
    """
    Strike for so many seconds, at most `most` times, let it settle, and judge.

    `rate`: pushes a second of all providers together. `place`: one of `scene.PLACES`. `only`: these kinds
    of faults; empty: all that can be done here.

    Raises:
        TimeoutError: It did not settle, or a part did not come up again; the text has the logs' ends.
    """
    core = Core(seed)
    with NotificationSink() as sink, scene.scene(folder, SETTINGS, core, place) as where:
        stack = where.stack
        possible = faults.kinds_of(where)
        kinds = [one for one in possible if not only or one.kind in only]
        clients = [Provider(stack, f"p{n}", rate / providers, sink.url) for n in range(providers)]
        for client in clients:
            client.start()
        try:
            struck = _strike(where, faults.plan(seed, kinds), seconds, most)
        finally:
            for client in clients:
                client.end()
        for client in clients:
            client.join(timeout=60)
        began = time.monotonic()
        verdict.settle(stack, _SETTLE_S)
        settled_s = time.monotonic() - began
        accepted = [push_id for client in clients for push_id in client.accepted]
        return Run(
            seed=seed,
            place=place,
            seconds=seconds,
            providers=providers,
            possible=frozenset(one.kind for one in possible),
            refused=sum(client.refused for client in clients),
            struck=struck,
            settled_s=settled_s,
            verdict=verdict.judge(stack, core, accepted, sink.received),
        )


def _strike(where: Scene, coming: Iterator[Fault], seconds: float, most: int) -> list[Struck]:
    struck: list[Struck] = []
    began = time.monotonic()
    for fault in islice(coming, most):
        at_s = time.monotonic() - began
        if at_s >= seconds:
            return struck
        struck.append(Struck(at_s, fault))
        faults.strike(fault, where)
        time.sleep(_BETWEEN_S)
    return struck
