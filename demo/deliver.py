"""
`make demo`: pushes go from a content provider to a handset and their results come back.

Everything runs on free loopback ports with its state in a temporary directory, and is ended at the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from omapush import clock
from omapush.cli import ladder
from omapush.push.registration import applications, is_registered
from omapush.push.values import Result, push_ref
from omapush.store.pushes import Known
from tests.fakes.handset import HandsetThread, ReceivedPush, handset_in_thread
from tests.fakes.initiator import Notification, NotificationSink, PushInitiator, user_address
from tests.harness.processes import ProcessEnded
from tests.harness.scscf import Scscf
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

ALICE: Final = "sip:alice@home1.example"
NOBODY: Final = "sip:nobody@home1.example"
INITIATOR: Final = "demo"
PASSWORD: Final = "demo"
_DEADLINE_S: Final = 20.0
_WIDTH: Final = 118
_RETRY: Final = {"attempts": 2, "first_s": 0.2, "longest_s": 0.2}

# M-Notification.ind (OMA MMS encapsulation, WSP encoding): each field is its number with the high bit set.
MMS_NOTIFICATION: Final = b"".join(
    (
        b"\x8c\x82",  # X-Mms-Message-Type: m-notification-ind
        b"\x98demo-transaction-1\x00",  # X-Mms-Transaction-Id
        b"\x8d\x92",  # X-Mms-MMS-Version: 1.2
        b"\x89\x19\x80+358401234567/TYPE=PLMN\x00",  # From: length, address-present token, address
        b"\x8a\x80",  # X-Mms-Message-Class: personal
        b"\x8e\x02\x30\x39",  # X-Mms-Message-Size: 12,345 as a long integer of two octets
        b"\x88\x05\x81\x03\x01\x51\x80",  # X-Mms-Expiry: relative, 86,400 s
        b"\x83http://mmsc.home1.example/1\x00",  # X-Mms-Content-Location
    )
)
# ULP-PDU with SUPL INIT (OMA ULP 1.0, unaligned PER): length 16, version 1.0.0, session 7 of the SLP
# 127.0.0.1, SET-based assisted GPS, proxy mode.
SUPL_INIT: Final = bytes.fromhex("001001000040000001c3f80000080010")


@dataclass(frozen=True, slots=True)
class Sample:
    """One push of the demo, and what must become of it."""

    what: str
    to: str
    application: str
    content_type: str
    content: bytes
    state: str
    code: str
    sip_code: int

    @property
    def push_id(self) -> str:
        """Its name at the initiator's, readable in logs."""
        return f"{self.what.lower().replace(' ', '-')}@provider.example"


SAMPLES: Final = (
    Sample(
        what="MMS notification",
        to=ALICE,
        application="mms.ua",
        content_type="application/vnd.wap.mms-message",
        content=MMS_NOTIFICATION,
        state="delivered",
        code="1000",
        sip_code=200,
    ),
    Sample(
        what="SUPL INIT",
        to=ALICE,
        application="ulp.ua",
        content_type="application/vnd.omaloc-supl-init",
        content=SUPL_INIT,
        state="delivered",
        code="1000",
        sip_code=200,
    ),
    Sample(
        what="text message",
        to=ALICE,
        application="mms.ua",
        content_type="text/plain; charset=utf-8",
        content="Grüße, pushed by SIP".encode(),
        state="delivered",
        code="1000",
        sip_code=200,
    ),
    Sample(
        what="unknown user",
        to=NOBODY,
        application="mms.ua",
        content_type="text/plain",
        content=b"for nobody",
        state="undeliverable",
        code="5028",
        sip_code=480,
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one push, as each side saw it."""

    sample: Sample
    received: bytes | None
    "What the handset got; None: nothing."
    result: Result
    notified: Notification | None
    milliseconds: int

    @property
    def is_as_expected(self) -> bool:
        """Tell whether store, initiator and handset all saw what must come out."""
        sample = self.sample
        wanted = (sample.state, sample.code)
        arrived = sample.content if sample.state == "delivered" else None
        return (
            (self.result.state, self.result.code, self.result.sip_code) == (*wanted, sample.sip_code)
            and self.notified is not None
            and (self.notified.message_state, self.notified.code) == wanted
            and self.received == arrived
        )


def main() -> int:
    """Run the demo; 0 when everything came out as expected."""
    console = Console(highlight=False, width=_WIDTH)
    try:
        with tempfile.TemporaryDirectory(prefix="omapush-demo-") as folder, _running(Path(folder)) as stack:
            return _deliver(stack, Path(folder), console)
    except (ProcessEnded, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


@contextmanager
def _running(folder: Path) -> Iterator[Stack]:
    settings: Settings = {
        "registration": {"watch": True},
        f"initiator.{INITIATOR}": {"password": PASSWORD},
        'application."mms.ua"': {"retry": _RETRY},
    }
    print("starting Redis, Kamailio, api and notifier ...", flush=True)
    with Stack(folder, settings) as stack:
        yield stack


def _deliver(stack: Stack, folder: Path, console: Console) -> int:
    as_uri = f"sip:{stack.sip[0]}:{stack.sip[1]}"
    print("starting the stand-in S-CSCF and the handset ...", flush=True)
    with (
        Scscf(folder / "scscf", as_uri=as_uri, port=stack.core_port) as scscf,
        handset_in_thread(ALICE, scscf.address, apps=("mms.ua", "ulp.ua")) as handset,
        NotificationSink() as sink,
        PushInitiator(stack.http, INITIATOR, PASSWORD) as initiator,
    ):
        _wait_for_registration(stack)
        print(f"{ALICE} is registered with mms.ua and ulp.ua and watched; pushing ...", flush=True)
        for sample in SAMPLES:
            _push(initiator, sample, sink.url)
        notifications = sink.wait_for(len(SAMPLES), _DEADLINE_S)
        seen = [_seen(stack, sample, handset, notifications) for sample in SAMPLES]
        known = _told(stack, SAMPLES[-1])
    _report(console, seen)
    _explain(console, known)
    return 0 if all(one.is_as_expected for one in seen) else 1


def _wait_for_registration(stack: Stack) -> None:
    def is_stored() -> bool:
        record, now_ms = stack.registration(ALICE), clock.now_ms()
        if record is None or not is_registered(record, now_ms) or not applications(record, now_ms):
            return False
        return record.state_source == "reginfo"

    wait_until(is_stored, _DEADLINE_S, lambda: f"registration of {ALICE} in the store\n{stack.logs()}")


def _push(initiator: PushInitiator, sample: Sample, notify_to: str) -> None:
    answer = initiator.push(
        sample.push_id,
        user_address(sample.to),
        sample.content,
        content_type=sample.content_type,
        app=sample.application,
        notify_to=notify_to,
    )
    print(f"  {sample.what}: PAP answered {answer.code}", flush=True)


def _seen(
    stack: Stack, sample: Sample, handset: HandsetThread, notifications: Sequence[Notification]
) -> Seen:
    known = stack.finished(push_ref(INITIATOR, sample.push_id), _DEADLINE_S)
    result = known.results[0]
    return Seen(
        sample=sample,
        received=_body(handset.pushes, sample),
        result=result,
        notified=next((one for one in notifications if one.push_id == sample.push_id), None),
        milliseconds=result.at_ms - known.push.accepted_ms,
    )


def _told(stack: Stack, sample: Sample) -> Known:
    """All about one push, once the log says that its initiator was told."""
    ref = push_ref(INITIATOR, sample.push_id)
    wait_until(
        lambda: ladder.last(stack.known(ref).events, 0, "notified") is not None,
        _DEADLINE_S,
        lambda: f"notification of {sample.push_id}\n{stack.logs()}",
    )
    return stack.known(ref)


def _body(received: Sequence[ReceivedPush], sample: Sample) -> bytes | None:
    """The content of the push with this content type, for each sample has its own."""
    return next((push.body for push in received if push.content_type == sample.content_type), None)


def _report(console: Console, seen: Sequence[Seen]) -> None:
    table = Table(title="Pushes sent and what came back", title_justify="left")
    for name in ("what", "application", "sent", "received", "SIP", "told the initiator", "ms", "as expected"):
        table.add_column(name, justify="right" if name in ("sent", "ms") else "left")
    for one in seen:
        notified = one.notified
        table.add_row(
            one.sample.what,
            one.sample.application,
            f"{len(one.sample.content)} bytes",
            _received(one),
            str(one.result.sip_code),
            f"{notified.message_state} {notified.code}" if notified else "nothing",
            str(one.milliseconds),
            "yes" if one.is_as_expected else "NO",
        )
    console.print()
    console.print(table)


def _received(one: Seen) -> str:
    if one.received is None:
        return "nothing"
    return f"{len(one.received)} bytes, {'equal' if one.received == one.sample.content else 'CHANGED'}"


def _explain(console: Console, known: Known) -> None:
    print(f"\nomapush push explain {known.push.push_id}\n")
    for line in ladder.draw(known, width=console.width):
        console.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"\ndemo: {'all as expected' if code == 0 else 'FAILED'}, {time.monotonic() - started:.1f} s")
    raise SystemExit(code)
