"""
overload_goodput: REGISTERs stored a second while three times as many come as can be carried.

The product has half of the cores and its load the other half, on both sides of the ratio: SIPp that sends
three times as much also takes three times the processor, which it must not take from what it measures.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from bench import cores, full_size, sipp_rate
from bench.cpu import CpuTime, middle
from bench.figure import Figure, compared
from bench.sipp_rate import Load
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.stack import Stack

_NOBODY = "6060"
"Port of an S-CSCF that nothing is sent to."
_TIMES = 3
_FIRST = 5_000.0
"Calls a second of the first try for the peak."
_PEAK_S = 6.0
"In two seconds, as others measure, what waits in the end is 15 % of what came: more than can be carried on."
_SECONDS = 5.0
_SETTLING_S = 1.0
"Not measured: the load has just begun."
_LEAST_ANSWERED = 0.9
"Part of the OPTIONS that has to be answered meanwhile."
_REPEATED_S = (0.5, 1.0, 0.5)
"Waits between copies of a request, as timer E of RFC 3261 has them; it ends after two seconds here."
_LONGEST_RECOVERY_S = 10.0
"After the load's end, until no REGISTER is refused any more."
_IN_A_ROW = 20
"REGISTERs taken one after the other that show it."


class Carried(NamedTuple):
    """What was carried for some seconds."""

    stored: float
    "REGISTERs a second."
    refused: float
    "The same of those told 503."
    cpu_us: dict[str, float]
    "What one that was stored cost, with all that was spent on the others."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure the peak and, at three times its load, what is carried."""
    peaks: list[float] = []
    at_peak: list[dict[str, float]] = []
    over: list[Carried] = []
    for number in range(rounds):
        peak, calm, carried = _round(folder / str(number))
        peaks.append(peak)
        at_peak.append(calm)
        over.append(carried)
    cpu_us = {"below the peak": middle(at_peak), "at three times": middle([one.cpu_us for one in over])}
    stored = [one.stored for one in over]
    against = "the highest rate without loss"
    return compared("overload_goodput", "REGISTER/s", against, stored, peaks, cpu_us)


def _round(folder: Path) -> tuple[float, dict[str, float], Carried]:
    product, load = cores.halves()
    with _started(folder, product) as stack, cores.on(load):
        registers = Load("register", stack.sip[1], {"s_cscf": _NOBODY}, first=_FIRST, seconds=_PEAK_S)
        peak = sipp_rate.highest(folder, registers)
        assert peak, "no rate without loss was found: is the machine busy with something else?"
        calm = _cost(folder, stack, registers, peak * 0.9)
        with _load(folder, stack, peak * _TIMES):
            time.sleep(_SETTLING_S)
            carried = _carried(stack)
        _recover(stack)
        return peak, calm, carried


@contextmanager
def _started(folder: Path, product: frozenset[int]) -> Iterator[Stack]:
    stack = full_size.stack(folder, ("redis", "sip"))
    try:
        with cores.on(product):
            stack.__enter__()
        yield stack
    finally:
        stack.__exit__(None, None, None)


def _spent(stack: Stack) -> CpuTime:
    return CpuTime({part: process.pid for part, process in stack.parts.items()}, stack.control)


def _cost(folder: Path, stack: Stack, load: Load, rate: float) -> dict[str, float]:
    """What a REGISTER costs the product while all are stored."""
    before, spent = _captured(stack), _spent(stack)
    sipp_rate.reached(folder, load, rate)
    return spent.per_one_us(max(_captured(stack) - before, 1))


def _load(folder: Path, stack: Stack, rate: float) -> Process:
    """SIPp, which takes 503 for an answer."""
    name = "register_overload"
    scenario = sipp_rate.SCENARIOS / f"{name}.xml"
    return Process(
        [
            *("sipp", f"127.0.0.1:{stack.sip[1]}", "-sf", scenario, "-i", "127.0.0.1"),
            *(
                "-p",
                str(free_port()),
                "-r",
                f"{rate:.0f}",
                "-l",
                f"{rate * 2:.0f}",
                "-key",
                "s_cscf",
                _NOBODY,
            ),
            *("-timer_resol", "1", "-nostdin", *sipp_rate.BUFFER),
        ],
        log=folder / "overload.screen",
        env={"TERM": "dumb"},
        cwd=folder,
    )


def _carried(stack: Stack) -> Carried:
    """What is stored and refused for as long as it is measured; OPTIONS are answered all the while."""
    began, spent = time.monotonic(), _spent(stack)
    stored, refused = _captured(stack), _shed(stack)
    asked = answered = 0
    while time.monotonic() - began < _SECONDS:
        asked += 1
        answered += _is_answered(stack.sip)
        time.sleep(0.05)
    stored, refused = _captured(stack) - stored, _shed(stack) - refused
    seconds = time.monotonic() - began
    cpu_us = spent.per_one_us(max(stored, 1))
    print(
        f"overload_goodput: {stored / seconds:,.0f} REGISTER/s stored, {refused / seconds:,.0f} told 503, "
        f"{answered} of {asked} OPTIONS answered"
    )
    assert answered >= _LEAST_ANSWERED * asked, f"{answered} of {asked} OPTIONS answered"
    return Carried(stored / seconds, refused / seconds, cpu_us)


def _recover(stack: Stack) -> None:
    """Wait until nothing is refused any more."""
    began, in_a_row = time.monotonic(), 0
    while in_a_row < _IN_A_ROW:
        in_a_row = in_a_row + 1 if _is_answered(stack.sip, "REGISTER") else 0
        took_s = time.monotonic() - began
        assert took_s < _LONGEST_RECOVERY_S, f"REGISTERs are refused {took_s:.1f} s after the load's end"
    print(f"overload_goodput: nothing refused {took_s:.1f} s after the load's end")


def _is_answered(address: tuple[str, int], method: str = "OPTIONS") -> bool:
    """Tell whether a request, repeated as its sender would, is answered 200 within two seconds."""
    mark = secrets.token_hex(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.connect(address)
        lines = (
            f"{method} sip:{address[0]}:{address[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{ours.getsockname()[1]};branch=z9hG4bK{mark}",
            "Max-Forwards: 70",
            f"From: <sip:bench@127.0.0.1>;tag={mark}",
            f"To: <sip:bench-{mark}@home1.example>",
            f"Call-ID: {mark}",
            f"CSeq: 1 {method}",
            "Expires: 60",
            "Content-Length: 0",
        )
        for wait_s in _REPEATED_S:
            ours.settimeout(wait_s)
            ours.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            with suppress(OSError):
                return ours.recv(4096).startswith(b"SIP/2.0 200")
    return False


def _captured(stack: Stack) -> int:
    return _counted(stack, r"registrations_captured_total ([0-9]+)")


def _shed(stack: Stack) -> int:
    return _counted(stack, r'requests_shed_total *\{queue="registers"\} ([0-9]+)')


def _counted(stack: Stack, form: str) -> int:
    text = httpx.get(f"http://127.0.0.1:{stack.sip[1]}/metrics", trust_env=False, timeout=10).text
    found = re.search(form, text)
    return int(found[1]) if found else 0
