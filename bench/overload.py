"""
What is carried on to its end while three times as many come as can be carried: the same for each front.

The product has half of the cores and its load the other half, on both sides of the ratio: who sends three
times as much also takes three times the processor, which it must not take from what it measures.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from bench import cores, full_size
from bench.cpu import CpuTime, middle
from bench.figure import Figure, compared
from tests.harness.stack import Stack

TIMES: Final = 3
PEAK_S: Final = 6.0
"In two seconds, as others measure, what waits in the end is 15 % of what came: more than can be carried on."
SETTLING_S: Final = 2.0
"Not measured: the load has just begun."
SECONDS: Final = 8.0
_AGAIN_FROM: Final = 0.8
"Part of a peak from which it is looked for again."
_MOST_LOWER: Final = 4
_LEAST_ANSWERED: Final = 0.9
"Part of what is asked meanwhile that has to be answered, each kind by itself."
_ASKED_EVERY_S: Final = 0.25
"Many times as often as supervisors do, and no load of its own, which the peak has not."
WITHIN_S: Final = 2.0
"An answer that comes later is none."
_LONGEST_RECOVERY_S: Final = 10.0
"After the load's end, until nothing is refused any more."
_IN_A_ROW: Final = 20
"Requests taken one after the other that show it."


class Flood(Protocol):
    """A load that takes a refusal for an answer."""

    def refused(self) -> int:
        """Return how many were told to come again so far."""


class Front(Protocol):
    """What is measured: what comes in, and how its end is seen."""

    @property
    def name(self) -> str:
        """Name of the figure."""

    @property
    def unit(self) -> str:
        """What its rates count."""

    @property
    def first(self) -> float:
        """Rate of the first try for the peak."""

    @property
    def parts(self) -> Sequence[str]:
        """Return the processes that take part."""

    def beside(self, folder: Path, stack: Stack) -> AbstractContextManager[None]:
        """Run the peers that the product needs for it."""

    def peak(self, folder: Path, stack: Stack, first: float) -> float:
        """Return the highest rate that is carried without loss, from `first` on; 0: even that is too much."""

    def calm(self, folder: Path, stack: Stack, rate: float) -> None:
        """Have one try at a rate that can be carried."""

    def flood(self, folder: Path, stack: Stack, rate: float) -> AbstractContextManager[Flood]:
        """Send so many a second until it is left, whatever becomes of them."""

    def done(self, stack: Stack) -> int:
        """Return how many have got to their end so far."""

    def is_taken(self, stack: Stack) -> bool:
        """Tell whether one more is taken."""

    def asked(self, stack: Stack) -> Mapping[str, Callable[[], bool]]:
        """Return what has to stay answered, by name."""

    def settle(self, stack: Stack) -> None:
        """Return when all that was taken has got to its end."""


class Carried(NamedTuple):
    """What was carried for some seconds."""

    done: float
    "A second, to their end."
    cpu_us: dict[str, float]
    "What one of these cost, with all that was spent on the others."


def measure(front: Front) -> Callable[[Path, int], Figure]:
    """Return what measures the peak of a front and, at three times its load, what is carried."""

    def figure(folder: Path, rounds: int) -> Figure:
        peaks: list[float] = []
        at_peak: list[dict[str, float]] = []
        over: list[Carried] = []
        for number in range(rounds):
            peak, calm, carried = _round(front, folder / str(number))
            peaks.append(peak)
            at_peak.append(calm)
            over.append(carried)
        cpu_us = {"below the peak": middle(at_peak), "at three times": middle([one.cpu_us for one in over])}
        against = "the highest rate without loss"
        return compared(front.name, front.unit, against, [one.done for one in over], peaks, cpu_us)

    return figure


def _round(front: Front, folder: Path) -> tuple[float, dict[str, float], Carried]:
    """Each part has a product of its own: what was too much leaves requests behind that nobody answers."""
    with cores.awake() as are_awake:
        if not are_awake:
            print(f"{front.name}: cores may sleep, for /dev/cpu_dma_latency is not ours to open", flush=True)
        return _measured(front, folder)


def _measured(front: Front, folder: Path) -> tuple[float, dict[str, float], Carried]:
    before = _peak(front, folder / "before", front.first)
    product, load = cores.halves()
    with _started(front, folder / "flood", product, load) as stack:
        calm = _cost(front, folder / "flood", stack, before * 0.9)
        with front.flood(folder / "flood", stack, before * TIMES) as flood:
            time.sleep(SETTLING_S)
            carried = _carried(front, stack, flood, before)
        _recover(front, stack)
    after = _peak(front, folder / "after", before * _AGAIN_FROM)
    print(f"{front.name}: the peak was {before:,.0f} before and is {after:,.0f} after that", flush=True)
    return (before + after) / 2, calm, carried


def _peak(front: Front, folder: Path, first: float) -> float:
    """The highest rate without loss; tried from lower ones on when the first is too much."""
    product, load = cores.halves()
    with _started(front, folder, product, load) as stack:
        for _ in range(_MOST_LOWER):
            if found := front.peak(folder, stack, first):
                return found
            first *= _AGAIN_FROM
    raise RuntimeError(f"{front.name}: not even {first:,.0f} a second: what else is the machine at?")


@contextmanager
def _started(front: Front, folder: Path, product: frozenset[int], load: frozenset[int]) -> Iterator[Stack]:
    """The product on its cores, while this process and all that it starts are on those of the load."""
    stack = full_size.stack(folder, front.parts)
    try:
        with cores.on(product):
            stack.__enter__()
        with cores.on(load), front.beside(folder, stack):
            yield stack
    finally:
        stack.__exit__(None, None, None)


def _spent(stack: Stack) -> CpuTime:
    return CpuTime({part: process.pid for part, process in stack.parts.items()}, stack.control)


def _cost(front: Front, folder: Path, stack: Stack, rate: float) -> dict[str, float]:
    """What one costs the product while all are carried."""
    before, spent = front.done(stack), _spent(stack)
    front.calm(folder, stack, rate)
    return spent.per_one_us(max(front.done(stack) - before, 1))


def _carried(front: Front, stack: Stack, flood: Flood, peak: float) -> Carried:
    """What gets to its end for as long as it is measured; what has to stay answered is, all the while."""
    spent, began = _spent(stack), time.monotonic()
    done, refused = front.done(stack), flood.refused()
    over = threading.Event()
    asked = [_Asked(name, ask, over) for name, ask in front.asked(stack).items()]
    time.sleep(SECONDS)
    done, refused = front.done(stack) - done, flood.refused() - refused
    seconds, cpu_us = time.monotonic() - began, spent.per_one_us(max(done, 1))
    over.set()
    for one in asked:
        one.join()
    answers = "; ".join(map(str, asked))
    print(
        f"{front.name}: {done / seconds:,.0f} of {peak:,.0f} a second carried, {refused / seconds:,.0f} "
        f"refused; answered {answers}",
        flush=True,
    )
    for one in asked:
        assert one.answered >= _LEAST_ANSWERED * one.number, f"answered {one}"
    return Carried(done / seconds, cpu_us)


def _recover(front: Front, stack: Stack) -> None:
    """Wait until nothing is refused any more, then until all that was taken is at its end."""
    began, in_a_row = time.monotonic(), 0
    while in_a_row < _IN_A_ROW:
        in_a_row = in_a_row + 1 if front.is_taken(stack) else 0
        took_s = time.monotonic() - began
        assert took_s < _LONGEST_RECOVERY_S, f"still refused {took_s:.1f} s after the load's end"
    front.settle(stack)
    ended_s = time.monotonic() - began
    print(
        f"{front.name}: nothing refused {took_s:.1f} s after the load's end, all done after {ended_s:.1f} s",
        flush=True,
    )


class _Asked(threading.Thread):
    """Asks one thing again and again, and counts."""

    def __init__(self, name: str, ask: Callable[[], bool], over: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._ask = ask
        self._over = over
        self.number = self.answered = 0
        self._longest_s = 0.0
        self.start()

    def run(self) -> None:
        while not self._over.wait(_ASKED_EVERY_S):
            began = time.monotonic()
            self.answered += self._ask()
            self.number += 1
            self._longest_s = max(self._longest_s, time.monotonic() - began)

    def __str__(self) -> str:
        return f"{self.name} {self.answered} of {self.number}, the slowest in {self._longest_s * 1000:.0f} ms"


def is_ok(url: str) -> bool:
    """Tell whether a GET is answered 200 in time."""
    return got(url)[0] == 200


def got(url: str) -> tuple[int, str]:
    """Return status and body of a GET; 0 and nothing when there is no answer in time."""
    parts = urlsplit(url)
    # A client of httpx takes more of a processor to be made than all that is measured to answer.
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=WITHIN_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def counted(stack: Stack, form: str) -> int:
    """Return what a metric of Kamailio says, 0 when it is not there yet; `form`: its name and labels."""
    status, text = got(f"http://127.0.0.1:{stack.sip[1]}/metrics")
    assert status == 200, "Kamailio does not tell its metrics"
    found = re.search(rf"^omapush_{form} +([0-9]+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
