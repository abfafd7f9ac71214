"""overload_goodput_pap, overload_goodput_json: pushes delivered while three times as many come."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from bench import http_flood, overload, overload_sip, sipp_rate
from bench.pap_to_delivered import delivered
from omapush.store import outbox, totals
from tests.harness.processes import Process
from tests.harness.stack import PARTS, PASSWORD, ROOT, Stack

_CONNECTIONS: Final = 2_048
"Of all providers together."
_LEAST_KEPT_UP: Final = 0.95
_SETTLED_S: Final = 60
_READY_S: Final = 30
_ENDED_S: Final = 60
_LONGER_S: Final = 0.5
"What the load lasts longer than it is measured: it must not end before."
_CREDENTIALS: Final = f"trusted:{PASSWORD}"
_numbers = count(0, 1_000_000)
"First numbers: no two tries use the same push-id, or the same user."


class Told(NamedTuple):
    """What providers have been told so far."""

    sent: int
    accepted: int
    refused: int
    other: int


class HttpFlood:
    """The process of the providers."""

    def __init__(self, stack: Stack, folder: Path, interface: str, rate: float, seconds: float) -> None:
        port = stack.http.rpartition(":")[2]
        words = [interface, port, _CREDENTIALS, *map(str, (_CONNECTIONS, rate, seconds, next(_numbers)))]
        self.process = Process(
            [sys.executable, "-m", "bench.http_flood", *words], log=folder / "flood.log", cwd=ROOT
        )
        self.process.log.unlink(missing_ok=True)

    def begin(self) -> None:
        """Return when it sends; all its requests are made before."""
        self.process.wait_until(lambda: "begins" in self.process.log_text(), _READY_S, "prepared requests")

    def told(self) -> Told:
        """Return the numbers that it told last; other lines are about answers that nobody expects."""
        whole = self.process.log_text().rpartition("\n")[0]
        for line in reversed(whole.splitlines()):
            words = line.split()
            if len(words) == len(Told._fields) and all(word.isdigit() for word in words):
                return Told(*map(int, words))
        return Told(0, 0, 0, 0)

    def refused(self) -> int:
        """Return how many were told 503."""
        return self.told().refused


class HttpFront:
    """One of the interfaces that pushes come by."""

    unit = "pushes/s"
    first = 400.0
    parts: Sequence[str] = PARTS

    def __init__(self, name: str, interface: Literal["pap", "json"]) -> None:
        self.name = name
        self._interface = interface

    @contextmanager
    def beside(self, folder: Path, stack: Stack) -> Iterator[None]:
        """Run the devices."""
        with sipp_rate.receiver(folder, stack.core_port):
            yield

    def peak(self, folder: Path, stack: Stack, first: float) -> float:
        """Return the highest rate at which all are accepted, and delivered while they come."""
        return sipp_rate.climbed(first, lambda rate: self._reached(folder, stack, rate))

    def calm(self, folder: Path, stack: Stack, rate: float) -> None:
        """Have one try at a rate that can be carried."""
        self._reached(folder, stack, rate)

    def _reached(self, folder: Path, stack: Stack, rate: float) -> float | None:
        before = delivered(stack)
        flood = HttpFlood(stack, folder, self._interface, rate, overload.PEAK_S)
        with flood.process:
            flood.begin()
            time.sleep(overload.PEAK_S)
            done = delivered(stack) - before  # what is still in line then was not carried while it came
            flood.process.wait_for_exit(_ENDED_S)
        told = flood.told()
        self.settle(stack)
        assert not told.other, f"{told.other} answers that nobody expects"
        wanted = rate * overload.PEAK_S * _LEAST_KEPT_UP
        kept_up = told.accepted == told.sent and done >= wanted
        return done / overload.PEAK_S if kept_up else None

    @contextmanager
    def flood(self, folder: Path, stack: Stack, rate: float) -> Iterator[HttpFlood]:
        """Have providers send so many a second; all that is accepted has to be delivered."""
        before = delivered(stack)
        seconds = overload.SETTLING_S + overload.SECONDS + _LONGER_S
        flood = HttpFlood(stack, folder, self._interface, rate, seconds)
        with flood.process:
            flood.begin()
            yield flood
            flood.process.wait_for_exit(_ENDED_S)
        told = flood.told()
        waiting = told.accepted - (delivered(stack) - before)
        print(f"{self.name}: {told}, {waiting} wait at the load's end", flush=True)
        assert not told.other, f"{told.other} answers that nobody expects"

    def done(self, stack: Stack) -> int:
        """Return how many are delivered and stored as delivered."""
        return delivered(stack)

    def is_taken(self, stack: Stack) -> bool:
        """Tell whether one more is accepted."""
        parts = urlsplit(stack.http)
        with socket.create_connection((parts.hostname or "", parts.port or 0), overload.WITHIN_S) as ours:
            ours.sendall(http_flood.REQUESTS[self._interface](next(_numbers), _CREDENTIALS))
            with suppress(TimeoutError):
                return http_flood.meaning(ours.recv(65_536)) == "accepted"
        return False

    def asked(self, stack: Stack) -> Mapping[str, Callable[[], bool]]:
        """Return OPTIONS, and what supervisors ask."""
        return {
            "OPTIONS": lambda: overload_sip.is_alive(stack),
            "/healthz": lambda: overload.is_ok(f"{stack.http}/healthz"),
            "/readyz": lambda: overload.is_ok(f"{stack.http}/readyz"),
        }

    def settle(self, stack: Stack) -> None:
        """Return when all that was ever accepted is delivered."""

        def is_delivered() -> bool:
            known = totals.read(stack.store)
            return known.ended.get("delivered", 0) == known.accepted and not outbox.depth(stack.store).all

        stack.parts["sip"].wait_until(is_delivered, _SETTLED_S, "all that was accepted delivered")


measure_pap = overload.measure(HttpFront("overload_goodput_pap", "pap"))
measure_json = overload.measure(HttpFront("overload_goodput_json", "json"))
