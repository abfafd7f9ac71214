"""examples/handset.py between our sender and the stand-in S-CSCF: services of OMA, and large contents."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.harness.processes import Process
from tests.harness.scscf import Scscf
from tests.harness.stack import ROOT, Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.test_receiver_and_sender import known_to, proxy

PSA = "sip:psa@push.home1.example"
PARTS = ("redis", "sip", "notifier", "msrp", "api")
MMS, SUPL = "application/vnd.wap.mms-message", "application/vnd.omaloc-supl-init"
TRIGGER, WBXML = "application/vnd.syncml.notification", "application/vnd.syncml.dm+wbxml"
SETTINGS: Settings = {
    "sip": {"uri": PSA},
    "sessions": {"enabled": True, "linger_s": 0.3},
    'application."news.ua"': {"methods": ["NOTIFY", "MESSAGE", "INVITE", "INDIRECT"]},
}
CONTENTS = {
    MMS: b"\x8c\x82\x98T1\0\x8d\x92\x8a\x80\x8e\x02\x10\x00\x88\x05\x81\x03\x02\xa3\x00\x83http://mmsc.home1.example/1\0",
    SUPL: bytes.fromhex("002101000080000000000000000000") + b"\0\xff\r\n\r\n",
    TRIGGER: bytes(range(240, 256)) + bytes.fromhex("02f80000000000010a") + b"home1.example",
    WBXML: b"\x03\xa4\x01\x6a\x00\x45\x5a\x00\x01" + bytes(range(256)),
}
"By content type: octets as WSP, PER and WBXML have them, none of them text."
APPLICATIONS = {MMS: "mms.ua", SUPL: "ulp.ua", TRIGGER: "syncml.dm", WBXML: "syncml.dm"}
_numbers = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), SETTINGS, PARTS) as running:
        yield running


@pytest.fixture(scope="module")
def scscf(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scscf]:
    with Scscf.of(stack, tmp_path_factory.mktemp("scscf"), "WITH_ISC_SUBSCRIBE") as running:
        yield running


@pytest.fixture
def aor() -> str:
    return f"sip:handset{next(_numbers)}.{time.monotonic_ns()}@home1.example"


@contextmanager
def handset(
    stack: Stack, aor: str, via: str, folder: Path, *options: str, ends_with: int = 0
) -> Iterator[Process]:
    """The program, once the sender knows it; ended by SIGTERM, if it did not end before."""
    program = ROOT / "examples" / "handset.py"
    argv: list[str | Path] = [sys.executable, program, aor, via, folder, *options]
    with Process(argv, log=folder.with_suffix(".log"), env={"PYTHONPATH": str(ROOT)}) as process:
        process.wait_for_line("registered")
        known_to(stack, aor)
        yield process
        if not ends_with:
            process.send_signal(signal.SIGTERM)
        assert process.wait_for_exit(15) == ends_with, process.log_tail()


def kept(folder: Path) -> Sequence[bytes]:
    """The contents in the handset's inbox."""
    return [path.read_bytes() for path in (folder / "inbox").iterdir()]


@pytest.mark.req("PRA-GEN-3", "PRA-MSG-3", "PRA-MSG-4", "SIPPUSH-PRA-C-001")
@pytest.mark.parametrize(("transport", "options"), [("udp", ()), ("tcp", ("--behind-nat",))])
def test_each_service_gets_its_octets_as_they_were_pushed(
    stack: Stack, scscf: Scscf, aor: str, tmp_path: Path, transport: str, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "handset"
    with handset(stack, aor, proxy(scscf, transport), folder, *options):
        refs = [
            stack.submit(aor, content, app=APPLICATIONS[kind], content_type=kind)
            for kind, content in CONTENTS.items()
        ]
        results = [stack.result(ref) for ref in refs]

        assert {(one.state, one.method) for one in results} == {("delivered", "MESSAGE")}
        assert sorted(kept(folder)) == sorted(CONTENTS.values())
        wrong = stack.result(stack.submit(aor, b"no such message", app="mms.ua", content_type=MMS))
        assert (wrong.state, wrong.sip_code) == ("aborted", 403)
        other = stack.result(stack.submit(aor, b"text", app="ulp.ua", content_type="text/plain"))
        assert (other.state, other.code) == ("aborted", "5030")
        assert len(kept(folder)) == len(CONTENTS)


@pytest.mark.req("PRA-SUB-1", "PRA-NOT-1", "PRA-MSRP-5")
def test_news_come_in_the_subscription_and_large_ones_in_a_session_or_by_a_link(
    stack: Stack, scscf: Scscf, aor: str, tmp_path: Path
) -> None:
    folder, large, linked = tmp_path / "handset", os.urandom(300_000), os.urandom(200_000)
    with handset(stack, aor, proxy(scscf), folder, "--sender", PSA, "--fetch-from", "127.0.0.1"):

        def arrives(content: bytes, method: str = "") -> str:
            ref = stack.submit(aor, content, app="news.ua", content_type="text/html", method=method)
            return stack.result(ref, 30).method

        wait_until(lambda: arrives(b"<p>small</p>") == "NOTIFY", 10, "the subscription")
        assert arrives(large, "INVITE") == "INVITE"
        assert arrives(linked, "INDIRECT") == "NOTIFY"  # which brings the link
        wait_until(lambda: {large, linked} <= set(kept(folder)), 10, "both large contents")
        assert list((folder / "coming").glob("*.*")) == []


@pytest.mark.req("PRA-MSG-1")
def test_who_is_not_trusted_pushes_nothing(stack: Stack, scscf: Scscf, aor: str, tmp_path: Path) -> None:
    folder = tmp_path / "handset"
    with handset(stack, aor, proxy(scscf), folder, "--trust", "sip:*@mmsc.home1.example"):
        result = stack.result(stack.submit(aor, CONTENTS[MMS], app="mms.ua", content_type=MMS))
        assert (result.state, result.sip_code) == ("aborted", 403)
        assert kept(folder) == []


@pytest.mark.req("PRA-REG-1")
def test_the_binding_that_a_killed_handset_left_is_removed_when_it_is_back(
    stack: Stack, scscf: Scscf, aor: str, tmp_path: Path
) -> None:
    folder = tmp_path / "handset"
    with handset(stack, aor, proxy(scscf), folder, ends_with=-signal.SIGKILL) as process:
        left = contacts(stack, aor)
        process.send_signal(signal.SIGKILL)
    with handset(stack, aor, proxy(scscf), folder):

        def is_alone() -> bool:
            return len(contacts(stack, aor)) == 1 and contacts(stack, aor) != left

        wait_until(is_alone, 10, lambda: f"{left} is gone: {contacts(stack, aor)}")
        ref = stack.submit(aor, CONTENTS[SUPL], app="ulp.ua", content_type=SUPL)
        assert stack.result(ref).state == "delivered"


def contacts(stack: Stack, aor: str) -> list[str]:
    record = stack.registration(aor)
    return [one.uri for one in record.contacts] if record else []
