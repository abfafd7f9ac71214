"""REFER that asks a device to subscribe: what goes out, how it is followed, and what each end of it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from omapush.push.referral import referral_id
from omapush.store import referrals
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.subscriber import CONTENT_EVENT, PSA, Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import isc_route, request

APP = "asking.ua"


@dataclass
class Referred:
    """A device that was sent a REFER: it follows it in the REFER's dialog."""

    stack: Stack
    core: SipPeer
    refer: SipText
    tag: str = "referred"
    cseq: int = 0

    def tells(self, status: str, state: str = "active;expires=60", **more: str) -> SipText:
        """Send a NOTIFY of the refer event and return its final answer."""
        self.cseq += 1
        headers = [
            ("Contact", f"<sip:device@127.0.0.1:{self.core.port}>"),
            ("Event", more.pop("event", "refer")),
            *((("Subscription-State", state),) if state else ()),
            ("Content-Type", "message/sipfrag;version=2.0"),
        ]
        fields = {
            "From": f"<{self.refer.header('To').strip('<>')}>;tag={self.tag}",
            "To": self.refer.header("From"),
            "Call_ID": self.refer.header("Call-ID"),
            "CSeq": f"{self.cseq} NOTIFY",
        }
        contact = self.refer.header("Contact").strip("<>")
        body = f"{status}\r\n".encode() if status else b""
        raw = request("NOTIFY", contact, self.core.address, headers, body, **(fields | more))
        return self.core.ask(raw, self.stack.sip)


@pytest.fixture
def device(stack: Stack, core: SipPeer) -> Subscriber:
    return Subscriber(stack, core)


def refers(core: SipPeer, aor: str) -> list[SipText]:
    return [one for one in core.requests if one.method == "REFER" and aor in one.header("To")]


def referred(device: Subscriber) -> Referred:
    wait_until(lambda: bool(refers(device.core, device.aor)), 5, "a REFER")
    return Referred(device.stack, device.core, refers(device.core, device.aor)[0])


def state_of(device: Subscriber, app: str = APP) -> str:
    [found] = referrals.read_all(device.stack.store, [referral_id(device.aor, app)])
    return found.state if found else ""


@pytest.mark.req(
    *("PSA-REF-0", "PSA-REF-1", "PSA-REF-2", "PSA-REF-3", "PSA-REF-4", "PSA-REF-5", "PSA-REF-6", "PSA-REF-7"),
    *("PSA-REF-8", "PSA-REF-9", "SIPPUSH-PSA-S-014"),
)
def test_the_refer_asks_for_a_subscription_to_the_application_through_the_core(device: Subscriber) -> None:
    device.stack.submit(device.aor, app=APP)

    refer = referred(device).refer

    assert refer.start_line == f"REFER {device.aor} SIP/2.0"
    assert refer.header("From").startswith(f"<{PSA}>;tag=")
    assert refer.header("To") == f"<{device.aor}>"
    assert refer.all("Refer-To") == [
        f"<{device.aor};method=SUBSCRIBE?Event=ua-profile%3Bprofile-type%3Doma-app"
        "&Accept-Contact=%2A%3B%2Bg.oma.pusheventapp%3D%22asking.ua%22>"
    ]
    assert refer.all("Contact") == [f"<sip:127.0.0.1:{device.stack.sip[1]}>"]
    assert refer.header("Route") == f"<sip:127.0.0.1:{device.core.port};lr>"
    assert refer.header("Accept-Contact") == '*;+g.oma.pusheventapp="asking.ua";require'
    assert refer.header("Request-Disposition") == "no-fork"
    assert refer.header("P-Asserted-Identity") == f"<{PSA}>"
    assert re.fullmatch(
        r'icid-value=".+";icid-generated-at=.+;orig-ioi="Type 3home1.example"',
        refer.header("P-Charging-Vector"),
    )
    assert "refer-sub" not in refer.raw.decode().lower()


@pytest.mark.req("PSA-REF-0", "PSA-SUB-1")
def test_the_subscribe_that_comes_of_it_gets_the_push_in_its_notify(device: Subscriber) -> None:
    """The whole of it: REFER, 100 Trying, SUBSCRIBE in a dialog of its own, NOTIFY, end of the referral."""
    ref = device.stack.submit(device.aor, b"at last", app=APP)
    follows = referred(device)
    assert follows.tells("SIP/2.0 100 Trying").status == 200

    device.begin(**wants(APP))

    result = device.stack.result(ref)
    assert (result.state, result.method) == ("delivered", "NOTIFY")
    assert [one.body for one in device.notifies(1) if one.body] == [b"at last"]
    assert follows.tells("SIP/2.0 200 OK", "terminated;reason=noresource").status == 200
    assert state_of(device) == "subscribed"
    told = [event.text for event in device.stack.known(ref).events if event.name == "referral"]
    assert told[-1] == "the device subscribed"
    assert len(refers(device.core, device.aor)) == 1
    assert not [
        one for one in device.core.requests if one.method == "MESSAGE" and device.aor in one.header("To")
    ]


@pytest.mark.req("PSA-REF-0", "PSA-SUB-1")
def test_who_asks_for_refer_alone_has_the_push_delivered_in_the_subscription_that_comes_of_it(
    device: Subscriber,
) -> None:
    ref = device.stack.submit(device.aor, b"as you wish", app=APP, method="REFER")
    referred(device).tells("SIP/2.0 100 Trying")

    device.begin(**wants(APP))

    result = device.stack.result(ref)
    assert (result.state, result.method) == ("delivered", "NOTIFY")
    assert [one.body for one in device.notifies(1) if one.body] == [b"as you wish"]
    assert len(refers(device.core, device.aor)) == 1


@pytest.mark.req("PSA-REF-4")
def test_a_subscribe_that_filter_criteria_bring_on_its_way_to_the_user_is_ours(device: Subscriber) -> None:
    """With the first form of Refer-To the user's originating criteria lead the SUBSCRIBE to us."""
    ref = device.stack.submit(device.aor, b"by criteria", app=APP)
    referred(device)
    headers = [
        ("Route", isc_route(device.stack.sip, device.core)),
        ("Contact", f"<sip:device@127.0.0.1:{device.core.port}>"),
        ("Event", CONTENT_EVENT),
        ("Accept-Contact", f'*;+g.oma.pusheventapp="{APP}"'),
        ("Expires", "600"),
        ("P-Asserted-Identity", f"<{device.aor}>"),
    ]
    raw = request("SUBSCRIBE", device.aor, device.core.address, headers, From=f"<{device.aor}>;tag=c")

    answer = device.core.ask(raw, device.stack.sip)

    assert answer.status == 200
    assert device.stack.result(ref).method == "NOTIFY"
    relayed = [
        one for one in device.core.requests if one.method == "SUBSCRIBE" and device.aor in one.start_line
    ]
    assert not relayed


def test_a_subscribe_of_another_user_to_somebody_goes_on_along_its_route(device: Subscriber) -> None:
    headers = [
        ("Route", isc_route(device.stack.sip, device.core)),
        ("Contact", f"<sip:device@127.0.0.1:{device.core.port}>"),
        ("Event", CONTENT_EVENT),
        ("P-Asserted-Identity", "<sip:somebody@home1.example>"),
    ]
    raw = request("SUBSCRIBE", device.aor, device.core.address, headers)

    assert device.core.ask(raw, device.stack.sip).status == 200
    assert any(one.method == "SUBSCRIBE" and device.aor in one.start_line for one in device.core.requests)


@pytest.mark.parametrize(
    ("code", "pap"),
    [(403, "5027"), (603, "5026"), (404, "2003"), (405, "3007"), (480, "5028"), (500, "5026")],
)
def test_a_refused_refer_gives_the_result_of_its_code(device: Subscriber, code: int, pap: str) -> None:
    device.core.policy = lambda one: Says(code) if one.method == "REFER" else OK

    result = device.stack.result(device.stack.submit(device.aor, app=APP))

    assert result.code == pap
    assert str(code) in result.desc
    assert state_of(device) == "failed"
    assert not device.core.pushes(device.aor)[1:]


def test_with_message_in_the_profile_a_refused_refer_is_followed_by_a_message(device: Subscriber) -> None:
    device.core.policy = lambda one: Says(603) if one.method == "REFER" else OK

    ref = device.stack.submit(device.aor, app="asking-first.ua")

    assert device.stack.result(ref).method == "MESSAGE"
    sent = [event.text for event in device.stack.known(ref).events if event.name == "sent"]
    assert sent[0].startswith("REFER")
    assert "REFER was answered 603" in sent[1]


@pytest.mark.parametrize(
    ("status", "pap"), [("SIP/2.0 403 Forbidden", "5027"), ("SIP/2.0 603 Decline", "5026")]
)
def test_a_failure_that_the_device_reports_is_the_result(device: Subscriber, status: str, pap: str) -> None:
    ref = device.stack.submit(device.aor, app=APP)
    follows = referred(device)
    follows.tells("SIP/2.0 100 Trying")

    assert follows.tells(status, "terminated;reason=noresource").status == 200

    result = device.stack.result(ref)
    assert (result.code, status[8:] in result.desc) == (pap, True)


def test_a_second_push_waits_for_the_same_referral(device: Subscriber) -> None:
    refs = [device.stack.submit(device.aor, f"{number}".encode(), app=APP) for number in range(3)]
    referred(device)
    device.begin(**wants(APP))

    assert [device.stack.result(ref).method for ref in refs] == ["NOTIFY"] * 3
    assert [one.body for one in device.notifies(3) if one.body] == [b"0", b"1", b"2"]
    assert len(refers(device.core, device.aor)) == 1


def test_the_next_push_after_a_failure_asks_again(device: Subscriber) -> None:
    device.core.policy = lambda one: Says(403) if one.method == "REFER" else OK
    device.stack.result(device.stack.submit(device.aor, app=APP))
    device.core.policy = lambda one: OK
    device.stack.submit(device.aor, app=APP)

    wait_until(lambda: len(refers(device.core, device.aor)) == 2, 5, "another REFER")


def test_a_notify_may_come_before_the_answer_to_the_refer(device: Subscriber) -> None:
    device.core.policy = lambda one: None if one.method == "REFER" else OK
    device.stack.submit(device.aor, app=APP)
    follows = referred(device)

    assert follows.tells("SIP/2.0 100 Trying").status == 200
    assert state_of(device) == "accepted"


@pytest.mark.req("PSA-REF-9")
def test_the_answer_to_a_notify_has_its_charging_vector(device: Subscriber) -> None:
    vector = 'icid-value="ab12";orig-ioi="Type 3scscf.example"'
    device.stack.submit(device.aor, app=APP)

    answer = referred(device).tells("SIP/2.0 100 Trying", P_Charging_Vector=vector)

    assert answer.header("P-Charging-Vector") == f'{vector};term-ioi="Type 3home1.example"'


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"tag": "another"}, 481),
        ({"event": "presence"}, 489),
        ({"state": ""}, 400),
        ({"state": "active;expires=soon"}, 400),
        ({"status": "no status line"}, 400),
        ({"cseq": 0}, 500),
        ({"To": "<sip:psa@home1.example>;tag=other"}, 481),
    ],
)
def test_a_notify_that_is_wrong_is_answered_and_changes_nothing(
    device: Subscriber, change: dict[str, Any], status: int
) -> None:
    device.stack.submit(device.aor, app=APP)
    follows = referred(device)
    follows.cseq = 4
    follows.tells("SIP/2.0 100 Trying")
    follows.tag = change.pop("tag", follows.tag)
    follows.cseq = change.pop("cseq", follows.cseq)

    answer = follows.tells(change.pop("status", "SIP/2.0 403 Forbidden"), **change)

    assert answer.status == status
    assert state_of(device) == "accepted"


def test_a_device_that_never_subscribes_ends_it_in_time(make_stack: MakeStack) -> None:
    settings = {
        "subscriptions": {"refer_wait_s": 0.5},
        f'application."{APP}"': {"methods": ["REFER", "NOTIFY"]},
    }
    stack = make_stack(settings, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        device = Subscriber(stack, core)
        ref = stack.submit(device.aor, app=APP)
        referred(device).tells("SIP/2.0 100 Trying")

        result = stack.result(ref)

        assert (result.state, result.code) == ("timeout", "5028")
        assert "no SUBSCRIBE came in time" in result.desc


def test_the_referral_may_be_to_the_sender_itself(make_stack: MakeStack) -> None:
    settings = {
        "subscriptions": {"refer_to": "psa"},
        f'application."{APP}"': {"methods": ["REFER", "NOTIFY"]},
    }
    stack = make_stack(settings, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        device = Subscriber(stack, core)
        stack.submit(device.aor, app=APP)

        assert referred(device).refer.header("Refer-To").startswith(f"<{PSA};method=SUBSCRIBE?Event=")


def test_kill_9_while_a_push_waits_for_its_subscribe_loses_nothing(make_stack: MakeStack) -> None:
    settings = {"delivery": {"lease_ms": 1000}, f'application."{APP}"': {"methods": ["REFER", "NOTIFY"]}}
    stack = make_stack(settings, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        device = Subscriber(stack, core)
        ref = stack.submit(device.aor, b"survives", app=APP)
        follows = referred(device)
        follows.tells("SIP/2.0 100 Trying")
        stack.kill("sip")
        stack.start("sip")

        device.begin(**wants(APP))

        assert stack.result(ref).state == "delivered"
        assert follows.tells("SIP/2.0 200 OK", "terminated;reason=noresource").status == 200
        assert len(refers(core, device.aor)) == 1
