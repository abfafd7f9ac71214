"""
Many subscribers on one UDP port: subscribe, answer every NOTIFY with 200 at once, count the dialogs told.

Runs as a process of its own (`python -m bench.subscribers KIND SERVER_PORT OWN_PORT NUMBER`). It prints
`subscribed` when every dialog stands and has had its first NOTIFY. From then on it counts NOTIFYs, for each
dialog one, whatever is repeated; when all have had one more it prints `told` and the monotonic times of
the first and the last of them.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_WINDOW = 200
"SUBSCRIBEs that may be without answer or NOTIFY."
_PATIENCE_S = 1.0
"Then what has no answer is sent again."
_RECEIVE_BUFFER = 64_000_000
_ANSWERED = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:", b"Record-Route:")


class Kind(NamedTuple):
    """What the subscribers of one server ask for; `{n}` stands for the number of each."""

    subscriber: str
    notifier: str
    event: str
    accept: str
    more: str = ""
    "Further header lines."


KINDS = {
    "presence": Kind(
        "sip:w{n}@home1.example", "sip:application@home1.example", "presence", "application/pidf+xml"
    ),
    "application": Kind(
        "sip:u{n}@home1.example",
        "sip:psa@home1.example",
        "ua-profile;profile-type=oma-app",
        "application/vnd.oma.push, */*",
        'Accept-Contact: *;+g.oma.pusheventapp="news.ua"\r\n'
        "P-Asserted-Identity: <sip:u{n}@home1.example>\r\nP-Charging-Vector: icid-value=b{n}\r\n",
    ),
}


class Subscribers:
    """The dialogs, and the socket that they share."""

    def __init__(self, kind: Kind, server: int, own: int, number: int) -> None:
        self._kind = kind
        self._server = ("127.0.0.1", server)
        self._own = own
        self._number = number
        self._cseqs = [0] * number
        "CSeq of the last NOTIFY of each dialog."
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, 33):  # 33: SO_RCVBUFFORCE, for root
            with suppress(PermissionError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _RECEIVE_BUFFER)
        self._socket.bind(("127.0.0.1", own))
        self._socket.connect(self._server)
        self._socket.settimeout(_PATIENCE_S)

    def subscribe(self) -> None:
        """Return when every dialog has its 2xx and its first NOTIFY."""
        half_done: dict[int, int] = {}
        "Dialogs begun, each with how much of its two messages is there."
        numbers = iter(range(self._number))
        done = self._begin(numbers, half_done, _WINDOW)
        while half_done or not done:
            received = self._receive()
            if received is None:
                for number in half_done:
                    self._send(number)
                continue
            number, is_notify = received
            if number not in half_done:
                continue
            half_done[number] |= 2 if is_notify else 1
            if half_done[number] == 3:
                del half_done[number]
                done = self._begin(numbers, half_done, 1)

    def _begin(self, numbers: Iterator[int], half_done: dict[int, int], most: int) -> bool:
        """Send up to so many SUBSCRIBEs more; True when there are no more."""
        for _ in range(most):
            number = next(numbers, None)
            if number is None:
                return True
            half_done[number] = 0
            self._send(number)
        return False

    def listen(self) -> tuple[float, float]:
        """Answer NOTIFYs until each dialog has had one more; returns when the first and the last came."""
        known = list(self._cseqs)
        told: set[int] = set()
        first = 0.0
        while len(told) < self._number:
            received = self._receive()
            if received is None:
                continue
            number, is_notify = received
            if is_notify and self._cseqs[number] > known[number]:
                first = first or time.monotonic()
                told.add(number)
        return first, time.monotonic()

    def _receive(self) -> tuple[int, bool] | None:
        """Return (dialog, whether it is a NOTIFY) of the next message, answered; None when none comes."""
        try:
            message = self._socket.recv(65_535)
        except TimeoutError:
            return None
        lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
        picked = [line for line in lines if line.startswith(_ANSWERED)]
        call_id = next(line for line in picked if line.startswith(b"Call-ID:"))
        number = int(call_id[8:].partition(b"@")[0])
        if not message.startswith(b"NOTIFY"):
            return (number, False) if message.startswith(b"SIP/2.0 2") else None
        cseq = next(line for line in picked if line.startswith(b"CSeq:"))
        self._cseqs[number] = max(self._cseqs[number], int(cseq.split()[1]))
        self._socket.send(b"SIP/2.0 200 OK\r\n" + b"\r\n".join(picked) + b"\r\nContent-Length: 0\r\n\r\n")
        return number, True

    def _send(self, number: int) -> None:
        subscriber, notifier, event, accept, more = (text.format(n=number) for text in self._kind)
        self._socket.send(
            (
                f"SUBSCRIBE {notifier} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self._own};branch=z9hG4bK{number}\r\n"
                f"Max-Forwards: 70\r\nFrom: <{subscriber}>;tag=s{number}\r\nTo: <{notifier}>\r\n"
                f"Call-ID: {number}@subscribers\r\nCSeq: 1 SUBSCRIBE\r\n"
                f"Record-Route: <sip:127.0.0.1:{self._own};lr>\r\n"
                f"Contact: <sip:ue{number}@127.0.0.1:{self._own}>\r\nExpires: 3600\r\nEvent: {event}\r\n"
                f"Accept: {accept}\r\n{more}Content-Length: 0\r\n\r\n"
            ).encode()
        )


def main(kind: str, server: int, own: int, number: int) -> None:
    """Subscribe and count until somebody ends the process."""
    subscribers = Subscribers(KINDS[kind], server, own, number)
    started = time.monotonic()
    subscribers.subscribe()
    print(f"subscribed {time.monotonic() - started:.3f}", flush=True)
    while True:
        first, last = subscribers.listen()
        print(f"told {first:.6f} {last:.6f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
