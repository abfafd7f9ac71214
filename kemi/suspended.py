"""
Requests that must be stored before they are answered (a SIP worker never waits for Redis itself).

A worker suspends the transaction and queues what it read; a completer process stores a batch and lets each
transaction go on here, where it answers.
"""

from __future__ import annotations

import KSR
import ksr_reader

from omapush.push.inbound import Answer, Decision, Drop

MOST_WAITING = 15_000
"Requests that may wait in one queue; beyond it the peer is told 503."

_NOT_NOW = Answer(503, "Service Unavailable", (("Retry-After", "5"),))

_answer = _NOT_NOW
"What the transaction that is being resumed in this process says."


def hand_over(queue: str, packed: str) -> Decision | None:
    """
    Suspend the request in hand and queue `packed` for a completer; None when that is done.

    Otherwise returns what to do with the request instead.
    """
    if KSR.mqueue.mq_size(queue) > MOST_WAITING:
        return _NOT_NOW
    if KSR.tm.t_newtran() <= 0:
        return Drop()  # a repetition (0) whose first copy another worker has just taken
    if KSR.tmx.t_suspend() < 0:
        return Answer(500, "Server Internal Error")
    transaction = f"{ksr_reader.number('$T(id_index)')}:{ksr_reader.number('$T(id_label)')}"
    KSR.mqueue.mq_add(queue, transaction, packed)
    return None


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
    index, label = transaction.split(":")
    KSR.tmx.t_continue(int(index), int(label), "ksr_resumed")


def refuse(transaction: str) -> None:
    """In a completer: the request could not be stored."""
    resume(transaction, _NOT_NOW)


def reply() -> None:
    """Within the resumed transaction: send the answer that `resume` was given."""
    for name, value in _answer.headers:
        if not (_answer.body and name == "Content-Type"):
            KSR.hdr.append_to_reply(f"{name}: {value}\r\n")
    if _answer.body:
        KSR.textops.set_reply_body(_answer.body, dict(_answer.headers)["Content-Type"])
    KSR.tm.t_reply(_answer.status, _answer.reason)
