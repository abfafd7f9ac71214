"""A MESSAGE on its way to an application, and what it is answered with."""

import asyncio
import gzip
import threading
from email.utils import formatdate
from ipaddress import ip_network

import pytest

from omapush.receiver import AnswerWith, Limits, Push, Reason, Refused, Trusted, Whitelist
from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, PSA, registered, request


def ask(peer: SipPeer, device: ReceiverThread, raw: bytes) -> SipText:
    return peer.ask(raw, device.receiver.address)


@pytest.mark.req("PRA-MSG-2", "PRA-MSG-3", "PRA-MSG-4", "PRA-GEN-1", "PRA-GEN-3", "SIPPUSH-PRA-C-001")
@pytest.mark.req("SIPPUSH-PRA-C-004", "SIPPUSH-PRA-C-007", "SIPPUSH-PRA-C-010", "SIPPUSH-PRA-C-011")
def test_a_message_reaches_its_application_byte_for_byte_and_gets_a_bare_200() -> None:
    content = bytes(range(256))
    with registered(apps=("ulp.ua", "mms.ua")) as (peer, device):
        answer = ask(peer, device, request(peer, "MESSAGE", {"Content-Type": "application/x;a=b"}, content))

        assert answer.status == 200
        assert answer.body == b""
        assert answer.header("Contact") == ""
        assert ";tag=" in answer.header("To")
        (push,) = device.pushes
        assert (push.content, push.content_type) == (content, "application/x;a=b")
        assert (push.application, push.sender, push.method) == ("mms.ua", PSA, "MESSAGE")
        assert push.header("Accept-Contact") == '*;+g.oma.pusheventapp="mms.ua"'


@pytest.mark.req("PRA-MSG-1", "PRA-MSG-5", "SEC-10")
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "<http://x.example>",
        "<tel:+1>, <tel:+2>",
        "<sip:a@x.example>, <sip:b@x.example>",
        "<sip:a@x.example>, <tel:+1>, <tel:+2>",
        "nonsense",
    ],
)
def test_a_message_without_one_asserted_identity_gets_403(value: str | None) -> None:
    with registered() as (peer, device):
        answer = ask(peer, device, request(peer, "MESSAGE", {"P-Asserted-Identity": value}, b"x"))

        assert answer.status == 403
        assert "P-Asserted-Identity" in answer.header("Warning")
        assert device.pushes == []
        assert sum(device.receiver.delivery.refusals.values()) == 1


def test_a_sip_and_a_tel_identity_together_are_one_sender() -> None:
    with registered() as (peer, device):
        identity = {"P-Asserted-Identity": "<sip:a@x.example>, <tel:+15550101>"}
        assert ask(peer, device, request(peer, "MESSAGE", identity, b"x")).status == 200
        assert device.pushes[0].sender == "sip:a@x.example"


@pytest.mark.req("PRA-MSG-1", "SEC-10")
def test_an_identity_from_outside_the_trust_domain_does_not_count() -> None:
    with registered() as (_, device), SipPeer(host="127.0.0.2") as stranger:
        answer = stranger.ask(request(stranger, "MESSAGE", body=b"x"), device.receiver.address)
        assert answer.status == 403
        assert "trusted" in answer.header("Warning")
        assert device.pushes == []

    with (
        registered(trusted=(ip_network("127.0.0.2/32"),)) as (_, device),
        SipPeer(host="127.0.0.2") as friend,
    ):
        assert friend.ask(request(friend, "MESSAGE", body=b"x"), device.receiver.address).status == 200


def test_identities_may_be_left_to_the_application() -> None:
    with registered(require_identity=False) as (peer, device):
        assert ask(peer, device, request(peer, "MESSAGE", {"P-Asserted-Identity": None}, b"x")).status == 200
        assert device.pushes[0].sender == PSA


@pytest.mark.req("PROP-ARI-6")
@pytest.mark.parametrize(
    ("preference", "status", "application"),
    [
        ('*;+g.oma.pusheventapp="MMS.ua"', 200, "mms.ua"),
        ('*;+g.oma.pusheventapp="other.ua,ulp.ua"', 200, "ulp.ua"),
        ('*;+g.oma.pusheventapp="other.ua", *;+g.oma.pusheventapp="ulp.ua"', 200, "ulp.ua"),
        ('*;+g.oma.pusheventappp="mms.ua"', 200, "mms.ua"),
        ('*;+g.oma.pusheventapp="other.ua"', 404, ""),
        ('*;+g.oma.pusheventapp="other.ua";require', 480, ""),
        ('*;+g.oma.pusheventapp="mms.ua";video;require;explicit', 480, ""),
        ('*;+g.oma.pusheventapp="mms.ua";methods="INFO";require', 480, ""),
        ("*;+g.oma.pusheventapp=", 400, ""),
        ("nonsense", 400, ""),
        (None, 404, ""),
    ],
)
def test_accept_contact_chooses_the_application(
    preference: str | None, status: int, application: str
) -> None:
    with registered(apps=("mms.ua", "ulp.ua")) as (peer, device):
        answer = ask(peer, device, request(peer, "MESSAGE", {"Accept-Contact": preference}, b"x"))

        assert answer.status == status
        assert [push.application for push in device.pushes] == ([application] if application else [])


def test_reject_contact_of_this_device_is_480() -> None:
    with registered() as (peer, device):
        headers = {"Reject-Contact": '*;methods="MESSAGE"'}
        assert ask(peer, device, request(peer, "MESSAGE", headers, b"x")).status == 480


def test_a_push_without_application_goes_to_the_default_or_by_content_type() -> None:
    bare = {"Accept-Contact": None}
    with registered(apps=("mms.ua", "ulp.ua"), default_application="ulp.ua") as (peer, device):
        assert ask(peer, device, request(peer, "MESSAGE", bare, b"x")).status == 200
        assert device.pushes[0].application == "ulp.ua"
    accept = {"mms.ua": ("image/png",), "ulp.ua": ("text/plain",)}
    with registered(apps=("mms.ua", "ulp.ua"), accept=accept) as (peer, device):
        assert ask(peer, device, request(peer, "MESSAGE", bare, b"x")).status == 200
        assert device.pushes[0].application == "ulp.ua"


def test_a_type_that_is_not_taken_is_415_with_what_is() -> None:
    with registered(accept={"mms.ua": ("image/*", "text/html")}) as (peer, device):
        answer = ask(peer, device, request(peer, "MESSAGE", body=b"x"))

        assert answer.status == 415
        assert answer.header("Accept") == "image/*, text/html"
        assert answer.header("Accept-Encoding") == "gzip, deflate, identity"
        image = request(peer, "MESSAGE", {"Content-Type": "IMAGE/png"}, b"x")
        assert ask(peer, device, image).status == 200


def test_content_encoding_is_undone_and_bounded() -> None:
    with registered(limits=Limits(content_bytes=1000)) as (peer, device):
        packed = request(peer, "MESSAGE", {"Content-Encoding": "gzip"}, gzip.compress(b"hello"))
        assert ask(peer, device, packed).status == 200
        assert device.pushes[0].content == b"hello"

        bomb = request(peer, "MESSAGE", {"Content-Encoding": "gzip"}, gzip.compress(bytes(9_000_000)))
        assert ask(peer, device, bomb).status == 413
        assert ask(peer, device, request(peer, "MESSAGE", body=bytes(1001))).status == 413
        unknown = ask(peer, device, request(peer, "MESSAGE", {"Content-Encoding": "br"}, b"x"))
        assert (unknown.status, unknown.header("Accept-Encoding")) == (415, "gzip, deflate, identity")
        broken = request(peer, "MESSAGE", {"Content-Encoding": "gzip"}, b"x")
        assert ask(peer, device, broken).status == 400


@pytest.mark.req("PROP-CTRL-1", "PROP-CTRL-2")
def test_the_wrapped_form_gives_the_same_record_as_the_native_one() -> None:
    control = (
        b"X-Wap-Application-Id: mms.ua\r\nContent-Type: text/plain\r\n"
        b"X-Wap-Initiator-URI: http://provider.example/\r\nX-Wap-Content-URI: http://c.example/1\r\n\r\n"
    )
    with registered() as (peer, device):
        wrapped = {"Content-Type": "application/vnd.oma.push"}
        assert ask(peer, device, request(peer, "MESSAGE", wrapped, control + b"hello")).status == 200
        assert ask(peer, device, request(peer, "MESSAGE", body=b"hello")).status == 200
        one, other = device.pushes
        assert (one.content, one.content_type, one.application) == (
            other.content, other.content_type, other.application,
        )  # fmt: skip
        assert (one.initiator_uri, one.content_uri) == ("http://provider.example/", "http://c.example/1")
        assert (one.wrapped, other.wrapped) == (True, False)
        assert ask(peer, device, request(peer, "MESSAGE", wrapped, b"not wrapped")).status == 400


def test_validity_is_date_and_expires_and_what_is_over_is_not_delivered() -> None:
    with registered() as (peer, device):
        date = formatdate(2_000_000_000, usegmt=True)
        assert (
            ask(peer, device, request(peer, "MESSAGE", {"Date": date, "Expires": "60"}, b"x")).status == 200
        )
        assert device.pushes[0].valid_until_ms == 2_000_000_060_000
        past = {"Date": formatdate(1_000_000_000, usegmt=True), "Expires": "60"}
        answer = ask(peer, device, request(peer, "MESSAGE", past, b"x"))
        assert (answer.status, len(device.pushes)) == (480, 1)
        assert "expired" in answer.header("Warning")
        odd = {"Date": "Tue, 30 Feb 2030 25:00:00 GMT", "Expires": "60"}
        assert ask(peer, device, request(peer, "MESSAGE", odd, b"x")).status == 200
        assert ask(peer, device, request(peer, "MESSAGE", {"Expires": "soon"}, b"x")).status == 400


@pytest.mark.req("PRA-MSG-3")
def test_a_push_is_delivered_once_however_often_it_comes() -> None:
    with registered() as (peer, device):
        raw = request(peer, "MESSAGE", body=b"x")
        again = raw.replace(b"branch=z9hG4bKcore", b"branch=z9hG4bKagain")
        assert ask(peer, device, raw).status == 200
        for repeated in (raw, raw, again):
            assert ask(peer, device, repeated).status == 200
        assert len(device.pushes) == 1
        assert device.receiver.endpoint.server.repeated == 2
        assert device.receiver.delivery.duplicates == 1


@pytest.mark.req("PROP-CTRL-4")
def test_the_senders_push_id_is_recognised_under_another_call_id() -> None:
    with registered() as (peer, device):
        for _ in range(2):
            assert ask(peer, device, request(peer, "MESSAGE", {"X-Push-Id": "p1"}, b"x")).status == 200
        assert len(device.pushes) == 1
        other = {"X-Push-Id": "p1", "P-Asserted-Identity": "<sip:other@x.example>"}
        assert ask(peer, device, request(peer, "MESSAGE", other, b"x")).status == 200
        assert len(device.pushes) == 2


def test_a_push_that_was_refused_may_be_tried_again() -> None:
    answers = [Refused(Reason.NO_ROOM, "full", retry_after_s=9)]

    def decide(_push: Push) -> None:
        if answers:
            raise answers.pop()

    with registered() as (peer, device):
        device.decide = decide
        first = ask(peer, device, request(peer, "MESSAGE", {"X-Push-Id": "p1"}, b"x"))
        assert (first.status, first.header("Retry-After")) == (500, "9")
        assert ask(peer, device, request(peer, "MESSAGE", {"X-Push-Id": "p1"}, b"x")).status == 200
        assert len(device.pushes) == 1


@pytest.mark.req("PROP-CTRL-3")
@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refused(), 603),
        (Refused(Reason.FORBIDDEN, "never"), 403),
        (Refused(Reason.TYPE, "cannot show it", accept=("image/png",)), 415),
        (Refused(Reason.TOO_LARGE), 413),
        (Refused(Reason.UNAVAILABLE), 480),
        (Refused(Reason.NO_ROOM), 500),
        (AnswerWith(486, "busy"), 486),
        (RuntimeError("a defect of the application"), 500),
    ],
)
def test_the_applications_reason_becomes_the_code_of_appendix_q(refusal: Exception, status: int) -> None:
    def decide(_push: Push) -> None:
        raise refusal

    with registered() as (peer, device):
        device.decide = decide
        answer = ask(peer, device, request(peer, "MESSAGE", body=b"x"))

        assert answer.status == status
        assert answer.header("Warning").startswith('399 omapush "')
        assert bool(answer.header("Retry-After")) == (status == 500)
        if status == 415:
            assert answer.header("Accept") == "image/png"
        assert "defect" not in answer.header("Warning")


def test_an_application_that_does_not_decide_in_time_refuses() -> None:
    async def slow() -> None:
        await asyncio.sleep(30)

    with registered(limits=Limits(answer_within_s=0.05)) as (peer, device):
        application = device.receiver.applications["mms.ua"]
        object.__setattr__(application, "callback", lambda _: slow())
        answer = ask(peer, device, request(peer, "MESSAGE", body=b"x"))
        assert (answer.status, answer.header("Retry-After")) == (500, "60")


def test_a_retransmission_while_the_application_decides_waits_for_the_same_answer() -> None:
    gate = threading.Event()

    async def wait() -> None:
        await asyncio.to_thread(gate.wait, 5)

    with registered() as (peer, device):
        application = device.receiver.applications["mms.ua"]
        object.__setattr__(application, "callback", lambda _: wait())
        raw = request(peer, "MESSAGE", body=b"x")
        peer.send(raw, device.receiver.address)
        peer.send(raw, device.receiver.address)
        peer.send(raw.replace(b"bKcore", b"bKfork"), device.receiver.address)
        wait_until(lambda: device.receiver.delivery.duplicates == 1, 5, "the second branch")
        gate.set()
        wait_until(lambda: [one.status for one in peer.responses].count(200) >= 2, 5, "both answers")
        assert device.receiver.delivery.delivered == 1


@pytest.mark.req("SEC-13")
@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (Trusted(PSA), 200),
        (Trusted("sip:*@home1.example"), 200),
        (Trusted("SIP:psa@HOME1.example", ("mms.ua",), ("text/*",)), 200),
        (Trusted("sip:other@home1.example"), 403),
        (Trusted(PSA, ("ulp.ua",)), 403),
        (Trusted(PSA, (), ("image/png",)), 403),
    ],
)
def test_only_the_whitelist_may_push(entry: Trusted, status: int) -> None:
    with registered(apps=("mms.ua", "ulp.ua"), whitelist=Whitelist((entry,))) as (peer, device):
        answer = ask(peer, device, request(peer, "MESSAGE", body=b"x"))

        assert answer.status == status
        refusals = device.receiver.delivery.refusals
        assert sum(refusals.values()) == (status != 200)
        if status == 403:
            assert "whitelist" in str(device.wait_for("refused")["reason"])


def test_a_message_inside_a_dialog_gets_481() -> None:
    with registered() as (peer, device):
        assert ask(peer, device, request(peer, "MESSAGE", {"To": f"<{ALICE}>;tag=x"}, b"x")).status == 481


def test_after_leaving_push_nothing_is_for_this_device_that_asks_for_the_tag() -> None:
    with registered() as (peer, device):
        device.call(device.receiver.leave_push())
        strict = {"Accept-Contact": '*;+g.oma.pusheventapp="mms.ua";require;explicit'}
        assert ask(peer, device, request(peer, "MESSAGE", strict, b"x")).status == 480
