"""Both ends of a session: our receiver behind the stand-in S-CSCF, our sender with its media worker."""

import asyncio
import hashlib
import secrets
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from omapush.push.values import ticket
from omapush.receiver import AnswerWith, FileOffer, Play, Push, Reason, Refused, Sessions
from omapush.store import pushes, sessions
from tests.conftest import MakeStack
from tests.harness.certificates import certificate
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.receiver_thread import ReceiverThread, receiver_in_thread
from tests.harness.scscf import Scscf
from tests.harness.stack import ROOT, Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.test_receiver_and_sender import known_to, proxy

PSA = "sip:psa@push.home1.example"
LARGE = secrets.token_bytes(10_000_000)
MIDDLE = LARGE[:500_000]

SETTINGS: Settings = {
    "sip": {"uri": PSA},
    "sessions": {"enabled": True, "linger_s": 0.3},
    "msrp": {"connect_s": 2.0, "idle_s": 10.0, "report_s": 10.0},
    'application."large.ua"': {"methods": ["INVITE"]},
    'application."once.ua"': {"methods": ["INVITE"], "retry": {"attempts": 1}},
    'application."twice.ua"': {
        "methods": ["INVITE"],
        "retry": {"attempts": 2, "first_s": 0.2, "longest_s": 0.3},
    },
    'application."again.ua"': {
        "methods": ["INVITE"],
        "retry": {"attempts": 10, "first_s": 0.5, "longest_s": 1.0},
    },
    'application."chosen.ua"': {"methods": ["MESSAGE", "INVITE"]},
}
_numbers = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), SETTINGS, ("redis", "sip", "notifier", "msrp")) as running:
        yield running


@pytest.fixture(scope="module")
def scscf(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scscf]:
    with Scscf.of(stack, tmp_path_factory.mktemp("scscf")) as running:
        yield running


@pytest.fixture
def aor() -> str:
    return f"sip:large{next(_numbers)}.{time.monotonic_ns()}@home1.example"


def submit(stack: Stack, aor: str, content: bytes = LARGE, app: str = "large.ua") -> str:
    headers = [("Content-Disposition", 'attachment; filename="../video.mp4"')]
    return stack.submit(aor, content, app=app, content_type="video/mp4", headers=headers)


def ends(device: ReceiverThread, number: int = 1) -> None:
    """Return when a session of the device is over and nothing of it is left."""
    device.wait_for("session_ended", number, deadline_s=20)
    media = device.receiver.endpoint.media(device.receiver.settings.sessions)
    wait_until(lambda: media.connections == 0, 10, lambda: f"{media.connections} connections")
    assert device.do(lambda: device.receiver.sessions.open) == 0


@pytest.mark.req("PSA-MSRP-1", "PSA-MSRP-2", "PSA-MSRP-5", "PSA-MSRP-10", "PSA-MSRP-16")
@pytest.mark.req("PRA-MSRP-1", "PRA-MSRP-2", "PRA-MSRP-3", "PRA-MSRP-5", "PRA-MSRP-6", "PRA-GEN-1")
@pytest.mark.parametrize(("connect", "transport"), [(False, "udp"), (True, "tcp")])
def test_ten_megabytes_arrive_byte_for_byte_and_count_as_delivered(
    stack: Stack, scscf: Scscf, aor: str, connect: bool, transport: str
) -> None:
    settings = Sessions(connect=connect)
    with receiver_in_thread(aor, proxy(scscf, transport), apps=("large.ua",), sessions=settings) as device:
        known_to(stack, aor)
        ref = submit(stack, aor)
        result = stack.result(ref, deadline_s=40)

        assert (result.state, result.code, result.method) == ("delivered", "1000", "INVITE")
        (push,) = device.wait_for_pushes(1)
        assert hashlib.sha1(push.read()).digest() == hashlib.sha1(LARGE).digest()
        assert push.read() == LARGE
        assert (push.content, push.size, push.content_type) == (b"", len(LARGE), "video/mp4")
        assert (push.name, push.disposition, push.method) == ("video.mp4", "attachment", "INVITE")
        assert push.sender == "sip:mmsc@home1.example"
        ends(device)


@pytest.mark.req("PSA-MSRP-1")
def test_the_method_is_chosen_by_the_size_and_by_what_the_device_says(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    with receiver_in_thread(aor, proxy(scscf), apps=("chosen.ua",)) as device:
        known_to(stack, aor)
        refs = [submit(stack, aor, content, "chosen.ua") for content in (b"small", MIDDLE)]
        assert [stack.result(ref, deadline_s=20).method for ref in refs] == ["MESSAGE", "INVITE"]
        pushes = device.wait_for_pushes(2)
        assert [push.method for push in pushes] == ["MESSAGE", "INVITE"]
        assert [push.read() for push in pushes] == [b"small", MIDDLE]


@pytest.mark.req("PRA-MSRP-4")
@pytest.mark.parametrize(
    ("refusal", "sip_code"),
    [
        (Refused(Reason.DECLINED), 603),
        (Refused(Reason.TYPE), 488),
        (Refused(Reason.TOO_LARGE), 413),
        (AnswerWith(486), 486),
        (AnswerWith(415), 415),
    ],
)
@pytest.mark.parametrize("by_port", [False, True])
def test_a_file_that_the_application_refuses_is_not_sent(
    stack: Stack, scscf: Scscf, aor: str, refusal: Refused, sip_code: int, by_port: bool
) -> None:
    told: list[FileOffer] = []

    def decide(offer: FileOffer) -> None:
        told.append(offer)
        raise refusal

    settings = Sessions(refuse_by_port=by_port)
    with receiver_in_thread(aor, proxy(scscf), apps=("once.ua",), sessions=settings) as device:
        device.decide_offer = decide
        known_to(stack, aor)
        result = stack.result(submit(stack, aor, MIDDLE, "once.ua"), deadline_s=20)

        assert result.state in ("undeliverable", "aborted", "rejected")
        assert by_port or result.sip_code == sip_code
        (offer,) = told
        assert (offer.size, offer.content_type, offer.name) == (len(MIDDLE), "video/mp4", "video.mp4")
        assert device.pushes == []


def test_what_the_application_refuses_after_it_came_is_not_delivered(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    def decide(push: Push) -> None:
        raise Refused(Reason.FORBIDDEN)

    with receiver_in_thread(aor, proxy(scscf), apps=("once.ua",)) as device:
        device.decide = decide
        known_to(stack, aor)
        result = stack.result(submit(stack, aor, MIDDLE, "once.ua"), deadline_s=20)
        assert result.state != "delivered"
        ends(device)


@pytest.mark.req("PRA-MSRP-3")
@pytest.mark.parametrize("stop_by", ["close", "bye", "refuse"])
def test_a_device_that_stops_in_the_middle_gets_nothing_and_the_sender_knows(
    stack: Stack, scscf: Scscf, aor: str, stop_by: str
) -> None:
    settings = Sessions(play=Play(stop_at=100_000, stop_by=stop_by))  # type: ignore[arg-type]
    with receiver_in_thread(aor, proxy(scscf), apps=("once.ua",), sessions=settings) as device:
        known_to(stack, aor)
        result = stack.result(submit(stack, aor, MIDDLE, "once.ua"), deadline_s=30)
        assert result.state != "delivered"
        assert device.pushes == []
        ends(device)


@pytest.mark.req("PRA-MSRP-3")
def test_an_interrupted_file_goes_on_at_the_next_try(
    stack: Stack, scscf: Scscf, aor: str, tmp_path: Path
) -> None:
    settings = Sessions(folder=tmp_path, play=Play(stop_at=2_000_000, stop_by="close", stop_times=1))
    with receiver_in_thread(aor, proxy(scscf), apps=("twice.ua",), sessions=settings) as device:
        known_to(stack, aor)
        ref = submit(stack, aor, LARGE, "twice.ua")
        result = stack.result(ref, deadline_s=40)

        assert result.state == "delivered", stack.known(ref).events
        (push,) = device.wait_for_pushes(1)
        assert push.read() == LARGE
        ends(device, 2)
        octets = [int(str(one["octets"])) for one in device.told("session_ended")]
        assert octets[0] >= 2_000_000
        assert sum(octets) < 1.5 * len(LARGE)


@pytest.mark.req("PSA-MSRP-3", "PRA-MSRP-4")
def test_a_push_that_is_withdrawn_before_the_answer_is_cancelled(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    asked: list[FileOffer] = []

    async def decide(offer: FileOffer) -> None:
        asked.append(offer)
        await asyncio.sleep(60)

    with receiver_in_thread(aor, proxy(scscf), apps=("once.ua",)) as device:
        device.decide_offer = decide
        known_to(stack, aor)
        ref = submit(stack, aor, MIDDLE, "once.ua")
        wait_until(lambda: bool(asked), 10, "the question")
        [delivery] = pushes.open_deliveries(stack.store, ref)
        sessions.abort(stack.store, [ticket(delivery)], "cancelled", 1)
        device.wait_for("session_cancelled")
        assert device.pushes == []


def test_several_files_for_one_user_arrive_all(stack: Stack, scscf: Scscf, aor: str) -> None:
    contents = [secrets.token_bytes(200_000) for _ in range(5)]
    with receiver_in_thread(aor, proxy(scscf), apps=("large.ua",)) as device:
        known_to(stack, aor)
        refs = [submit(stack, aor, content) for content in contents]
        assert {stack.result(ref, deadline_s=40).state for ref in refs} == {"delivered"}
        assert sorted(push.read() for push in device.wait_for_pushes(5)) == sorted(contents)
        ends(device, len(device.told("session_opened")))


@pytest.mark.req("PRA-MSRP-4", "PSA-MSRP-1")
def test_content_travels_over_tls_where_the_sender_says_so(make_stack: MakeStack, tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    pem = str(tmp_path / "server.pem")
    tls = {"tls": True, "certificate": pem, "private_key": pem, "trusted_certificates": pem}
    stack = make_stack(
        {**SETTINGS, "msrp": {**SETTINGS["msrp"], **tls}}, ("redis", "sip", "notifier", "msrp")
    )
    with Scscf.of(stack, tmp_path / "core") as scscf:
        (tmp_path / "own").mkdir()
        certificate(tmp_path / "own")
        own = Sessions(
            certificate=tmp_path / "own" / "server.pem"
        )  # no root of ours knows it, nor it one of ours
        for number, settings in enumerate(
            (
                Sessions(tls=client, tls_server=server),
                Sessions(tls=client, tls_server=server, connect=True),
                own,
                replace(own, connect=True),
            )
        ):
            aor = f"sip:secure.{number}@home1.example"
            with receiver_in_thread(aor, proxy(scscf), apps=("large.ua",), sessions=settings) as device:
                known_to(stack, aor)
                assert stack.result(submit(stack, aor, MIDDLE), deadline_s=20).state == "delivered"
                (push,) = device.wait_for_pushes(1)
                assert push.read() == MIDDLE
                ends(device)


@pytest.mark.req("PRA-MSRP-3", "PRA-MSRP-4")
def test_a_device_that_is_killed_in_the_middle_goes_on_when_it_is_there_again(
    stack: Stack, scscf: Scscf, aor: str, tmp_path: Path
) -> None:
    same = ("--listen", f"127.0.0.1:{free_port()}", "--instance", f"urn:uuid:{uuid.uuid4()}")

    def device(*more: str) -> Process:
        command = [sys.executable, "-m", "omapush.cli.main", "receiver", "run", "--uri", aor, "--json"]
        place = ("--proxy", proxy(scscf), "--app", "again.ua", "--save", str(tmp_path / "kept"))
        return Process([*command, *place, *same, *more], log=tmp_path / "device.log", cwd=ROOT)

    def coming() -> int:
        return sum(one.stat().st_size for one in (tmp_path / "kept" / "files" / "partial").glob("*.part"))

    with device("--file-rate", "200000") as killed:
        known_to(stack, aor)
        ref = submit(stack, aor, MIDDLE, "again.ua")
        killed.wait_until(lambda: coming() > 100_000, 10, "the first of it")
        killed.kill()
    assert 100_000 < coming() < len(MIDDLE)
    with device() as again:
        assert stack.result(ref, deadline_s=60).state == "delivered", stack.known(ref).events
        again.wait_until(lambda: '"event": "push"' in again.log_text(), 10, "the push")
    (kept,) = (tmp_path / "kept").glob("*.bin")
    assert kept.read_bytes() == MIDDLE
    assert coming() == 0
