"""Devices that subscribe to `ua-profile`: each answer, and the NOTIFY that follows, on the wire."""

from __future__ import annotations

import itertools
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest

from omapush.push import device_subscription as rules
from omapush.store import capabilities, keys, subscriptions
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import request

PSA = "sip:psa@home1.example"
URL = "http://uaprof.maker.example/px200.rdf"
EVENT = f'ua-profile;profile-type=device;vendor="maker.example";model="{URL}";version="3.1"'
PROXY = "sip:scscf.home1.example;lr"

_numbers = itertools.count(1)


@dataclass
class Device:
    """A device at the far end: it keeps what belongs to one dialog."""

    stack: Stack
    core: SipPeer
    aor: str = field(default_factory=lambda: f"sip:device{next(_numbers)}@home1.example")
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    to_tag: str = ""
    cseq: int = 0

    def ask(
        self, *, event: str = EVENT, expires: str = "600", accept: str = "", cseq: int = 0, **more: Any
    ) -> SipText:
        """Send a SUBSCRIBE, in the dialog once there is one, and return its final answer."""
        return self.core.ask(
            self.subscribe(event=event, expires=expires, accept=accept, cseq=cseq, **more), self.stack.sip
        )

    def subscribe(self, *, event: str, expires: str, accept: str, cseq: int = 0, **more: str) -> bytes:
        """The bytes of a SUBSCRIBE with the next CSeq."""
        self.cseq = cseq or self.cseq + 1
        user = self.aor.partition(":")[2].partition("@")[0]
        headers = [
            ("Contact", f'<sip:{user}@127.0.0.1:{self.core.port}>;+sip.instance="<urn:uuid:{user}>"'),
            *((("Event", event),) if event else ()),
            *((("Accept", accept),) if accept else ()),
            *((("Expires", expires),) if expires else ()),
            *((name.replace("_", "-"), value) for name, value in more.items()),
        ]
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        return request(
            "SUBSCRIBE",
            PSA,
            self.core.address,
            headers,
            From=f"<{self.aor}>;tag={self.tag}",
            To=f"<{PSA}>{to_tag}",
            Call_ID=self.call_id,
            CSeq=f"{self.cseq} SUBSCRIBE",
        )

    def begin(self, **more: Any) -> SipText:
        """Subscribe and enter the dialog."""
        answer = self.ask(**more)
        assert answer.status == 200, answer.raw
        self.to_tag = answer.header("To").rpartition(";tag=")[2]
        return answer

    def notifies(self, count: int) -> list[SipText]:
        """The NOTIFYs of the dialog, once there are so many."""

        def found() -> list[SipText]:
            return [
                one
                for one in self.core.requests
                if one.method == "NOTIFY" and one.header("Call-ID") == self.call_id
            ]

        wait_until(lambda: len(found()) >= count, 10, lambda: f"{count} NOTIFYs: {found()}")
        return found()

    @property
    def stored(self) -> rules.DeviceSubscription | None:
        return subscriptions.read(self.stack.store, self.to_tag)


@pytest.fixture
def device(stack: Stack, core: SipPeer) -> Device:
    return Device(stack, core)


@pytest.mark.req("PROP-CAP-1", "PROP-CAP-2", "SIPPUSH-PSA-S-003")
def test_a_subscribe_gets_200_and_at_once_an_empty_notify(device: Device) -> None:
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
def test_what_the_device_says_of_itself_is_kept_with_its_profile(device: Device) -> None:
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
def test_a_missing_parameter_gets_400_that_names_it(device: Device, missing: str) -> None:
    event = ";".join(piece for piece in EVENT.split(";") if not piece.startswith(missing))

    answer = device.ask(event=event)

    assert answer.status == 400
    assert missing in answer.start_line


@pytest.mark.req("PROP-CAP-2")
@pytest.mark.parametrize("profile_type", ["user", "local-network", "device2"])
def test_a_profile_type_that_is_not_served_gets_404(device: Device, profile_type: str) -> None:
    assert device.ask(event=EVENT.replace("=device", f"={profile_type}")).status == 404


@pytest.mark.parametrize("event", ["", "presence", "UA-PROFILE;profile-type=device", "ua-profile.winfo"])
def test_another_package_gets_489_and_the_packages_there_are(device: Device, event: str) -> None:
    answer = device.ask(event=event)

    assert answer.status == 489
    assert "ua-profile" in answer.header("Allow-Events")


@pytest.mark.parametrize("event", [";profile-type=device", 'ua-profile;model="', "ua-profile;a=1;a=2"])
def test_an_event_that_cannot_be_read_gets_400(device: Device, event: str) -> None:
    assert device.ask(event=event).status == 400


def test_accept_without_a_type_that_we_have_gets_406(device: Device) -> None:
    assert device.ask(accept="image/png, text/plain").status == 406


@pytest.mark.parametrize(
    "accept", ["message/external-body, application/vnd.oma.push", "*/*", "image/png, Message/*;q=0.3"]
)
def test_accept_with_a_type_that_we_have_is_taken(device: Device, accept: str) -> None:
    device.begin(accept=accept)


def test_too_brief_an_interval_gets_423_with_the_least(device: Device) -> None:
    answer = device.ask(expires="5")

    assert answer.status == 423
    assert answer.header("Min-Expires") == "60"


@pytest.mark.parametrize(("asked", "granted"), [("", 86_400), ("999999999", 86_400), ("60", 60)])
def test_the_expiry_is_bounded_and_has_a_default(device: Device, asked: str, granted: int) -> None:
    assert device.begin(expires=asked).header("Expires") == str(granted)


def test_an_expiry_that_is_no_number_gets_400(device: Device) -> None:
    assert device.ask(expires="soon").status == 400


def test_a_refresh_prolongs_and_is_followed_by_another_notify(device: Device) -> None:
    device.begin()
    device.notifies(1)

    assert device.ask(expires="1200").header("Expires") == "1200"

    first, second = device.notifies(2)
    assert (first.header("CSeq"), second.header("CSeq")) == ("1 NOTIFY", "2 NOTIFY")
    assert second.header("Subscription-State").startswith("active;expires=1")


def test_unsubscribing_ends_the_dialog_with_a_last_notify(device: Device) -> None:
    device.begin()
    device.notifies(1)

    assert device.ask(expires="0").header("Expires") == "0"

    assert device.notifies(2)[1].header("Subscription-State") == "terminated;reason=timeout"
    wait_until(lambda: device.stored is None, 5, "the record gone")
    assert device.ask(expires="600").status == 481


def test_a_poll_is_answered_by_one_notify_and_leaves_no_dialog(device: Device) -> None:
    assert device.begin(expires="0").header("Expires") == "0"

    [notify] = device.notifies(1)
    assert notify.header("Subscription-State") == "terminated;reason=timeout"
    wait_until(lambda: device.stored is None, 5, "the record gone")
    assert capabilities.read(device.stack.store, device.aor) is not None


def test_a_cseq_out_of_order_gets_500_and_changes_nothing(device: Device) -> None:
    device.begin()
    device.notifies(1)
    device.ask(expires="900")
    device.notifies(2)

    assert device.ask(expires="60", cseq=1).status == 500

    stored = device.stored
    assert stored is not None
    assert stored.dialog.remote_cseq == 2


def test_a_request_in_a_dialog_that_we_do_not_have_gets_481(device: Device) -> None:
    for to_tag in ("f" * 32, "somebody-elses"):
        device.to_tag = to_tag
        assert device.ask().status == 481


def test_a_stranger_in_a_dialog_gets_481(device: Device) -> None:
    device.begin()

    stranger = Device(device.stack, device.core, aor=device.aor, to_tag=device.to_tag)

    assert stranger.ask(cseq=9).status == 481


def test_a_repeated_subscribe_is_answered_as_the_first_and_makes_one_dialog(device: Device) -> None:
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


def test_a_retransmission_gets_the_same_answer(device: Device, core: SipPeer, stack: Stack) -> None:
    raw = device.subscribe(event=EVENT, expires="600", accept="")
    first, second = core.ask(raw, stack.sip), core.ask(raw, stack.sip)

    assert first.raw == second.raw
    assert len(device.notifies(1)) == 1


def test_record_route_is_kept_for_every_notify(device: Device) -> None:
    routes = f"<sip:127.0.0.1:{device.core.port};lr;a=1>, <{PROXY}>"

    answer = device.begin(Record_Route=routes)

    assert ", ".join(answer.all("Record-Route")) == routes
    [notify] = device.notifies(1)
    assert ", ".join(notify.all("Route")) == routes


def test_the_asserted_identity_names_the_user_when_from_does_not(stack: Stack, core: SipPeer) -> None:
    device = Device(stack, core, aor="sip:anonymous@home1.example")

    device.begin(P_Asserted_Identity="<sip:asserted@home1.example>")

    stored = device.stored
    assert stored is not None
    assert stored.aor == "sip:asserted@home1.example"


def test_no_second_notify_while_the_first_has_no_answer(device: Device) -> None:
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
    device: Device, code: int, stays: bool
) -> None:
    device.core.policy = lambda one: Says(code) if one.method == "NOTIFY" else OK
    device.begin()
    device.notifies(1)

    def settled() -> bool:
        stored = device.stored
        return stored is not None and not stored.in_flight_until_ms if stays else stored is None

    wait_until(settled, 5, lambda: f"settled: {device.stored}")


SHORT: Settings = {"capabilities": {"least_s": 1}, "delivery": {"transaction_s": 5, "lease_ms": 500}}


def test_a_subscription_that_runs_out_is_ended_by_a_notify(make_stack: MakeStack) -> None:
    stack = make_stack(SHORT, ("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        device = Device(stack, core)
        device.begin(expires="1")

        assert device.notifies(2)[1].header("Subscription-State") == "terminated;reason=timeout"
        wait_until(lambda: device.stored is None, 5, "the record gone")
        assert not stack.db.zrange(keys.subscriptions_due(0), 0, -1)


def test_kill_9_of_everything_loses_no_dialog(make_stack: MakeStack) -> None:
    """A NOTIFY without a result is sent anew with the next CSeq, by whoever owns the shard then."""
    stack = make_stack({**SHORT, "capabilities": {}}, ("redis", "sip"))
    with SipPeer(stack.core_port, policy=lambda one: None) as core:
        device = Device(stack, core)
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
        answer = Device(stack, core).ask()

        assert answer.status == 503
        assert int(answer.header("Retry-After")) > 0
