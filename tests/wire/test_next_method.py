"""A device that refuses one way of a push gets it by the next that its application allows; that is learnt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pytest

from omapush.push.values import Method
from omapush.store import capabilities
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Policy, Says, SipPeer
from tests.harness.stack import PARTS, Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.test_links import get, submit, url_of

SETTINGS: Settings = {
    'application."mms.ua"': {"methods": ["NOTIFY", "MESSAGE", "INDIRECT"], "link_delivered": "answer"},
    'application."all.ua"': {"methods": ["MESSAGE", "INVITE", "INDIRECT"], "link_delivered": "answer"},
    'application."message.ua"': {"methods": ["NOTIFY", "MESSAGE"]},
    'application."linked.ua"': {"methods": ["INDIRECT"], "link_delivered": "answer"},
    "sessions": {"enabled": True},
    "sip": {"tcp_above": 0},  # the peer hears UDP alone
}
LARGE = b"large" * 10_000
REFUSALS = (405, 406, 413, 415, 488, 501, 513, 606)
NO_MESSAGE = (405, 501)
"Who takes no MESSAGE takes no link in one."
_numbers = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("ways"), SETTINGS, (*PARTS, "msrp")) as running:
        yield running


@pytest.fixture
def core(stack: Stack) -> Iterator[SipPeer]:
    with SipPeer(stack.core_port) as peer:
        yield peer


@pytest.fixture
def aor() -> str:
    return f"sip:way{next(_numbers)}.{time.monotonic_ns()}@home1.example"


def way(request: SipText) -> str:
    is_link = request.header("Content-Type").startswith("message/external-body")
    return "link" if is_link else request.method


def refuses(code: int, *ways: str, accept: str = "") -> Policy:
    """A device that answers these ways with a code."""
    headers = {"Accept": accept} if accept else {}
    return lambda request: Says(code, "Not So", headers) if way(request) in ways else OK


def ways(core: SipPeer, aor: str) -> list[str]:
    """By which ways pushes came to a user, without what ends a session."""
    return [way(one) for one in core.pushes(aor) if one.method not in ("ACK", "BYE")]


def told(stack: Stack, ref: str) -> str:
    return "\n".join(f"{event.name}: {event.text}" for event in stack.known(ref).events)


@pytest.mark.req("GEN-1", "PROP-CAP-5")
@pytest.mark.parametrize("code", [code for code in REFUSALS if code not in NO_MESSAGE])
def test_a_message_that_is_refused_is_followed_by_a_link_and_the_next_push_is_one(
    stack: Stack, core: SipPeer, aor: str, code: int
) -> None:
    core.policy = refuses(code, "MESSAGE")
    ref = submit(stack, aor, b"hello")

    result = stack.result(ref)
    assert (result.state, result.code, result.method, result.attempts) == ("delivered", "1000", "MESSAGE", 1)
    assert ways(core, aor) == ["MESSAGE", "link"]
    assert f"reply: MESSAGE refused with {code} Not So: the next method is tried" in told(stack, ref)
    assert f"MESSAGE was refused with {code}; link to 5 bytes" in told(stack, ref)
    assert get(url_of(core.pushes(aor)[1])).content == b"hello"

    later = submit(stack, aor, b"hello")
    assert stack.result(later).state == "delivered"
    assert ways(core, aor) == ["MESSAGE", "link", "link"]
    assert "as told by answer" in told(stack, later)


@pytest.mark.req("PROP-CAP-5")
@pytest.mark.parametrize("by", ["MESSAGE", "INVITE"])
def test_what_is_too_large_for_a_time_is_sent_again_and_not_learnt(
    stack: Stack, core: SipPeer, aor: str, by: Method
) -> None:
    """RFC 3261 21.4.11: 413 with Retry-After."""
    core.policy = lambda _: Says(413, "Full", {"Retry-After": "1"})
    content = b"hello" if by == "MESSAGE" else LARGE
    ref = submit(stack, aor, content, application="all.ua")

    wait_until(lambda: len(ways(core, aor)) >= 2, 10, "the second try")
    assert ways(core, aor)[:2] == [by, by]
    wait_until(lambda: "try 2" in told(stack, ref), 10, "the second try in the event log")
    assert "the next method is tried" not in told(stack, ref)
    assert capabilities.read(stack.store, aor) is None


@pytest.mark.parametrize("code", NO_MESSAGE)
def test_who_takes_no_message_gets_no_link_in_one(stack: Stack, core: SipPeer, aor: str, code: int) -> None:
    core.policy = refuses(code, "MESSAGE", "link")
    result = stack.result(submit(stack, aor, b"hello"))

    assert (result.state, result.code, result.sip_code) == ("undeliverable", "3007", code)
    assert stack.result(submit(stack, aor, b"hello")).code == "2006"
    assert ways(core, aor) == ["MESSAGE"]


@pytest.mark.req("GEN-1", "PSA-NOT-4")
@pytest.mark.parametrize("code", [413, 415, 488])
def test_a_notify_that_is_refused_is_followed_by_a_message(stack: Stack, core: SipPeer, code: int) -> None:
    device = Subscriber(stack, core)
    device.begin(**wants("mms.ua"))
    device.notifies(1)
    device.settle()
    core.policy = lambda request: Says(code) if request.method == "NOTIFY" and request.body else OK
    ref = submit(stack, device.aor, b"hello")

    result = stack.result(ref)
    assert (result.state, result.method) == ("delivered", "MESSAGE")
    assert "NOTIFY refused with" in told(stack, ref)
    device.settle()
    later = submit(stack, device.aor, b"hello")
    assert stack.result(later).method == "MESSAGE"
    assert [one.body for one in device.notifies(2)] == [b"", b"hello"]


@pytest.mark.req("GEN-1")
def test_what_all_subscriptions_of_a_user_refuse_goes_by_the_next_method(stack: Stack, core: SipPeer) -> None:
    first = Subscriber(stack, core)
    second = Subscriber(stack, core, aor=first.aor)
    for device in (first, second):
        device.begin(**wants("mms.ua"))
        device.notifies(1)
        device.settle()
    core.policy = lambda request: Says(415) if request.method == "NOTIFY" and request.body else OK
    ref = submit(stack, first.aor, b"hello")

    assert stack.result(ref).method == "MESSAGE"
    assert [one.body for one in core.pushes(first.aor)] == [b"hello"]


@pytest.mark.req("PSA-MSRP-1", "GEN-1", "PROP-CAP-5")
@pytest.mark.parametrize("code", REFUSALS)
def test_an_invite_that_is_refused_is_followed_by_a_link(
    stack: Stack, core: SipPeer, aor: str, code: int
) -> None:
    core.policy = refuses(code, "INVITE")
    ref = submit(stack, aor, LARGE, application="all.ua")

    result = stack.result(ref, 20)
    assert (result.state, result.method) == ("delivered", "MESSAGE")
    assert ways(core, aor) == ["INVITE", "link"]
    assert f"INVITE refused with {code}" in told(stack, ref)
    later = submit(stack, aor, LARGE, application="all.ua")
    assert stack.result(later).state == "delivered"
    assert ways(core, aor) == ["INVITE", "link", "link"]
    assert stack.result(submit(stack, aor, b"small", application="all.ua")).method == "MESSAGE"


@pytest.mark.req("PSA-MSG-4")
def test_when_each_way_is_refused_the_last_answer_is_the_result(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    core.policy = refuses(488, "MESSAGE", "INVITE", "link")
    ref = submit(stack, aor, b"hello", application="all.ua")

    result = stack.result(ref, 20)
    assert (result.state, result.code, result.sip_code) == ("aborted", "5030", 488)
    assert ways(core, aor) == ["MESSAGE", "INVITE", "link"]
    later = stack.result(submit(stack, aor, b"hello", application="all.ua"))
    assert (later.state, later.code, later.attempts) == ("undeliverable", "2006", 1)
    assert len(ways(core, aor)) == 3


def test_where_no_other_way_is_allowed_a_refusal_is_the_result_at_once(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    core.policy = refuses(415, "MESSAGE")
    for number, more in enumerate(({"application": "message.ua"}, {"method": "MESSAGE"})):
        user = f"{aor[:4]}{number}{aor[4:]}"
        result = stack.result(submit(stack, user, b"hello", **more))
        assert (result.state, result.code, result.sip_code, result.method) == (
            "aborted",
            "5030",
            415,
            "MESSAGE",
        )
        assert ways(core, user) == ["MESSAGE"]


@pytest.mark.parametrize(
    ("accept", "other"), [("", "2006"), ("text/plain, message/external-body", "delivered")]
)
def test_a_device_that_refuses_a_link_refuses_links_or_only_what_they_lead_to(
    stack: Stack, core: SipPeer, aor: str, accept: str, other: str
) -> None:
    core.policy = refuses(415, "link", accept=accept)
    assert stack.result(submit(stack, aor, LARGE, application="linked.ua")).sip_code == 415
    core.policy = lambda _: OK

    assert stack.result(submit(stack, aor, LARGE, application="linked.ua")).code == "2006"
    another = stack.result(submit(stack, aor, LARGE, application="linked.ua", content_type="text/plain"))
    assert other in (another.code, another.state)


def test_other_refusals_end_a_push_as_ever(stack: Stack, core: SipPeer, aor: str) -> None:
    core.policy = refuses(403, "MESSAGE")
    result = stack.result(submit(stack, aor, b"hello"))

    assert (result.state, result.code) == ("aborted", "5027")
    assert ways(core, aor) == ["MESSAGE"]
