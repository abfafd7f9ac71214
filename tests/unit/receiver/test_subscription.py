"""The receiver as subscriber (RFC 6665): content, device profile, and every way a subscription ends."""

from itertools import count
from typing import Any

import pytest

from omapush.receiver import Push, Reason, Refused, Senders
from omapush.receiver.subscriber_rules import KILLS_DIALOG, Ending, refresh_in, retry_in
from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import Policy, Says, SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import PSA, grant, notify, registered, request, requests, wait_for

CONTENT: dict[str, Any] = {"subscribe_to": (("mms.ua", PSA),)}


def ask(peer: SipPeer, device: ReceiverThread, raw: bytes) -> SipText:
    return peer.ask(raw, device.receiver.address)


def subscribes_with(answer: Says) -> Policy:
    """A core that answers every SUBSCRIBE so."""
    return lambda request: answer if request.method == "SUBSCRIBE" else grant(request)


@pytest.mark.req("PRA-SUB-1", "PRA-SUB-2", "PRA-SUB-3", "SUB-1", "PROP-X-1", "PROP-X-2", "PROP-X-3")
@pytest.mark.req("SIPPUSH-PRA-C-005", "SIPPUSH-PRA-C-012", "SIPPUSH-PRA-C-013", "SIPPUSH-PRA-C-014")
@pytest.mark.req("SIPPUSH-PRA-C-015")
def test_content_in_a_notify_reaches_the_application_that_subscribed() -> None:
    accept = {"mms.ua": ("text/plain", "image/*")}
    with registered(apps=("mms.ua", "ulp.ua"), accept=accept, **CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert subscribe.start_line == f"SUBSCRIBE {PSA} SIP/2.0"
        assert subscribe.header("Event") == "ua-profile;profile-type=oma-app"
        assert subscribe.header("Accept-Contact") == '*;+g.oma.pusheventapp="mms.ua"'
        assert subscribe.header("Accept") == "text/plain, image/*, application/vnd.oma.push"
        assert subscribe.header("Expires") == "3600"
        assert ";tag=" not in subscribe.header("To")

        assert ask(peer, device, notify(peer, subscribe)).status == 200
        answer = ask(peer, device, notify(peer, subscribe, body=b"pushed", cseq=2))
        assert (answer.status, answer.body) == (200, b"")
        (push,) = device.pushes
        assert (push.content, push.application, push.method) == (b"pushed", "mms.ua", "NOTIFY")


@pytest.mark.req("PRA-NOT-2")
def test_the_subscription_decides_not_the_accept_contact_of_the_notify() -> None:
    with registered(apps=("mms.ua", "ulp.ua"), **CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        other = {"Accept-Contact": '*;+g.oma.pusheventapp="ulp.ua";require;explicit'}
        assert ask(peer, device, notify(peer, subscribe, body=b"x", headers=other)).status == 200
        assert device.pushes[0].application == "mms.ua"


@pytest.mark.req("PRA-NOT-3")
def test_the_dialog_vouches_for_a_notify_without_identity_and_a_broken_one_is_refused() -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        bare = notify(peer, subscribe, body=b"x", headers={"P-Asserted-Identity": None})
        assert ask(peer, device, bare).status == 200
        assert device.pushes[0].sender == PSA
        broken = {"P-Asserted-Identity": "<http://x.example>"}
        assert ask(peer, device, notify(peer, subscribe, body=b"y", headers=broken, cseq=2)).status == 403
        assert len(device.pushes) == 1


def test_a_notify_from_outside_the_trust_domain_is_refused() -> None:
    with registered(**CONTENT) as (peer, device), SipPeer(host="127.0.0.2") as stranger:
        raw = notify(peer, wait_for(peer, "SUBSCRIBE"), body=b"x").replace(b"127.0.0.1:", b"127.0.0.2:", 1)
        raw = raw.replace(str(peer.port).encode(), str(stranger.port).encode(), 1)
        assert stranger.ask(raw, device.receiver.address).status == 403
        assert device.pushes == []


@pytest.mark.req("PRA-NOT-3", "PRA-MSG-5")
def test_the_access_network_is_told_when_it_is_known() -> None:
    access = "IEEE-802.11;i-wlan-node-id=0"
    with registered(access_network=access, **CONTENT) as (peer, _):
        assert wait_for(peer, "SUBSCRIBE").header("P-Access-Network-Info") == access


@pytest.mark.req("PRA-NOT-1")
def test_a_notify_outside_a_known_dialog_gets_481() -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        stranger = {"Event": "ua-profile", "Subscription-State": "active;expires=60"}
        assert ask(peer, device, request(peer, "NOTIFY", stranger, b"x")).status == 481
        assert ask(peer, device, notify(peer, subscribe)).status == 200
        fork = notify(peer, subscribe, tag="another", cseq=2)
        assert ask(peer, device, fork).status == 481
        assert device.pushes == []


@pytest.mark.req("PRA-NOT-1")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Subscription-State": None}, 400),
        ({"Subscription-State": "active;expires=x"}, 400),
        ({"Event": None}, 400),
        ({"Event": "presence"}, 489),
        ({"Event": "UA-PROFILE"}, 489),
        ({"Event": "ua-profile;id=7"}, 489),
        ({"Event": "ua-profile;effective-by=0;profile-type=device"}, 200),
        ({"Subscription-State": "active"}, 200),
        ({"Subscription-State": "pending;expires=60"}, 200),
    ],
)
def test_a_notify_is_checked_before_it_counts(headers: dict[str, str | None], status: int) -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe, body=b"x", headers=headers)).status == status
        assert len(device.pushes) == (status == 200)


def test_a_notify_with_two_event_headers_is_400() -> None:
    with registered(**CONTENT) as (peer, device):
        raw = notify(peer, wait_for(peer, "SUBSCRIBE"))
        twice = raw.replace(b"Event: ua-profile\r\n", b"Event: ua-profile\r\nEvent: ua-profile\r\n")
        assert ask(peer, device, twice).status == 400


@pytest.mark.req("PRA-NOT-1")
def test_a_notify_before_the_200_makes_the_dialog() -> None:
    with registered(lambda one: None if one.method == "SUBSCRIBE" else grant(one), **CONTENT) as (
        peer,
        device,
    ):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe, body=b"early")).status == 200
        assert device.pushes[0].content == b"early"
        assert device.receiver.subscriptions[0].state == "active"


@pytest.mark.req("PRA-NOT-1")
def test_order_and_repetition_inside_the_dialog_are_kept() -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe, body=b"5", cseq=5)).status == 200
        assert ask(peer, device, notify(peer, subscribe, body=b"4", cseq=4)).status == 500
        assert ask(peer, device, notify(peer, subscribe, body=b"5", cseq=5)).status == 200
        assert [push.content for push in device.pushes] == [b"5"]


def test_the_applications_refusal_is_the_answer_to_the_notify() -> None:
    def decide(_push: Push) -> None:
        raise Refused(Reason.TYPE, accept=("image/png",))

    with registered(**CONTENT) as (peer, device):
        device.decide = decide
        answer = ask(peer, device, notify(peer, wait_for(peer, "SUBSCRIBE"), body=b"x"))
        assert (answer.status, answer.header("Accept")) == (415, "image/png")
        assert device.receiver.subscriptions[0].state == "active"


def test_the_route_of_the_dialog_is_that_of_the_notify_and_refreshes_follow_it() -> None:
    with registered(subscription_s=2, **CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        route = f"<sip:127.0.0.1:{peer.port};lr;hop=1>"
        headers = {"Record-Route": route, "Contact": "<sip:psa@psa.home1.example;gr=1>"}
        assert ask(peer, device, notify(peer, subscribe, "active;expires=1", headers=headers)).status == 200
        refresh = wait_for(peer, "SUBSCRIBE", 2)
        assert refresh.start_line == "SUBSCRIBE sip:psa@psa.home1.example;gr=1 SIP/2.0"
        assert refresh.all("Route") == [route]
        assert refresh.header("To").endswith(";tag=psa")
        assert refresh.header("Call-ID") == subscribe.header("Call-ID")
        assert int(refresh.header("CSeq").split()[0]) == int(subscribe.header("CSeq").split()[0]) + 1


@pytest.mark.req("PRA-SUB-4", "PROP-CAP-1", "PROP-CAP-2")
def test_after_registering_every_sender_is_told_of_the_device_profile() -> None:
    senders = Senders((PSA, "sip:psa@other.example"), "maker.example", "http://maker.example/px.rdf", "3.1")
    with registered(senders=senders) as (peer, device):
        first, second = wait_for(peer, "SUBSCRIBE", 1), wait_for(peer, "SUBSCRIBE", 2)
        assert peer.requests[0].method == "REGISTER"
        assert {first.start_line, second.start_line} == {
            f"SUBSCRIBE {PSA} SIP/2.0",
            "SUBSCRIBE sip:psa@other.example SIP/2.0",
        }
        assert first.header("Event") == (
            'ua-profile;profile-type=device;vendor="maker.example"'
            ';model="http://maker.example/px.rdf";version="3.1"'
        )
        assert first.header("Accept") == "message/external-body, application/vnd.oma.push"
        assert ask(peer, device, notify(peer, first)).status == 200
        assert device.pushes == []
        device.call(device.receiver.refresh())
        assert len(requests(peer, "REGISTER")) == 2
        assert len(requests(peer, "SUBSCRIBE")) == 2


def test_leaving_ends_the_subscription_with_expires_0() -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe)).status == 200
    assert requests(peer, "SUBSCRIBE")[-1].header("Expires") == "0"
    assert peer.requests[-1].method == "REGISTER"


@pytest.mark.parametrize("reason", ["deactivated", "timeout"])
def test_a_subscription_that_was_ended_for_now_is_made_again_at_once(reason: str) -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe, f"terminated;reason={reason}")).status == 200
        again = wait_for(peer, "SUBSCRIBE", 2)
        assert again.header("Call-ID") != subscribe.header("Call-ID")


@pytest.mark.parametrize("reason", ["rejected", "noresource", "invariant"])
def test_a_subscription_that_was_ended_for_good_is_left(reason: str) -> None:
    with registered(**CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        last = notify(peer, subscribe, f"terminated;reason={reason}", b"last words")
        assert ask(peer, device, last).status == 200
        assert device.pushes[0].content == b"last words"
        wait_until(lambda: not device.receiver.subscriptions, 5, "the end")
        assert len(requests(peer, "SUBSCRIBE")) == 1
        assert "reason=" + reason in str(device.wait_for("subscription_ended")["ending"])


@pytest.mark.parametrize("code", [403, 489, 603])
def test_a_sender_that_does_not_want_the_subscription_is_not_asked_again(code: int) -> None:
    with registered(subscribes_with(Says(code, "No")), **CONTENT) as (peer, device):
        assert str(code) in str(device.wait_for("subscription_ended")["ending"])
        wait_until(lambda: not device.receiver.subscriptions, 5, "the end")
        assert len(requests(peer, "SUBSCRIBE")) == 1


def test_a_sender_that_is_busy_is_asked_again_when_it_says() -> None:
    turn = count()

    def policy(one: SipText) -> Says | None:
        busy = one.method == "SUBSCRIBE" and next(turn) == 0
        return Says(503, "Busy", {"Retry-After": "0"}) if busy else grant(one)

    with registered(policy, **CONTENT) as (peer, _):
        assert wait_for(peer, "SUBSCRIBE", 2).header("Event")


def test_a_423_makes_the_subscription_longer() -> None:
    def policy(one: SipText) -> Says | None:
        brief = one.method == "SUBSCRIBE" and one.header("Expires") == "60"
        return Says(423, "Brief", {"Min-Expires": "900"}) if brief else grant(one)

    with registered(policy, subscription_s=60, **CONTENT) as (peer, _):
        assert wait_for(peer, "SUBSCRIBE", 2).header("Expires") == "900"


def test_a_subscription_without_notify_fails_by_timer_n() -> None:
    with registered(**CONTENT) as (peer, device):
        wait_for(peer, "SUBSCRIBE")
        assert device.wait_for("subscription_ended")["ending"] == "408"


def test_a_refresh_that_finds_no_subscription_makes_a_new_one() -> None:
    def policy(one: SipText) -> Says | None:
        inside = one.method == "SUBSCRIBE" and ";tag=" in one.header("To")
        return Says(481, "Gone") if inside else grant(one)

    with registered(policy, **CONTENT) as (peer, device):
        subscribe = wait_for(peer, "SUBSCRIBE")
        assert ask(peer, device, notify(peer, subscribe, "active;expires=1")).status == 200
        again = wait_for(peer, "SUBSCRIBE", 3)
        assert again.header("Call-ID") != subscribe.header("Call-ID")


def test_a_subscription_may_be_made_at_any_time() -> None:
    with registered() as (peer, device):
        device.do(lambda: device.receiver.subscribe("mms.ua", PSA, expires_s=77))
        assert wait_for(peer, "SUBSCRIBE").header("Expires") == "77"


@pytest.mark.parametrize(
    ("ending", "failures", "wait"),
    [
        (Ending(0, "deactivated"), 1, 0.0),
        (Ending(0, "deactivated"), 2, 64.0),
        (Ending(0, "probation", 7), 1, 7.0),
        (Ending(0, "probation"), 1, 32.0),
        (Ending(0, "giveup", 9), 1, 9.0),
        (Ending(0, "timeout"), 1, 0.0),
        (Ending(0, ""), 1, 32.0),
        (Ending(0, "something-new", 5), 1, 5.0),
        (Ending(0, "rejected", 5), 1, None),
        (Ending(0, "noresource"), 1, None),
        (Ending(0, "invariant"), 1, None),
        (Ending(481), 1, 0.0),
        (Ending(481), 3, 128.0),
        (Ending(503, "", 11), 1, 11.0),
        (Ending(500), 20, 8192.0),
        (Ending(403), 1, None),
        (Ending(489), 1, None),
    ],
)
def test_each_ending_has_its_next_try(ending: Ending, failures: int, wait: float | None) -> None:
    assert retry_in(ending, failures) == wait


def test_refreshes_are_early_enough_for_timer_n() -> None:
    assert [refresh_in(lifetime) for lifetime in (3600, 129, 128, 10)] == [3536, 65, 64, 5]
    assert {481, 404, 501} <= KILLS_DIALOG
    assert KILLS_DIALOG.isdisjoint({200, 408, 503, 423})
