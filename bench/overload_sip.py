"""overload_goodput, overload_goodput_subscribe: what is stored while SIPp sends three times what can be."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from bench import overload, sipp_rate
from bench.overload import counted
from bench.sipp_rate import Load
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.stack import Stack

_NOBODY = "6060"
"Port of an S-CSCF that nothing is sent to."
_REPEATED_S = (0.5, 1.0, 0.5)
"Waits between copies of a request, as timer E of RFC 3261 has them; it ends after two seconds here."
_STRAY = "notify_unknown"
"What SIPp plays to requests that belong to no call: were they not answered, they would fill the window."
_SETTLED_S = 30


class SippFlood(NamedTuple):
    """SIPp that takes 503 for an answer."""

    stack: Stack
    shed: str
    "Metric of what was refused."

    def refused(self) -> int:
        """Return how many were told 503."""
        return counted(self.stack, self.shed)


class SipFront(NamedTuple):
    """One kind of request of the SIP side."""

    name: str
    unit: str
    scenario: str
    flooding: str
    "Scenario that takes 503 for an answer."
    finished: str
    "Metric of what has got to its end."
    queue: str
    method: str
    headers: tuple[str, ...]
    first: float
    "Calls a second of the first try for the peak."
    parts: tuple[str, ...] = ("redis", "sip")

    def beside(self, _folder: Path, _stack: Stack) -> nullcontext[None]:
        """Run nobody: SIPp is both ends."""
        return nullcontext()

    def peak(self, folder: Path, stack: Stack, first: float) -> float:
        """Return the highest rate that SIPp finds."""
        return sipp_rate.highest(folder, self._load(stack)._replace(first=first))

    def calm(self, folder: Path, stack: Stack, rate: float) -> None:
        """Have one try at a rate that can be carried."""
        sipp_rate.reached(folder, self._load(stack), rate)

    @contextmanager
    def flood(self, folder: Path, stack: Stack, rate: float) -> Iterator[SippFlood]:
        """Have SIPp send so many a second."""
        scenario, stray = (sipp_rate.SCENARIOS / f"{name}.xml" for name in (self.flooding, _STRAY))
        sipp = Process(
            [
                *("sipp", f"127.0.0.1:{stack.sip[1]}", "-sf", scenario, "-i", "127.0.0.1"),
                *("-p", str(free_port()), "-r", f"{rate:.0f}", "-l", f"{rate * 2:.0f}"),
                # What comes for a call that has ended is answered: SIPp would drop it in silence for 33 s.
                *("-oocsf", stray, "-deadcall_wait", "0", "-key", "s_cscf", _NOBODY),
                *("-timer_resol", "1", "-nostdin", *sipp_rate.BUFFER),
            ],
            log=folder / "overload.screen",
            env={"TERM": "dumb"},
            cwd=folder,
        )
        with sipp:
            yield SippFlood(stack, rf'sip_requests_shed_total *\{{queue="{self.queue}"\}}')

    def done(self, stack: Stack) -> int:
        """Return how many are stored and, where one is due, told by a NOTIFY that was answered."""
        return counted(stack, self.finished)

    def is_taken(self, stack: Stack) -> bool:
        """Tell whether one more is answered 200."""
        return _is_answered(stack.sip, self.method, self.headers)

    def asked(self, stack: Stack) -> Mapping[str, Callable[[], bool]]:
        """Return OPTIONS."""
        return {"OPTIONS": lambda: is_alive(stack)}

    def settle(self, stack: Stack) -> None:
        """Return when two looks find nothing more done."""
        seen = [-1]

        def stands() -> bool:
            seen.append(self.done(stack))
            return seen[-1] == seen[-2]

        stack.parts["sip"].wait_until(stands, _SETTLED_S, "all done")

    def _load(self, stack: Stack) -> Load:
        keys = {"s_cscf": _NOBODY}
        return Load(self.scenario, stack.sip[1], keys, seconds=overload.PEAK_S)


def is_alive(stack: Stack) -> bool:
    """Tell whether OPTIONS are answered 200 in time."""
    return _is_answered(stack.sip, "OPTIONS", ())


def _is_answered(address: tuple[str, int], method: str, headers: tuple[str, ...]) -> bool:
    """Tell whether a request, repeated as its sender would, is answered 200 within two seconds."""
    mark = secrets.token_hex(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.connect(address)
        port = ours.getsockname()[1]
        lines = (
            f"{method} sip:{address[0]}:{address[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{mark}",
            "Max-Forwards: 70",
            f"From: <sip:bench@127.0.0.1>;tag={mark}",
            f"To: <sip:bench-{mark}@home1.example>",
            f"Call-ID: {mark}",
            f"CSeq: 1 {method}",
            *(one.format(mark=mark, port=port) for one in headers),
            "Content-Length: 0",
        )
        for wait_s in _REPEATED_S:
            ours.settimeout(wait_s)
            ours.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            with suppress(OSError):
                return ours.recv(4096).startswith(b"SIP/2.0 200")
    return False


measure_register = overload.measure(
    SipFront(
        name="overload_goodput",
        unit="REGISTER/s",
        scenario="register",
        flooding="register_overload",
        finished="registrations_captured_total",
        queue="registers",
        method="REGISTER",
        headers=("Expires: 60",),
        first=5_000,
    )
)
measure_subscribe = overload.measure(
    SipFront(
        name="overload_goodput_subscribe",
        unit="SUBSCRIBE/s",
        scenario="subscribe_application",
        flooding="subscribe_overload",
        finished=r'sip_responses_total *\{method="NOTIFY", ?code="200"\}',
        queue="subscribes",
        method="SUBSCRIBE",
        headers=(
            "Expires: 0",
            "Contact: <sip:bench@127.0.0.1:{port}>",
            "Event: ua-profile;profile-type=oma-app",
            "Accept: application/vnd.oma.push, */*",
            'Accept-Contact: *;+g.oma.pusheventapp="news.ua"',
            "P-Asserted-Identity: <sip:bench-{mark}@home1.example>",
        ),
        first=700,
    )
)
