"""A REFER at the receiver: who may, what is done, what is reported."""

from collections.abc import Mapping
from typing import Any

import pytest

from omapush.receiver import Limits, Trusted, Whitelist
from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, PSA, grant, notify, registered, request, requests, wait_for

REFER_TO = (
    f"<{ALICE};method=SUBSCRIBE?Event=ua-profile%3Bprofile-type%3Doma-app"
    "&Accept-Contact=%2A%3B%2Bg.oma.pusheventapp%3D%22mms.ua%22>"
)


def refer(peer: SipPeer, headers: Mapping[str, str | None] | None = None) -> bytes:
    """A REFER as a push sender sends it."""
    fields = {"Contact": f"<sip:psa@127.0.0.1:{peer.port}>", "Refer-To": REFER_TO, **(headers or {})}
    return request(peer, "REFER", fields)


def ask(peer: SipPeer, device: ReceiverThread, raw: bytes) -> SipText:
    return peer.ask(raw, device.receiver.address)


def reports(peer: SipPeer) -> list[tuple[str, str]]:
    """State and fragment of each refer NOTIFY so far."""
    return [
        (one.header("Subscription-State"), one.body.decode().strip())
        for one in requests(peer, "NOTIFY")
        if one.header("Event") == "refer"
    ]


FAST_REPORT: dict[str, Any] = {"refer_pause_s": 0.0}
TRYING = ("active;expires=60", "SIP/2.0 100 Trying")


@pytest.mark.req("PRA-REF-1", "PRA-REF-2", "PRA-REF-3", "PRA-REF-5", "PRA-REF-6", "PRA-REF-7", "PRA-REF-8")
@pytest.mark.req("SIPPUSH-PRA-C-016", "SIPPUSH-PRA-C-017")
def test_a_refer_is_accepted_done_and_reported_in_this_order() -> None:
    with registered(**FAST_REPORT) as (peer, device):
        raw = refer(peer)
        answer = ask(peer, device, raw)
        assert answer.status == 200
        assert answer.header("Contact").startswith("<sip:alice@127.0.0.1:")

        subscribe = wait_for(peer, "SUBSCRIBE")
        assert reports(peer) == [TRYING]
        assert subscribe.start_line == f"SUBSCRIBE {ALICE} SIP/2.0"
        assert subscribe.header("Event") == "ua-profile;profile-type=oma-app"
        assert subscribe.header("Accept-Contact") == '*;+g.oma.pusheventapp="mms.ua"'
        assert subscribe.header("Call-ID") not in (answer.header("Call-ID"), "")
        assert subscribe.header("From").partition(";tag=")[2] != answer.header("To").partition(";tag=")[2]

        first = requests(peer, "NOTIFY")[0]
        assert first.header("Call-ID") == answer.header("Call-ID")
        assert first.header("From") == answer.header("To")
        assert first.header("To") == f"<{PSA}>;tag=core"
        assert first.header("Content-Type") == "message/sipfrag;version=2.0"

        assert ask(peer, device, notify(peer, subscribe, body=b"content")).status == 200
        assert device.wait_for_pushes(1)[0].content == b"content"
        wait_until(lambda: len(reports(peer)) == 2, 5, lambda: f"final report: {reports(peer)}")
        assert reports(peer)[1] == ("terminated;reason=noresource", "SIP/2.0 200 OK")


@pytest.mark.req("PRA-REF-4", "SEC-13")
def test_a_refer_of_somebody_not_on_the_whitelist_is_refused_and_nothing_is_subscribed() -> None:
    whitelist = Whitelist((Trusted("sip:other@home1.example"), Trusted(PSA, ("ulp.ua",))))
    with registered(whitelist=whitelist) as (peer, device):
        assert ask(peer, device, refer(peer)).status == 403
        stranger = {"P-Asserted-Identity": "<sip:stranger@x.example>", "Refer-To": "nonsense"}
        assert ask(peer, device, refer(peer, stranger)).status == 403
        assert requests(peer, "SUBSCRIBE") == []
        assert requests(peer, "NOTIFY") == []
        assert sum(device.receiver.delivery.refusals.values()) == 2


@pytest.mark.req("PRA-REF-4", "PRA-REF-5")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Refer-To": None}, 400),
        ({"Refer-To": f"{REFER_TO}, {REFER_TO}"}, 400),
        ({"Contact": None}, 400),
        ({"Contact": "<sip:a@x.example>, <sip:b@x.example>"}, 400),
        ({"Refer-To": REFER_TO.replace("SUBSCRIBE", "REGISTER")}, 403),
        ({"Refer-To": REFER_TO.replace("SUBSCRIBE", "REFER")}, 403),
        ({"Refer-To": REFER_TO.replace("ua-profile", "reg")}, 403),
        ({"Refer-To": REFER_TO.replace("oma-app", "device")}, 403),
        ({"Refer-To": REFER_TO.replace("mms.ua", "other.ua")}, 404),
        ({"Refer-To": REFER_TO.partition("&")[0] + ">"}, 400),
        ({"Refer-To": REFER_TO.replace("Accept-Contact", "Route")}, 400),
        ({"Refer-To": REFER_TO.replace("%3B%2B", "%0D%0AX:")}, 400),
        ({"P-Asserted-Identity": None}, 403),
        ({"To": f"<{ALICE}>;tag=inside"}, 481),
        ({"Require": "explicitsub"}, 420),
        ({"Require": "nosub"}, 420),
        ({"Accept-Contact": '*;+g.oma.pusheventapp="other.ua";require'}, 480),
    ],
)
def test_a_refer_that_asks_for_more_than_it_may_is_refused(
    headers: dict[str, str | None], status: int
) -> None:
    with registered() as (peer, device):
        assert ask(peer, device, refer(peer, headers)).status == status
        assert requests(peer, "SUBSCRIBE") == []


@pytest.mark.req("PRA-REF-7")
@pytest.mark.parametrize(("code", "line"), [(403, "SIP/2.0 403 Forbidden"), (489, "SIP/2.0 489 Bad Event")])
def test_a_subscribe_that_fails_is_reported_with_its_code(code: int, line: str) -> None:
    def policy(one: SipText) -> Says | None:
        return Says(code, "No") if one.method == "SUBSCRIBE" else grant(one)

    with registered(policy, **FAST_REPORT) as (peer, device):
        assert ask(peer, device, refer(peer)).status == 200
        wait_until(lambda: len(reports(peer)) == 2, 5, lambda: f"final report: {reports(peer)}")
        assert reports(peer) == [TRYING, ("terminated;reason=noresource", line)]


def test_a_subscription_without_notify_is_reported_as_a_time_out() -> None:
    with registered(**FAST_REPORT) as (peer, device):
        assert ask(peer, device, refer(peer)).status == 200
        wait_until(lambda: len(reports(peer)) == 2, 10, lambda: f"final report: {reports(peer)}")
        assert reports(peer)[1] == ("terminated;reason=noresource", "SIP/2.0 408 Request Timeout")


def test_a_second_refer_too_soon_is_put_off() -> None:
    with registered(**FAST_REPORT, limits=Limits(refer_interval_s=30)) as (peer, device):
        assert ask(peer, device, refer(peer)).status == 200
        again = ask(peer, device, refer(peer))
        assert again.status == 500
        assert 25 <= int(again.header("Retry-After")) <= 30
        wait_for(peer, "SUBSCRIBE")
        assert len(requests(peer, "SUBSCRIBE")) == 1


def test_refer_sub_false_asks_for_no_report() -> None:
    with registered(**FAST_REPORT) as (peer, device):
        answer = ask(peer, device, refer(peer, {"Refer-Sub": "false", "Require": "norefersub"}))
        assert (answer.status, answer.header("Refer-Sub")) == (200, "false")
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe)).status == 200
        wait_until(lambda: device.receiver.subscriptions[0].state == "active", 5, "the subscription")
        assert reports(peer) == []


@pytest.mark.req("PRA-REF-3")
def test_the_issuer_may_end_its_report_and_the_subscription_goes_on() -> None:
    with registered(**FAST_REPORT) as (peer, device):
        answer = ask(peer, device, refer(peer))
        first = wait_for(peer, "NOTIFY")
        subscribe = wait_for(peer, "SUBSCRIBE")
        inside = {
            "From": first.header("To"), "To": first.header("From"), "Call-ID": first.header("Call-ID"),
            "Event": "refer", "Expires": "0",
        }  # fmt: skip
        ended = ask(peer, device, request(peer, "SUBSCRIBE", inside))
        assert (ended.status, ended.header("Expires")) == (200, "0")
        wait_until(lambda: len(reports(peer)) == 2, 5, "the last report")
        assert reports(peer)[1] == ("terminated;reason=timeout", "SIP/2.0 100 Trying")
        assert ask(peer, device, notify(peer, subscribe, body=b"x")).status == 200
        assert device.wait_for_pushes(1)
        assert len(reports(peer)) == 2
        assert ask(peer, device, request(peer, "SUBSCRIBE", inside)).status == 481
        assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Event": "refer"}, 403),
        ({"Event": "presence"}, 489),
        ({}, 489),
        ({"Event": "refer", "To": "<sip:a@b>;tag=x"}, 481),
    ],
)
def test_nobody_else_may_subscribe_to_the_device(headers: dict[str, str | None], status: int) -> None:
    with registered() as (peer, device):
        assert ask(peer, device, request(peer, "SUBSCRIBE", headers)).status == status


def test_a_referred_subscription_that_was_there_is_made_again_by_rule() -> None:
    with registered(**FAST_REPORT) as (peer, device):
        assert ask(peer, device, refer(peer)).status == 200
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe)).status == 200
        assert (
            ask(peer, device, notify(peer, subscribe, "terminated;reason=deactivated", cseq=2)).status == 200
        )
        again = wait_for(peer, "SUBSCRIBE", 2)
        assert again.header("Call-ID") != subscribe.header("Call-ID")
        assert again.header("Accept-Contact") == subscribe.header("Accept-Contact")


def test_a_lost_issuer_does_not_stop_the_subscription() -> None:
    def policy(one: SipText) -> Says | None:
        return Says(481, "Gone") if one.method == "NOTIFY" else grant(one)

    with registered(policy, **FAST_REPORT) as (peer, device):
        assert ask(peer, device, refer(peer)).status == 200
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe, body=b"x")).status == 200
        assert device.wait_for_pushes(1)
        assert len(requests(peer, "NOTIFY")) == 1


def test_the_expires_of_refer_to_is_taken_and_bounded() -> None:
    longer = REFER_TO.replace(">", "&Expires=99999999>")
    with registered(**FAST_REPORT, subscription_s=120) as (peer, device):
        assert ask(peer, device, refer(peer, {"Refer-To": longer})).status == 200
        assert wait_for(peer, "SUBSCRIBE").header("Expires") == "120"
