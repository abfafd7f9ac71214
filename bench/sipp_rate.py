"""The highest rate at which a SIP server answers SIPp: asked for more until it no longer keeps up."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.wait import wait_until

SCENARIOS = Path(__file__).parent / "scenarios"
BUFFER = ("-buff_size", "4000000")

_ENDED = "Test Terminated"
_STEP = 1.12
SECONDS = 2.0
_PATIENCE_S = 6.0
"After the last call of a try."
_FIRST = 2_000
_LASTS = 0.65
"Part of what is carried for a short time with which longer tries begin, and to which they go down."
_LEAST_LASTS = 0.1
_MOST_REPEATED = 0.002
"Part of the requests that may have been repeated for want of an answer in 500 ms."
_LEAST_KEPT_UP = 0.95


class Load(NamedTuple):
    """What SIPp plays, and against whom."""

    scenario: str
    to: int
    "Port of the server."
    keys: dict[str, str] = {}  # noqa: RUF012 - never changed
    "What `[name]` in the scenario stands for."
    rows: Path | None = None
    "File of `[field0]` and on, a row a call, in their order."
    before: Callable[[], None] = lambda: None
    "Done before each try: what the former one left behind is put back."
    first: float = _FIRST
    "Calls a second of the first try."
    seconds: float = SECONDS
    "How long each try lasts."


def receiver(folder: Path, port: int, scenario: str = "receiver") -> Process:
    """Return SIPp answering on `port`; by default every MESSAGE."""
    return Process(
        [
            *("sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-i", "127.0.0.1", "-p", str(port)),
            *("-nostdin", *BUFFER),
        ],
        log=folder / "receiver.screen",
        env={"TERM": "dumb"},
        cwd=folder,
    )


def highest(folder: Path, load: Load) -> float:
    """Return the highest rate, in calls a second, that the load reached without loss."""

    def attempt(rate: float) -> float | None:
        load.before()
        return reached(folder, load, rate)

    return climbed(load.first, attempt)


def highest_lasting(folder: Path, load: Load, seconds: float) -> float:
    """
    Return the highest rate that the load reached for so long without loss.

    Raises:
        RuntimeError: not even a tenth of what is carried for the time of the load.
    """
    part, burst = _LASTS, highest(folder, load)
    while part > _LEAST_LASTS:
        if found := highest(folder, load._replace(first=burst * part, seconds=seconds)):
            return found
        part *= _LASTS
    raise RuntimeError(f"of {burst:.0f} a second for {load.seconds} s nothing lasts {seconds} s")


def climbed(first: float, attempt: Callable[[float], float | None]) -> float:
    """Return the highest rate that tries reached, from `first` on; None: that one was too much."""
    best, rate = 0.0, first
    failures = 0
    while failures < 2:
        found = attempt(rate)
        if found is None:
            failures += 1
            rate /= _STEP**0.5
        else:
            failures = 0
            best = max(best, found)
            rate = max(rate * _STEP, 1.0)
    return best


def reached(folder: Path, load: Load, rate: float) -> float | None:
    """Return the rate reached, or None when the server did not keep up."""
    statistics = folder / f"{load.scenario}-{rate:.0f}.csv"
    statistics.unlink(missing_ok=True)
    calls = int(rate * load.seconds)
    process = Process(
        [
            *("sipp", f"127.0.0.1:{load.to}", "-sf", SCENARIOS / f"{load.scenario}.xml", "-i", "127.0.0.1"),
            *("-p", str(free_port()), "-m", str(calls), "-r", f"{rate:.0f}", "-l", str(int(rate))),
            *("-timer_resol", "1", "-nostdin", *BUFFER),
            *("-trace_stat", "-stf", statistics, "-fd", "1"),
            *(word for name, value in load.keys.items() for word in ("-key", name, value)),
            *(("-inf", load.rows, "-cid_str", "%u") if load.rows else ()),
        ],
        log=folder / f"{load.scenario}.screen",
        env={"TERM": "dumb"},
        cwd=folder,
    )
    process.log.unlink(missing_ok=True)
    try:
        with process:
            # SIPp 3.6 does not always end after its last screen.
            wait_until(
                lambda: not process.is_running or _ENDED in process.log_text(),
                load.seconds + _PATIENCE_S,
                "SIPp's end",
            )
    except TimeoutError:
        return None  # still repeating requests that were not answered
    row = list(csv.DictReader(statistics.read_text().splitlines(), delimiter=";"))[-1]
    repeated = float(row["Retransmissions(C)"]) / calls
    succeeded = float(row["SuccessfulCall(C)"])
    reached = float(row["CallRate(C)"])
    kept_up = succeeded == calls and repeated <= _MOST_REPEATED and reached >= rate * _LEAST_KEPT_UP
    return reached if kept_up else None
