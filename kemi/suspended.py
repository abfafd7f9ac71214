"""
Requests that must be stored before they are answered (a SIP worker never waits for Redis itself).

A worker suspends the transaction and queues what it read; a completer process stores a batch and lets each
transaction go on here, where it answers.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

import KSR
import ksr_reader
import overload
from overload import Steering

from omapush import clock
from omapush.push.inbound import Answer, Decision, Drop

MOST_WAITING = 15_000
"Requests that may wait in one queue; beyond it the peer is told 503."

_STORED: Final = "registered"
"Queue of requests to be answered 200 by route[ANSWERS] of kamailio.cfg."
_LARGEST_INT: Final = 2**31 - 1

Headers = tuple[tuple[str, str], ...]

_NOT_NOW = Answer(503, "Service Unavailable", (("Retry-After", "5"),))
_COME_AGAIN_S = (2, 9)
"Seconds of Retry-After for what is shed, spread: what is refused together should not come back together."

_steering: dict[str, Steering] = {}
"In a completer: what follows from how long requests wait for it, by queue."
_target_s = 0.0
_ports: frozenset[int] = frozenset()

_answer = _NOT_NOW
"What the transaction that is being resumed in this process says."


def steer(target_ms: int, ports: Iterable[int]) -> None:
    """Set how long requests may wait before less is let in, 0: for ever."""
    global _target_s, _ports
    _target_s, _ports = target_ms / 1000, frozenset(ports)
    _steering.clear()


def refusal(queue: str) -> Answer:
    """Return what a request for a queue is told that is not let in now, and count it."""
    KSR.xhttp_prom.counter_inc_l1("sip_requests_shed_total", 1, queue)
    return Answer(503, "Service Unavailable", (("Retry-After", str(random.randrange(*_COME_AGAIN_S))),))


def hand_over(queue: str, packed: str, *, is_admitted: bool = False) -> Decision | None:
    """
    Suspend the request in hand and queue `packed` for a completer; None when that is done.

    Otherwise returns what to do with the request instead. `is_admitted`: it is not to be shed any more.
    """
    if not is_admitted and overload.sheds(queue):
        return refusal(queue)
    if KSR.mqueue.mq_size(queue) > MOST_WAITING:
        return _NOT_NOW
    if KSR.tm.t_newtran() <= 0:
        return Drop()  # a repetition (0) whose first copy another worker has just taken
    if KSR.tmx.t_suspend() < 0:
        return Answer(500, "Server Internal Error")
    names = ksr_reader.number("$T(id_index)"), ksr_reader.number("$T(id_label)")
    transaction = f"{names[0]}:{names[1]}:{clock.now_us() / 1e6:.6f}"
    KSR.mqueue.mq_add(queue, transaction, packed)
    return None


def next_waiting(queue: str) -> tuple[str, str] | None:
    """In a completer: return the next (transaction, what was handed over) of a queue; None: it is empty."""
    found = all_waiting(queue, 1)
    return found[0] if found else None


def all_waiting(queue: str, most: int) -> list[tuple[str, str]]:
    """In a completer: return what waits in a queue in its order, as `next_waiting`; at most so much of it."""
    found: list[tuple[str, str]] = []
    while len(found) < most and (queued := ksr_reader.next_queued(queue)):
        found.append(queued)
    if found and _target_s:
        steering = _steering.get(queue)
        if steering is None:
            steering = _steering[queue] = Steering(queue, _target_s, _ports)
        steering.took(len(found), KSR.mqueue.mq_size(queue))
    return found


def pass_on(transaction: str, queue: str, packed: str) -> None:
    """In a completer: leave a request that `hand_over` suspended to the completer of another queue."""
    if KSR.mqueue.mq_size(queue) > MOST_WAITING:
        refuse(transaction)
    else:
        KSR.mqueue.mq_add(queue, transaction, packed)


def resume(transaction: str, answer: Answer) -> None:
    """In a completer: answer a request that `hand_over` suspended."""
    global _answer
    _answer = answer
    KSR.tmx.t_continue(*_names(transaction), "ksr_resumed")


def with_headers(answer: Answer, headers: Headers) -> Answer:
    """Return the same answer with more headers."""
    return Answer(answer.status, answer.reason, (*answer.headers, *headers), answer.body)


def resume_all(answers: Iterable[tuple[str, Headers]]) -> None:
    """In a completer: answer requests that `hand_over` suspended with 200 and these headers, natively."""
    for transaction, headers in answers:
        index, label = _names(transaction)
        KSR.mqueue.mq_add(
            _STORED, f"{index}:{label}", "".join([f"{name}: {value}\r\n" for name, value in headers])
        )
    KSR.route("ANSWERS")


def _names(transaction: str) -> tuple[int, int]:
    """Return index and label; KSR takes a C int for a number that Kamailio keeps without a sign."""
    index, label, _ = transaction.split(":")
    number = int(label)
    return int(index), number if number <= _LARGEST_INT else number - 2**32


def refuse(transaction: str) -> None:
    """In a completer: the request could not be stored."""
    resume(transaction, _NOT_NOW)


def reply() -> None:
    """Within the resumed transaction: send the answer that `resume` was given."""
    kept = (one for one in _answer.headers if not (_answer.body and one[0] == "Content-Type"))
    if lines := "".join([f"{name}: {value}\r\n" for name, value in kept]):
        KSR.hdr.append_to_reply(lines)
    if _answer.body:
        KSR.textops.set_reply_body(_answer.body, dict(_answer.headers)["Content-Type"])
    KSR.tm.t_reply(_answer.status, _answer.reason)
