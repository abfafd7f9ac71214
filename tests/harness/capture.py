"""Recorded traffic of tests/corpora/captures, message by message."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.fakes.sip_text import SipText

FOLDER = Path(__file__).parent.parent / "corpora" / "captures"
UE, S_CSCF, AS = (5090, 5092), (6060,), (5070, 5071)
"Ports of the three."

_HEAD = re.compile(rb"---- [0-9:.]+ udp [0-9.]+:(\d+) -> [0-9.]+:(\d+) (\d+) bytes\n")


@dataclass(frozen=True)
class Frame:
    """One message as it was on the wire."""

    source: int
    "Port it came from."
    to: int
    raw: bytes

    @cached_property
    def sip(self) -> SipText:
        return SipText.parse(self.raw)


def frames(number: int) -> list[Frame]:
    """All messages of one capture, by the number that its name begins with."""
    (file,) = FOLDER.glob(f"{number:02}-*.sip")
    data, at, found = file.read_bytes(), 0, []
    while head := _HEAD.search(data, at):
        end = head.end() + int(head[3])
        found.append(Frame(int(head[1]), int(head[2]), data[head.end() : end]))
        at = end
    return found


def to_us(number: int, method: str) -> list[Frame]:
    """Requests of the S-CSCF to the application server."""
    return [
        frame
        for frame in frames(number)
        if (frame.source in S_CSCF, frame.to in AS, frame.sip.is_request) == (True, True, True)
        and frame.sip.method == method
    ]


def answers(number: int, method: str) -> list[SipText]:
    """Answers of the S-CSCF to requests of the application server."""
    return [
        frame.sip
        for frame in frames(number)
        if frame.source in S_CSCF and frame.to in AS and not frame.sip.is_request
        if frame.sip.method == method
    ]
