"""Devices that subscribe to `ua-profile`: each answer, and the NOTIFY that follows, on the wire."""

from __future__ import annotations

import re

import pytest

from omapush.store import capabilities
from tests.conftest import MakeStack
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import DEVICE_EVENT, PSA, URL, Subscriber, wants
from tests.harness.wait import wait_until

PROXY = "sip:scscf.home1.example;lr"


@pytest.fixture
def device(stack: Stack, core: SipPeer) -> Subscriber:
    return Subscriber(stack, core)


@pytest.mark.req("PROP-CAP-1", "PROP-CAP-2", "SIPPUSH-PSA-S-003")
def test_a_subscribe_gets_200_and_at_once_an_empty_notify(device: Subscriber) -> None:
    answer = device.begin()

    assert answer.header("Expires") == "600"
    assert answer.header("Contact") == f"<sip:127.0.0.1:{device.stack.sip[1]}>"
    [notify] = device.notifies(1)
    assert notify.body == b""
    assert notify.header("Event") == "ua-profile"
    assert re.fullmatch(r"active;expires=(600|599)", notify.header("Subscription-State"))
    assert notify.header("From") == f"<{PSA}>;tag={device.to_tag}"
    assert notify.header("To") == f"<{device.aor}>;tag={device.tag}"
    assert notify.header("CSeq") == "1 NOTIFY"
    assert notify.header("Contact") == answer.header("Contact")


@pytest.mark.req("PROP-CAP-3")
def test_what_the_device_says_of_itself_is_kept_with_its_profile(device: Subscriber) -> None:
    device.begin()

    def known() -> bool:
        record = capabilities.read(device.stack.store, device.aor)
        return record is not None and record.facts[0].profile_url == URL

    wait_until(known, 5, "capabilities")
    record = capabilities.read(device.stack.store, device.aor)
    assert record is not None
    [facts] = record.facts
    assert facts.device == f"urn:uuid:{device.aor[4:].partition('@')[0]}"
    assert facts.source == "uaprof"
    assert facts.expires_ms - facts.at_ms == 600_000


@pytest.mark.req("PROP-CAP-1")
@pytest.mark.parametrize("missing", ["profile-type", "vendor", "model", "version"])
def test_a_missing_parameter_gets_400_that_names_it(device: Subscriber, missing: str) -> None:
    event = ";".join(piece for piece in DEVICE_EVENT.split(";") if not piece.startswith(missing))

    answer = device.ask(event=event)

    assert answer.status == 400
    assert missing in answer.start_line


@pytest.mark.req("PROP-CAP-2")
@pytest.mark.parametrize("profile_type", ["user", "local-network", "device2"])
def test_a_profile_type_that_is_not_served_gets_404(device: Subscriber, profile_type: str) -> None:
    assert device.ask(event=DEVICE_EVENT.replace("=device", f"={profile_type}")).status == 404


@pytest.mark.parametrize("event", ["", "presence", "UA-PROFILE;profile-type=device", "ua-profile.winfo"])
def test_another_package_gets_489_and_the_packages_there_are(device: Subscriber, event: str) -> None:
    answer = device.ask(event=event)

    assert answer.status == 489
    assert "ua-profile" in answer.header("Allow-Events")


@pytest.mark.parametrize("event", [";profile-type=device", 'ua-profile;model="', "ua-profile;a=1;a=2"])
def test_an_event_that_cannot_be_read_gets_400(device: Subscriber, event: str) -> None:
    assert device.ask(event=event).status == 400


def test_two_event_headers_get_400_whichever_comes_first(device: Subscriber) -> None:
    assert device.ask(Event="presence").status == 400
    assert device.ask(event="presence", Event=DEVICE_EVENT).status == 400


def test_a_contact_that_no_notify_reaches_gets_400(device: Subscriber, core: SipPeer) -> None:
    raw = device.subscribe(event=DEVICE_EVENT, expires="600", accept="")
    raw = re.sub(rb"Contact: <[^>]*>", b"Contact: <tel:+15551234>", raw)

    assert core.ask(raw, device.stack.sip).status == 400


def test_a_cseq_of_2_31_and_above_gets_400(device: Subscriber) -> None:
    assert [device.ask(cseq=cseq).status for cseq in (2**31, 2**32 - 1, 2**31 - 1)] == [400, 400, 200]


def test_accept_without_a_type_that_we_have_gets_406(device: Subscriber) -> None:
    assert device.ask(accept="image/png, text/plain").status == 406


@pytest.mark.parametrize(
    "accept", ["message/external-body, application/vnd.oma.push", "*/*", "image/png, Message/*;q=0.3"]
)
def test_accept_with_a_type_that_we_have_is_taken(device: Subscriber, accept: str) -> None:
    device.begin(accept=accept)


def test_too_brief_an_interval_gets_423_with_the_least(device: Subscriber) -> None:
    answer = device.ask(expires="5")

    assert answer.status == 423
    assert answer.header("Min-Expires") == "60"


@pytest.mark.parametrize(("asked", "granted"), [("", 86_400), ("999999999", 86_400), ("60", 60)])
def test_the_expiry_is_bounded_and_has_a_default(device: Subscriber, asked: str, granted: int) -> None:
    assert device.begin(expires=asked).header("Expires") == str(granted)


def test_an_expiry_that_is_no_number_gets_400(device: Subscriber) -> None:
    assert device.ask(expires="soon").status == 400


def test_a_refresh_prolongs_and_is_followed_by_another_notify(device: Subscriber) -> None:
    device.begin()
    device.notifies(1)

    assert device.ask(expires="1200").header("Expires") == "1200"

    first, second = device.notifies(2)
    assert (first.header("CSeq"), second.header("CSeq")) == ("1 NOTIFY", "2 NOTIFY")
    assert second.header("Subscription-State").startswith("active;expires=1")


def test_unsubscribing_ends_the_dialog_with_a_last_notify(device: Subscriber) -> None:
    device.begin()
    device.notifies(1)

    assert device.ask(expires="0").header("Expires") == "0"

    assert device.notifies(2)[1].header("Subscription-State") == "terminated;reason=timeout"
    wait_until(lambda: device.stored is None, 5, "the record gone")
    assert device.ask(expires="600").status == 481


def test_a_poll_is_answered_by_one_notify_and_leaves_no_dialog(device: Subscriber) -> None:
    assert device.begin(expires="0").header("Expires") == "0"

    [notify] = device.notifies(1)
    assert notify.header("Subscription-State") == "terminated;reason=timeout"
    wait_until(lambda: device.stored is None, 5, "the record gone")
    assert capabilities.read(device.stack.store, device.aor) is not None


def test_a_cseq_out_of_order_gets_500_and_changes_nothing(device: Subscriber) -> None:
    device.begin()
    device.notifies(1)
    device.ask(expires="900")
    device.notifies(2)

    assert device.ask(expires="60", cseq=1).status == 500

    stored = device.stored
    assert stored is not None
    assert stored.dialog.remote_cseq == 2


def test_a_request_in_a_dialog_that_we_do_not_have_gets_481(device: Subscriber) -> None:
    for to_tag in ("f" * 32, "somebody-elses"):
        device.to_tag = to_tag
        assert device.ask().status == 481


def test_a_stranger_in_a_dialog_gets_481(device: Subscriber) -> None:
    device.begin()

    stranger = Subscriber(device.stack, device.core, aor=device.aor, to_tag=device.to_tag)

    assert stranger.ask(cseq=9).status == 481


def test_a_repeated_subscribe_is_answered_as_the_first_and_makes_one_dialog(device: Subscriber) -> None:
    """The same request by another branch, as after a failure on the way, long after its transaction."""
    first = device.begin()
    device.to_tag = ""
    again = device.ask(cseq=1)

    assert again.status == 200
    assert again.header("To") == first.header("To")
    device.to_tag = first.header("To").rpartition(";tag=")[2]
    device.notifies(1)
    device.ask(expires="0")
    assert [one.header("CSeq") for one in device.notifies(2)] == ["1 NOTIFY", "2 NOTIFY"]


def test_a_retransmission_gets_the_same_answer(device: Subscriber, core: SipPeer, stack: Stack) -> None:
    raw = device.subscribe(event=DEVICE_EVENT, expires="600", accept="")
    first, second = core.ask(raw, stack.sip), core.ask(raw, stack.sip)

    assert first.raw == second.raw
    assert len(device.notifies(1)) == 1


def test_record_route_is_kept_for_every_notify(device: Subscriber) -> None:
    routes = f"<sip:127.0.0.1:{device.core.port};lr;a=1>, <{PROXY}>"

    answer = device.begin(Record_Route=routes)

    assert ", ".join(answer.all("Record-Route")) == routes
    [notify] = device.notifies(1)
    assert ", ".join(notify.all("Route")) == routes


@pytest.mark.req("SEC-2", "SEC-10")
@pytest.mark.parametrize("asserted", ["", '"', "<sip:a@home1.example>, <sip:b@home1.example>"])
def test_who_is_not_asserted_subscribes_to_nothing(stack: Stack, core: SipPeer, asserted: str) -> None:
    """Nothing is kept, nobody is notified: From is the writer's own word (TS 24.229 5.7.1.4)."""
    device = Subscriber(stack, core)

    assert device.ask(P_Asserted_Identity=asserted).status == 403
    assert device.ask(P_Asserted_Identity=asserted, **wants("mms.ua")).status == 403
    assert [one for one in core.requests if one.method == "NOTIFY"] == []


def test_the_asserted_identity_names_the_user_when_from_does_not(stack: Stack, core: SipPeer) -> None:
    device = Subscriber(stack, core, aor="sip:anonymous@home1.example")

    device.begin(P_Asserted_Identity="<sip:asserted@home1.example>")

    stored = device.stored
    assert stored is not None
    assert stored.aor == "sip:asserted@home1.example"


def test_no_second_notify_while_the_first_has_no_answer(device: Subscriber) -> None:
    """Two refreshes meanwhile are told by one NOTIFY after it."""
    answered = False
    device.core.policy = lambda one: OK if answered or one.method != "NOTIFY" else None
    device.begin()
    device.notifies(1)
    device.ask(expires="700")
    device.ask(expires="800")
    assert len(device.notifies(1)) == 1

    answered = True

    first, second = device.notifies(2)
    assert second.header("CSeq") == "2 NOTIFY"
    assert re.fullmatch(r"active;expires=(800|79[0-9])", second.header("Subscription-State"))
    assert first.header("CSeq") == "1 NOTIFY"


@pytest.mark.parametrize(
    ("code", "stays"), [(481, False), (489, False), (404, False), (403, True), (500, True)]
)
def test_an_answer_to_notify_ends_the_subscription_or_leaves_it(
    device: Subscriber, code: int, stays: bool
) -> None:
    device.core.policy = lambda one: Says(code) if one.method == "NOTIFY" else OK
    device.begin()
    device.notifies(1)

    def settled() -> bool:
        under_way = device.stack.db.zscore(device.place("flight"), device.to_tag)
        return (device.stored is not None) == stays and under_way is None

    wait_until(settled, 5, lambda: f"settled: {device.stored}")


SHORT: Settings = {"subscriptions": {"least_s": 1}, "delivery": {"transaction_s": 5, "lease_ms": 500}}


def test_a_subscription_that_runs_out_is_ended_by_a_notify(make_stack: MakeStack) -> None:
    stack = make_stack(SHORT, ("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        device = Subscriber(stack, core)
        device.begin(expires="1")

        assert device.notifies(2)[1].header("Subscription-State") == "terminated;reason=timeout"
        wait_until(lambda: device.stored is None, 5, "the record gone")
        assert not stack.db.keys("sub*")


def test_kill_9_of_everything_loses_no_dialog(make_stack: MakeStack) -> None:
    """A NOTIFY without a result is sent anew with the next CSeq, by whoever owns the shard then."""
    stack = make_stack({**SHORT, "subscriptions": {}}, ("redis", "sip"))
    with SipPeer(stack.core_port, policy=lambda one: None) as core:
        device = Subscriber(stack, core)
        device.begin(expires="600")
        device.notifies(1)
        stack.kill("sip")
        stack.restart("redis")
        core.policy = lambda _: OK
        stack.start("sip")

        last = device.notifies(2)[-1]
        assert last.header("CSeq") == "2 NOTIFY"
        assert device.ask(expires="600").status == 200


def test_without_redis_a_subscribe_gets_503_with_retry_after(make_stack: MakeStack) -> None:
    stack = make_stack(SHORT, ("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        stack.kill("redis")
        answer = Subscriber(stack, core).ask()

        assert answer.status == 503
        assert int(answer.header("Retry-After")) > 0
