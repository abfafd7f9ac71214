"""RFC 4475 at the receiver: what is wrong gets its code or silence, and the next push arrives."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, registered, request

_FOLDER = Path(__file__).parents[2] / "corpora"
CORPUS = sorted([*_FOLDER.glob("*/sip/*.sip"), *_FOLDER.glob("rfc4475/*.dat")])


def asked(peer: SipPeer, device: ReceiverThread, good: bytes, sent: bytes) -> SipText:
    """The answer to bytes that the peer itself might not read; `good` has their Call-ID."""
    call_id = SipText.parse(good).header("Call-ID")
    peer.send(sent, device.receiver.address)

    def answers() -> list[SipText]:
        return [one for one in peer.responses if one.header("Call-ID") == call_id]

    wait_until(lambda: bool(answers()), 5, lambda: f"answer to {sent!r}")
    return answers()[0]


def still_works(peer: SipPeer, device: ReceiverThread) -> bool:
    return peer.ask(request(peer, "MESSAGE", body=b"after"), device.receiver.address).status == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Max-Forwards: 70", b"Max-Forwards 70"), 400),
        ((b"Content-Length: 1", b"Content-Length: 9999"), 400),
        ((b"Content-Length: 1", b"Content-Length: -999"), 400),
        ((b"Content-Length: 1", b"Content-Length: 1\r\nContent-Length: 2"), 400),
        ((b" MESSAGE\r\nP-", b" OPTIONS\r\nP-"), 400),
        ((b"CSeq: ", b"CSeq: 99999999999"), 400),
        ((b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"), 505),
        ((f"MESSAGE {ALICE} SIP".encode(), f"MESSAGE <{ALICE}> SIP".encode()), 400),
        ((f"MESSAGE {ALICE} SIP".encode(), f"MESSAGE  {ALICE} SIP".encode()), 400),
        ((f"MESSAGE {ALICE} SIP".encode(), b"MESSAGE nobodyKnowsThisScheme:x SIP"), 416),
        ((f"MESSAGE {ALICE} SIP".encode(), b"MESSAGE sip:a@@b SIP"), 400),
        ((f"To: <{ALICE}>".encode(), f'To: "unbalanced <{ALICE}>'.encode()), 400),
        ((f"To: <{ALICE}>".encode(), f"To: <{ALICE}>\r\nTo: <{ALICE}>".encode()), 400),
        ((b"Max-Forwards: 70", b"Require: nothingSupportsThis, pref"), 420),
        ((b"Max-Forwards: 70", b"Proxy-Require: nothingSupportsThis"), 200),
        ((b"Max-Forwards: 70", b"Max-Forwards: 0"), 200),
        ((b"Max-Forwards: 70", b"Max-Forwards: 70\r\nSubject:\r\n folded\r\n\tline"), 200),
        ((b"Content-Type: text/plain", b"c:text/plain"), 200),
        ((b"Content-Type: text/plain", b"Content-Type: text"), 400),
        ((b"\r\n\r\nx", b"\r\n\r\nx and more octets"), 200),
        ((b"branch=z9hG4bKcore", b"branch=z9hG4bK;x=core"), 200),
        ((b";tag=core", b""), 200),
    ],
    ids=lambda change: repr(change)[:60],
)
def test_each_kind_of_trouble_gets_its_answer(change: tuple[bytes, bytes], status: int) -> None:
    with registered() as (peer, device):
        raw = request(peer, "MESSAGE", body=b"x")
        assert change[0] in raw
        answer = asked(peer, device, raw, raw.replace(*change, 1))

        assert answer.status == status
        if status == 420:
            assert answer.header("Unsupported") == "nothingSupportsThis"
        if status == 400:
            assert answer.header("Warning").startswith('399 omapush "')
        assert still_works(peer, device)


@pytest.mark.parametrize("method", ["PUBLISH", "INFO", "UPDATE", "NEWMETHOD"])
def test_a_method_that_is_not_taken_gets_405_with_those_that_are(method: str) -> None:
    with registered() as (peer, device):
        answer = peer.ask(request(peer, method), device.receiver.address)
        assert answer.status == 405
        assert "MESSAGE, NOTIFY, REFER" in answer.header("Allow")


def test_a_cancel_is_answered_and_an_ack_is_not() -> None:
    with registered() as (peer, device):
        message = request(peer, "MESSAGE", body=b"x")
        assert peer.ask(message, device.receiver.address).status == 200
        cancel = message.replace(b" MESSAGE", b" CANCEL").replace(b"MESSAGE sip", b"CANCEL sip")
        cancel = cancel.replace(b"Call-ID: core", b"Call-ID: cancel")
        assert peer.ask(cancel, device.receiver.address).status == 200
        assert peer.ask(request(peer, "CANCEL"), device.receiver.address).status == 481
        peer.send(request(peer, "ACK"), device.receiver.address)
        assert still_works(peer, device)
        assert all("ACK" not in response.header("CSeq") for response in peer.responses)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_no_message_of_the_corpus_ends_the_receiver(path: Path) -> None:
    with registered() as (peer, device):
        raw = path.read_bytes()
        for piece in (
            raw,
            raw[: len(raw) // 2],
            b"\0" * 30,
            b"\r\n\r\n",
            raw.replace(b"SIP/2.0 200", b"SIP/2.0 999"),
        ):
            peer.send(piece[:60_000], device.receiver.address)
        assert still_works(peer, device)


def test_responses_that_nobody_waits_for_are_dropped() -> None:
    with registered() as (peer, device):
        raw = request(peer, "MESSAGE").replace(f"MESSAGE {ALICE} SIP/2.0".encode(), b"SIP/2.0 200 OK", 1)
        for status in (b"100", b"200", b"699"):
            peer.send(raw.replace(b"200", status, 1), device.receiver.address)
        assert still_works(peer, device)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.integers(0, 700))
def test_no_change_of_a_request_ends_the_receiver(
    one_device: tuple[SipPeer, ReceiverThread], junk: bytes, at: int
) -> None:
    peer, device = one_device
    raw = request(peer, "REFER", {"Refer-To": "<sip:x@y.example;method=SUBSCRIBE>"}, b"x")
    peer.send(raw[:at] + junk + raw[at + len(junk) :], device.receiver.address)


@pytest.fixture(scope="module")
def one_device() -> Iterator[tuple[SipPeer, ReceiverThread]]:
    """One receiver for all examples: it has to outlive every one of them."""
    with registered() as (peer, device):
        yield peer, device
        wait_until(lambda: still_works(peer, device), 5, "a push after all of them")
