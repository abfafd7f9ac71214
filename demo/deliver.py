"""
`make demo`: pushes go to a device by MESSAGE, NOTIFY, REFER and INVITE with MSRP, and as a link.

Results come back, and what the device got is compared byte for byte with what was pushed.

The device is a push receiver (`omapush.receiver`) that registered with the stand-in S-CSCF.

Everything runs on free loopback ports with its state in a temporary directory, and is ended at the end.
"""

from __future__ import annotations

import random
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
from omapush.receiver import Links, Push
from omapush.store.pushes import Known
from omapush.views.ladder import last
from tests.fakes.initiator import Notification, NotificationSink, PushInitiator, user_address
from tests.harness.processes import ProcessEnded
from tests.harness.receiver_thread import ReceiverThread, receiver_in_thread
from tests.harness.scscf import Scscf
from tests.harness.stack import PARTS, Settings, Stack
from tests.harness.wait import wait_until

ALICE: Final = "sip:alice@home1.example"
NOBODY: Final = "sip:nobody@home1.example"
PSA: Final = "sip:psa@push.home1.example"
"Our public service identity; the core brings to us what goes to it."
SUBSCRIBED: Final = "feed.ua"
"The device subscribes to its content after registering."
ASKED: Final = "firmware.ua"
"The device subscribes when a REFER asks for it."
LARGE: Final = "video.ua"
"Its contents are too large for the other methods: they come in sessions."
LINKED: Final = "music.ua"
"Its contents are fetched: a MESSAGE brings a link to them."
APPLICATIONS: Final = ("mms.ua", "ulp.ua", SUBSCRIBED, ASKED, LARGE, LINKED)
INITIATOR: Final = "demo"
PASSWORD: Final = "demo"  # noqa: S105 - of a lab that ends with the demo
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
# More than one MESSAGE may carry: 1,300 bytes are for the whole request.
FEED: Final = b"<feed xmlns='http://www.w3.org/2005/Atom'>" + b"<entry/>" * 200 + b"</feed>"
FIRMWARE: Final = bytes(range(256)) * 8
CLIP: Final = random.Random(1).randbytes(10_000_000)
SONG: Final = random.Random(2).randbytes(3_000_000)


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
    method: str = "MESSAGE"

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
        what="news feed",
        to=ALICE,
        application=SUBSCRIBED,
        content_type="application/atom+xml",
        content=FEED,
        state="delivered",
        code="1000",
        sip_code=200,
        method="NOTIFY",
    ),
    Sample(
        what="firmware",
        to=ALICE,
        application=ASKED,
        content_type="application/octet-stream",
        content=FIRMWARE,
        state="delivered",
        code="1000",
        sip_code=200,
        method="REFER, NOTIFY",
    ),
    Sample(
        what="video clip",
        to=ALICE,
        application=LARGE,
        content_type="video/mp4",
        content=CLIP,
        state="delivered",
        code="1000",
        sip_code=200,
        method="INVITE, MSRP",
    ),
    Sample(
        what="song",
        to=ALICE,
        application=LINKED,
        content_type="audio/mp4",
        content=SONG,
        state="delivered",
        code="1000",
        sip_code=200,
        method="MESSAGE, HTTP",
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
    "What the device got; None: nothing."
    method: str
    "By which SIP methods it came to the device."
    result: Result
    notified: Notification | None
    milliseconds: int

    @property
    def is_as_expected(self) -> bool:
        """Tell whether store, initiator and device all saw what must come out."""
        sample = self.sample
        wanted = (sample.state, sample.code)
        arrived = sample.content if sample.state == "delivered" else None
        return (
            (self.result.state, self.result.code, self.result.sip_code) == (*wanted, sample.sip_code)
            and self.notified is not None
            and (self.notified.message_state, self.notified.code) == wanted
            and self.received == arrived
            and self.method == (sample.method if sample.state == "delivered" else "")
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
        "sip": {"uri": PSA},
        f'application."{SUBSCRIBED}"': {"methods": ["NOTIFY"]},
        f'application."{ASKED}"': {"methods": ["NOTIFY", "REFER"]},
        f'application."{LINKED}"': {"methods": ["INDIRECT"]},
        "sessions": {"enabled": True, "linger_s": 0.5},
        'application."mms.ua"': {"retry": _RETRY},
    }
    print("starting Redis, Kamailio, api, notifier and media worker ...", flush=True)
    with Stack(folder, settings, (*PARTS, "msrp")) as stack:
        yield stack


def _deliver(stack: Stack, folder: Path, console: Console) -> int:
    print("starting the stand-in S-CSCF and the device ...", flush=True)
    with (
        Scscf.of(stack, folder / "scscf", "WITH_ISC_SUBSCRIBE") as scscf,
        receiver_in_thread(
            ALICE,
            scscf.uri,
            apps=APPLICATIONS,
            expires_s=600,
            subscribe_to=((SUBSCRIBED, PSA),),
            links=Links(domains=("127.0.0.1",)),
        ) as device,
        NotificationSink() as sink,
        PushInitiator(stack.http, INITIATOR, PASSWORD) as initiator,
    ):
        _wait_for_registration(stack)
        device.wait_for("subscribed", deadline_s=_DEADLINE_S)
        print(f"{ALICE} is registered with {', '.join(APPLICATIONS)},", flush=True)
        print(f"watched, and subscribed to {SUBSCRIBED}; pushing ...", flush=True)
        for sample in SAMPLES:
            _push(initiator, sample, sink.url)
        notifications = sink.wait_for(len(SAMPLES), _DEADLINE_S)
        seen = [_seen(stack, sample, device, notifications) for sample in SAMPLES]
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
    stack: Stack, sample: Sample, device: ReceiverThread, notifications: Sequence[Notification]
) -> Seen:
    known = stack.finished(push_ref(INITIATOR, sample.push_id), _DEADLINE_S)
    result = known.results[0]
    if result.state == "delivered":  # a link counts as soon as all of it was fetched
        device.wait_for_pushes(sum(one.state == "delivered" for one in SAMPLES), _DEADLINE_S)
    push = next((one for one in device.pushes if one.content_type == sample.content_type), None)
    return Seen(
        sample=sample,
        received=push.read() if push else None,
        method=_way(push, device) if push else "",
        result=result,
        notified=next((one for one in notifications if one.push_id == sample.push_id), None),
        milliseconds=result.at_ms - known.push.accepted_ms,
    )


def _way(push: Push, device: ReceiverThread) -> str:
    """The methods that brought a push; a REFER comes before the subscription, MSRP after an INVITE."""
    if push.method == "INVITE":
        return "INVITE, MSRP"
    if push.application == LINKED:
        return f"{push.method}, HTTP"
    asked = any(told["application"] == push.application for told in device.told("referred"))
    return f"REFER, {push.method}" if asked else push.method


def _told(stack: Stack, sample: Sample) -> Known:
    """All about one push, once the log says that its initiator was told."""
    ref = push_ref(INITIATOR, sample.push_id)
    wait_until(
        lambda: last(stack.known(ref).events, 0, "notified") is not None,
        _DEADLINE_S,
        lambda: f"notification of {sample.push_id}\n{stack.logs()}",
    )
    return stack.known(ref)


def _report(console: Console, seen: Sequence[Seen]) -> None:
    table = Table(title="Pushes sent and what came back", title_justify="left")
    for name in (
        "what",
        "application",
        "sent",
        "received",
        "by",
        "SIP",
        "told the initiator",
        "ms",
        "as expected",
    ):
        table.add_column(name, justify="right" if name in ("sent", "ms") else "left")
    for one in seen:
        notified = one.notified
        table.add_row(
            one.sample.what,
            one.sample.application,
            f"{len(one.sample.content):,} bytes",
            _received(one),
            one.method or "-",
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
    return "the same" if one.received == one.sample.content else f"{len(one.received)} bytes, CHANGED"


def _explain(console: Console, known: Known) -> None:
    print(f"\nomapush push explain {known.push.push_id}\n")
    for line in ladder.draw(known, width=console.width):
        console.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"\ndemo: {'all as expected' if code == 0 else 'FAILED'}, {time.monotonic() - started:.1f} s")
    raise SystemExit(code)
