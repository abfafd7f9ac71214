"""message_push_beside_large: MESSAGE pushes while large contents are stored and read in the same Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import message_push
from bench.figure import Figure, compared
from omapush import clock
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import Event, Push, Recipient, Result, push_ref
from omapush.store import client, contents, pushes
from omapush.store.client import Store
from omapush.store.contents import PIECE
from omapush.store.pushes import Stored, Submission
from tests.harness.stack import Stack

_SIZE: Final = 10_000_000
_A_SECOND: Final = 20_000_000
"Bytes stored, and as many read: a line of 160 Mbit/s each way."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure with and without large contents in turn."""
    beside, alone = [], []
    for number in range(rounds):
        beside.append(message_push.from_outbox(folder / f"beside-{number}", large_contents).rate)
        alone.append(message_push.from_outbox(folder / f"alone-{number}").rate)
    return compared("message_push_beside_large", "MESSAGE/s", "the same without them", beside, alone)


@contextmanager
def large_contents(stack: Stack) -> Iterator[None]:
    """Pushes of 10 MB come, are read as a device takes them, and end; one after the other."""
    over = threading.Event()
    working = threading.Thread(target=_work, args=(client.connect(stack.config.redis), over))
    working.start()
    try:
        yield
    finally:
        over.set()
        working.join()


def _work(store: Store, over: threading.Event) -> None:
    content = bytes(_SIZE)
    number = 0
    while not over.is_set():
        started = time.monotonic()
        number += 1
        one = _push(number)
        upload = contents.upload(store, one.push.ref, content)
        push = one.push._replace(sha1=upload.sha1, sha256=upload.sha256)
        pushes.accept_all(store, [one._replace(push=push, upload=upload.name)])
        for at in range(0, _SIZE, PIECE):
            contents.read(store, one.push.ref, at, PIECE)
        _end(store, one)
        over.wait(max(0.0, _SIZE / _A_SECOND - (time.monotonic() - started)))


def _push(number: int) -> Submission:
    now = clock.now_ms()
    push = Push(
        version=1,
        ref=push_ref("large", str(number)),
        initiator="large",
        push_id=str(number),
        application="mms.ua",
        content_type="video/mp4",
        content_headers=(),
        size=_SIZE,
        priority="medium",
        delivery_method="notspecified",
        notify_url="",
        accepted_ms=now,
        deliver_before_ms=now + 3_600_000,
        deadline_given=False,
        source_reference="",
    )
    recipient = Recipient("sip:large@home1.example", "sip:large@home1.example")
    result = Result("pending", TAKEN_CODE, "queued", "", 0, 0, now)
    return Submission(push, (recipient,), (result,), b"", Event(now, -1, "accepted", "bench"))


def _end(store: Store, one: Submission) -> None:
    now = clock.now_ms()
    pushes.handed_over(store, [one.push.ref])
    result = Result("delivered", "1000", "read", "INVITE", 200, 1, now)
    stored = Stored(one.push.ref, 0, result, True, Event(now, 0, "final", "read"))
    pushes.store_results(store, [stored], now_ms=now, retention_s=60)
