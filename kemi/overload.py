"""
What is let in when more arrives than can be stored: the rest is told 503 at once, which costs least.

Completers see how long requests wait for them, and say in shared memory which part of them to let in. SIP
workers read that and shed the rest: REGISTERs and new SUBSCRIBEs before Python is asked (kamailio.cfg), all
else here. What waits in the socket's buffer is seen in /proc.
"""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Final

import KSR

from omapush import clock, log
from omapush.push.admission import INTERVAL_S, Level, observed

_TABLE: Final = "overload"
_LOOK_AGAIN_S: Final = 0.02
_BELIEVED_S: Final = 1.0
"A level that nobody renews for so long is over: its queue is empty."
_PASSES: Final = ("$hdr(Resource-Priority)", "$hdr(Priority)")
_EMERGENCY: Final = "emergency"
_PROC: Final = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
_BYTES_EACH: Final = 2_304
"Memory that the kernel counts for a datagram of usual size."
_DRAINED_S: Final = 2_000
"Requests a second that workers take from their sockets at least."

_LETS_IN: Final = "lets_in"
"Table that kamailio.cfg sheds by; an entry that is not renewed is over after two seconds."
_ANYTHING: Final = "anything"
"Its entry for the whole node, there as long as requests of any kind are refused."
_PEERS: Final = "peers"
"Table of the peers whose REGISTERs are queued natively."
_REGISTERS: Final = "registers"
"How the queues of REGISTERs begin; the number of one follows."
_SUBSCRIBES: Final = "subscribes"
_LETS_IN_OF: Final = 16_384
_OF_LATE: Final = 16
"Bit from which on the same number tells how many of so many were let in at most of late."
_COPIES_S: Final = 2.0
"A request is repeated after 0.5 and 1.5 s (timer E of RFC 3261); later only if three answers were lost."

_LOOKED_AT: Final = 1
"Flag of a request that kamailio.cfg has let in; who draws twice lets in less than was meant."

_known_peers: set[str] = set()
"In a SIP worker: peers that are in that table."

_read: dict[str, tuple[float, float]] = {}
"In a SIP worker: queue to (part let in, when to look again)."


def sheds(queue: str) -> bool:
    """In a SIP worker: tell whether the request in hand, which is for `queue`, is not let in."""
    now = clock.monotonic()
    admitted, until = _read.get(queue, (1.0, 0.0))
    if now >= until:
        admitted = _level(queue, now)
        _read[queue] = admitted, now + _LOOK_AGAIN_S
    return admitted < 1 and not KSR.isflagset(_LOOKED_AT) and random.random() >= admitted and not _is_urgent()


def is_shedding() -> bool:
    """In any process: tell whether this node refuses requests of some kind now."""
    return KSR.htable.sht_get(_LETS_IN, _ANYTHING) == 1


def leave_to_kamailio(peer: str, *, by_address: bool) -> bool:
    """
    In a SIP worker: have Kamailio queue REGISTERs of a trusted peer without Python.

    Returns whether it did so before. `by_address`: its address makes it trusted; at a certificate Python has
    to look, and nothing is left to Kamailio.
    """
    if not by_address:
        return False
    if peer in _known_peers:
        return True
    KSR.htable.sht_seti(_PEERS, peer, 1)
    _known_peers.add(peer)
    return False


def _level(queue: str, now: float) -> float:
    text = KSR.htable.sht_get(_TABLE, queue)
    if not isinstance(text, str):
        return 1.0
    admitted, _, at = text.partition(" ")
    return float(admitted) if now - float(at) < _BELIEVED_S else 1.0


def _is_urgent() -> bool:
    """Emergencies and calls with priority are never shed (RFC 3261 20.26, RFC 4412)."""
    resource, priority = (KSR.pv.get(name) for name in _PASSES)
    return bool(resource) or str(priority or "").strip().lower() == _EMERGENCY


class _Lately:
    """Most that was let in of late: a copy of a request that came in then may still come."""

    def __init__(self, now: float) -> None:
        self._told: deque[tuple[float, float]] = deque([(now, 1.0)])
        "Since when how much was let in; each holds until the next."

    def most(self, admitted: float, now: float) -> float:
        """Return the highest part that was let in within the time in which copies come, this one included."""
        if now - self._told[-1][0] > _BELIEVED_S:
            self._told.append((now, 1.0))  # nobody renewed it: who came in the meantime was let in
        self._told.append((now, admitted))
        while self._told[1][0] <= now - _COPIES_S:
            self._told.popleft()
        return max(part for _, part in self._told)


class Steering:
    """In a completer: how long requests wait in one queue, and what follows."""

    def __init__(self, queue: str, target_s: float, ports: frozenset[int] = frozenset()) -> None:
        """`ports`: UDP ports whose socket buffers come before the queue."""
        self._queue = queue
        self._target_s = target_s
        self._ports = ports
        self._level = Level()
        self._since_s = clock.monotonic()
        self._lately = _Lately(self._since_s)
        self._taken = 0
        "Since then."
        self._least_left = 0
        "Least that was left in the queue since then: what stands in it."
        self._told = 1.0
        self._backlog = 0
        "Bytes in the sockets' buffers when the interval began."

    def took(self, number: int, left: int) -> None:
        """
        Note that so many requests are being taken from the queue now, and so many are left in it.

        How long those will wait says where the queue is now; how long those waited that are taken says where
        it was when they came, and who steers by that opens and shuts the door too late each time.
        """
        now = clock.monotonic()
        if now - self._since_s >= INTERVAL_S:
            wait_s = self._wait_s(now - self._since_s)
            self._level = observed(self._level, wait_s, now, self._target_s)
            self._tell(now, wait_s)
            self._since_s, self._taken, self._least_left = now, 0, left
        self._taken += number
        self._least_left = min(self._least_left, left)

    def _wait_s(self, seconds: float) -> float:
        """How long what comes now has to wait, after an interval that lasted so long."""
        before, self._backlog = self._backlog, backlog_bytes(self._ports)
        stands = min(before, self._backlog) / _BYTES_EACH  # what is gone by now did not stand
        rate = self._taken / seconds
        arrives = max(rate / self._level.admitted, _DRAINED_S)  # who is refused has been in a buffer, too
        return stands / arrives + (self._least_left / rate if rate else 0.0)

    def _tell(self, now: float, wait_s: float) -> None:
        admitted = self._level.admitted
        most = self._lately.most(admitted, now)
        if admitted < 1:
            KSR.htable.sht_seti(_LETS_IN, _ANYTHING, 1)
        if admitted < 1 or self._told < 1:
            KSR.htable.sht_sets(_TABLE, self._queue, f"{admitted:.4f} {now:.3f}")
            if self._queue.startswith(_REGISTERS) or self._queue == _SUBSCRIBES:
                _tell_natively(self._queue, admitted, most)
        if admitted < 1 <= self._told:
            log.get().warning("overload_began", queue=self._queue, waited_s=round(wait_s, 3))
        elif self._told < 1 <= admitted:
            log.get().warning("overload_over", queue=self._queue)
        self._told = admitted


def _tell_natively(queue: str, admitted: float, most: float) -> None:
    """Tell how much is let in, now and at most of late; nothing is told when that is everything."""
    if admitted < 1:
        number = int(most * _LETS_IN_OF) << _OF_LATE | int(admitted * _LETS_IN_OF)
        KSR.htable.sht_seti(_LETS_IN, queue, number)
    else:
        KSR.htable.sht_rm(_LETS_IN, queue)


def backlog_bytes(ports: frozenset[int]) -> int:
    """Return how many bytes wait in the receive buffers of our UDP ports."""
    total = 0
    for file in _PROC:
        try:
            lines = file.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if int(words[1].rpartition(":")[2], 16) in ports:
                total += int(words[4].partition(":")[2], 16)
    return total
