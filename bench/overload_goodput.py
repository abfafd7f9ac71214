"""overload_goodput: REGISTERs stored a second while three times as many come as can be carried."""

from __future__ import annotations

import re
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx

from bench import full_size, sipp_rate
from bench.figure import Figure, compared
from bench.sipp_rate import Load
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.stack import Stack

_NOBODY = "6060"
"Port of an S-CSCF that nothing is sent to."
_TIMES = 3
_SECONDS = 5.0
_SETTLING_S = 1.0
"Not measured: the load has just begun."
_LEAST_ANSWERED = 0.9
"Part of the OPTIONS that has to be answered meanwhile."
_REPEATED_S = (0.5, 1.0, 0.5)
"Waits between copies of an OPTIONS, as timer E of RFC 3261 has them; it ends after two seconds here."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure the peak and, at three times its load, what is carried."""
    carried, peaks = [], []
    for number in range(rounds):
        own, peak = _round(folder / str(number))
        carried.append(own)
        peaks.append(peak)
    return compared("overload_goodput", "REGISTER/s", "the highest rate without loss", carried, peaks)


def _round(folder: Path) -> tuple[float, float]:
    with full_size.stack(folder, ("redis", "sip")) as stack:
        peak = sipp_rate.highest(folder, Load("register", stack.sip[1], {"s_cscf": _NOBODY}))
        assert peak, "no rate without loss was found: is the machine busy with something else?"
        with _load(folder, stack, peak * _TIMES):
            time.sleep(_SETTLING_S)
            return _carried(stack), peak


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


def _carried(stack: Stack) -> float:
    """REGISTERs stored a second for as long as it is measured; OPTIONS are answered all the while."""
    began, before = time.monotonic(), _captured(stack)
    asked = answered = 0
    while time.monotonic() - began < _SECONDS:
        asked += 1
        answered += _is_answered(stack.sip)
        time.sleep(0.05)
    rate = (_captured(stack) - before) / (time.monotonic() - began)
    print(f"overload_goodput: {answered} of {asked} OPTIONS answered")
    assert answered >= _LEAST_ANSWERED * asked, f"{answered} of {asked} OPTIONS answered"
    return rate


def _is_answered(address: tuple[str, int]) -> bool:
    """Tell whether an OPTIONS, repeated as its sender would, is answered within two seconds."""
    mark = secrets.token_hex(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.connect(address)
        lines = (
            f"OPTIONS sip:{address[0]}:{address[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{ours.getsockname()[1]};branch=z9hG4bK{mark}",
            "Max-Forwards: 70",
            f"From: <sip:bench@127.0.0.1>;tag={mark}",
            f"To: <sip:{address[0]}:{address[1]}>",
            f"Call-ID: {mark}",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        )
        for wait_s in _REPEATED_S:
            ours.settimeout(wait_s)
            ours.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            with suppress(OSError):
                return ours.recv(4096).startswith(b"SIP/2.0 200")
    return False


def _captured(stack: Stack) -> int:
    text = httpx.get(f"http://127.0.0.1:{stack.sip[1]}/metrics", trust_env=False, timeout=10).text
    found = re.search(r"registrations_captured_total ([0-9]+)", text)
    return int(found[1]) if found else 0
