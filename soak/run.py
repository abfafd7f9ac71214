"""One run: a stack with devices and a provider, a load, samples of everything, and what they show."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from chaos import verdict as promises
from omapush.store import outbox, owed
from soak import redis_probe
from soak.ledger import Kept
from soak.mix import LATE_S, PLATEAU_S, SETTINGS, Mix
from soak.probes import Processes
from soak.provider import Provider
from soak.series import REGISTRATIONS, SUBSCRIPTIONS, Samples, Series
from soak.trend import Trend
from tests.harness.processes import Process
from tests.harness.scscf import Scscf
from tests.harness.stack import ROOT, Stack
from tests.harness.wait import wait_until

PARTS: Final = ("redis", "sip", "api", "notifier", "msrp")
_REGISTERED_S: Final = 120.0
_KNOWN_S: Final = 300.0
_SETTLE_S: Final = 180.0
_STEP_S: Final = 5.0
"How long each rate is tried while the highest one is looked for."
_FIRST_RATE: Final = 50.0
_STEP: Final = 1.3
_KEPT_UP: Final = 0.95


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run is asked for."""

    seconds: float
    "Of load, warm-up included."
    receivers: int
    rate: float
    "Pushes a second; 0: half of the highest that is found."
    every_s: float = 10.0
    "From one sample to the next; keys of Redis are counted a third as often."

    @property
    def warm_up_s(self) -> float:
        """A third of it, an hour at most, but until nearly all has its plateau: even if it ends before."""
        return max(min(self.seconds / 3, 3_600), PLATEAU_S)


@dataclass(frozen=True, slots=True)
class Run:
    """All that a report needs."""

    wish: Wish
    seconds: float
    "Of load: as many as were asked for, unless somebody ended it."
    rate: float
    reached: float
    "Pushes accepted a second after the warm-up; of a shorter run, all the time."
    samples: Samples
    measured_from_s: float
    "When the warm-up was over, on the clock of the samples."
    trends: dict[Series, Trend]
    kept: Kept
    refused: int
    settled_s: float
    unsettled: list[str]
    "What still waited when it should have been over."
    unbalanced: list[str]
    ended: list[str]
    "Processes that ended during the run."
    devices: dict[str, Any]
    "What they counted, at the end."
    delivered: int
    "Results `delivered`."

    @property
    def grows(self) -> list[Series]:
        """What grows."""
        return [series for series, trend in self.trends.items() if trend.grows]

    @property
    def not_judged(self) -> list[Series]:
        """What it was too short for."""
        return [series for series, trend in self.trends.items() if not trend.is_known]

    @property
    def again(self) -> list[str]:
        """The first pushes that devices took more than once."""
        told: list[str] = self.devices["again"]
        return told

    @property
    def taken(self) -> int:
        """Pushes that applications on devices took."""
        return sum(number for name, number in self.devices["taken"].items() if name != "refused")

    @property
    def holds(self) -> bool:
        """Tell whether nothing grew, nothing ended by itself and every promise was kept."""
        promised = self.kept.faultless and not self.unbalanced
        once = self.taken == self.delivered and not self.again
        return promised and once and not (self.grows or self.ended or self.unsettled)


def run(folder: Path, wish: Wish, over: threading.Event, tell: Callable[[str], None]) -> Run:
    """
    Load a stack, let it settle, and judge; `tell` hears how far it is.

    `over`: set by who wants the load to end now, and what there is to be judged.

    Raises:
        TimeoutError: It did not start; the text has the logs' ends.
        ProcessEnded: A part did not start.
    """
    stack = Stack(folder / "stack", SETTINGS, PARTS)
    with ExitStack() as running:
        running.enter_context(stack)
        scscf = running.enter_context(Scscf.of(stack, folder / "scscf", "WITH_ISC_SUBSCRIBE"))
        devices = running.enter_context(_devices(folder, scscf, wish.receivers))
        provider = running.enter_context(Provider(stack.http, Mix(wish.receivers)))
        _wait_for_devices(devices, stack, wish.receivers)
        rate = wish.rate or _half_of_highest(stack, provider, over, tell)
        tell(f"{rate:.0f} pushes a second to {wish.receivers:,} receivers")
        leaders = {part: process.pid for part, process in stack.parts.items()}
        processes = Processes(leaders | {"receivers": devices.pid}, stack.control)
        samples = Samples()
        provider.push_at(rate)
        seconds, reached = _measure(stack, provider, processes, samples, wish, over, tell)
        provider.push_at(0)
        began = time.monotonic()
        unsettled = _unsettled(stack, provider)
        settled_s = time.monotonic() - began
        unbalanced = promises.unbalanced(stack)
        devices.stop(patience_s=60)
        kept = provider.ledger.close()
        return Run(
            wish=wish,
            seconds=seconds,
            rate=rate,
            reached=reached,
            samples=samples,
            measured_from_s=wish.warm_up_s,
            trends=samples.trends(wish.warm_up_s),
            kept=kept,
            refused=provider.refused,
            settled_s=settled_s,
            unsettled=unsettled,
            unbalanced=unbalanced,
            ended=processes.ended,
            devices=told_by(devices),
            delivered=sum(number for name, number in kept.states.items() if name.endswith(" delivered")),
        )


def _devices(folder: Path, scscf: Scscf, count: int) -> Process:
    command = [sys.executable, "-m", "soak.devices", str(count), scscf.uri]
    return Process(command, log=folder / "devices.log", cwd=ROOT)


def told_by(devices: Process) -> dict[str, Any]:
    """Return what the devices said last; nothing yet: they are not registered."""
    lines = [line for line in devices.log_text().splitlines() if line.startswith("{")]
    told: dict[str, Any] = json.loads(lines[-1]) if lines else {"registered": 0, "failed": 0, "taken": {}}
    return told


def _wait_for_devices(devices: Process, stack: Stack, count: int) -> None:
    """
    Return when all have registered and the server knows them and what they subscribe to.

    It refuses some while they all come at once; these come again with their next refresh.
    """
    devices.wait_until(
        lambda: told_by(devices)["registered"] == count, _REGISTERED_S, f"{count} registered devices"
    )

    def known() -> tuple[int, int]:
        number = redis_probe.keys(stack.db)
        return int(number.get(REGISTRATIONS, 0)), int(number.get(SUBSCRIPTIONS, 0))

    def what() -> str:
        return (
            f"server that knows {count} devices and their subscriptions, but {known()}: try fewer RECEIVERS"
        )

    wait_until(lambda: known() == (count, count), _KNOWN_S, what, poll_s=1.0)


def _half_of_highest(
    stack: Stack, provider: Provider, over: threading.Event, tell: Callable[[str], None]
) -> float:
    """Return half of the highest rate that is accepted, delivered and told without a queue."""
    rate, best = _FIRST_RATE, 0.0
    while True:
        before, began = provider.ledger.accepted, time.monotonic()
        provider.push_at(rate)
        over.wait(_STEP_S)
        reached = (provider.ledger.accepted - before) / (time.monotonic() - began)
        queued = outbox.depth(stack.store).ready + owed.count(stack.store)
        provider.push_at(0)
        _settle(stack, provider)
        tell(f"tried {rate:.0f} pushes a second: {reached:.0f} accepted, {queued} queued")
        if reached < rate * _KEPT_UP or queued > rate or over.is_set():
            return max(best, _FIRST_RATE) / 2
        best, rate = rate, rate * _STEP


def _settle(stack: Stack, provider: Provider) -> None:
    ledger = provider.ledger
    wait_until(lambda: ledger.accepted == ledger.begun, _SETTLE_S, "answers to all pushes")
    promises.settle(stack, _SETTLE_S)


def _unsettled(stack: Stack, provider: Provider) -> list[str]:
    """Wait until nothing is under way; a report of hours is not lost when that never comes."""
    try:
        _settle(stack, provider)
    except TimeoutError as error:
        return [str(error).partition("\n")[0]]
    return []


def _sampled(stack: Stack, processes: Processes, *, with_keys: bool) -> dict[Series, float]:
    """Return what is in use now; of Redis nothing when it does not answer."""
    values = processes.sample()
    with suppress(RedisError):
        values |= redis_probe.memory(stack.db)
        if with_keys:
            values |= redis_probe.keys(stack.db)
    return values


def _measure(
    stack: Stack,
    provider: Provider,
    processes: Processes,
    samples: Samples,
    wish: Wish,
    over: threading.Event,
    tell: Callable[[str], None],
) -> tuple[float, float]:
    """Sample until it is over; returns how long that was, and the rate of acceptance after the warm-up."""
    began = time.monotonic()
    accepted_before, warm_at = provider.ledger.accepted, math.nan
    for number in range(int(wish.seconds / wish.every_s) + 1):
        if over.wait(max(0.0, began + number * wish.every_s - time.monotonic())):
            break
        at_s = time.monotonic() - began
        samples.add(at_s, _sampled(stack, processes, with_keys=number % 3 == 0))
        late = provider.ledger.look(at_s, LATE_S)
        if math.isnan(warm_at) and at_s >= wish.warm_up_s:
            accepted_before, warm_at = provider.ledger.accepted, at_s
        if number % 30 == 0:
            told = f"{provider.ledger.accepted:,} accepted, {provider.ledger.told:,} told, {late} late"
            tell(f"{at_s:.0f} s: {told}")
    ended_s = time.monotonic() - began
    measured_s = ended_s if math.isnan(warm_at) else ended_s - warm_at
    return ended_s, (provider.ledger.accepted - accepted_before) / max(measured_s, 1.0)
