"""An application's Accept-Contact is matched with who is registered first: sent, refused or held."""

import itertools
import re

import httpx
import pytest

from omapush import clock
from omapush.push.registration import Report
from omapush.push.values import Event
from omapush.store import outbox_views, pushes, registrations
from tests.conftest import MakeStack
from tests.harness.reg_event import Scscf, contact, param, reginfo, registration
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire import registered
from tests.wire.requests import register

NUMBERS = itertools.count(1)
OTHER = ';+sip.instance="<urn:uuid:1>";+g.oma.pusheventapp="mms.ua"'
HELD = ';+sip.instance="<urn:uuid:1>";+g.oma.pusheventapp="mms.ua,held.ua"'
NO_TAGS = ';+sip.instance="<urn:uuid:1>"'


@pytest.fixture
def aor() -> str:
    """A user of this test alone."""
    return f"sip:pref{next(NUMBERS)}@home1.example"


def registers(
    stack: Stack, core: SipPeer, aor: str, tags: str, *, device: str = "one", expires: int = 600
) -> None:
    """A handset registers, and the S-CSCF tells us."""
    uri = f"sip:{device}@127.0.0.1:{core.port}"
    registered.registers(stack, core, aor, uri, tags=tags, expires=expires)


def where(stack: Stack, ref: str) -> str:
    known = stack.known(ref)
    return outbox_views.whereabouts(stack.store, pushes.delivery_of(known.push, 0, known.recipients[0], b""))


def events(stack: Stack, ref: str, name: str) -> list[Event]:
    return [event for event in stack.known(ref).events if event.name == name]


def held(stack: Stack, ref: str, times: int = 1) -> Event:
    """The latest reason to hold the push, once it has been held so often."""
    wait_until(
        lambda: len(events(stack, ref, "held")) >= times and where(stack, ref) == "held",
        10,
        lambda: f"hold number {times}: {stack.known(ref)}",
    )
    return events(stack, ref, "held")[-1]


@pytest.mark.req("PROP-ARI-5", "PSA-MSG-4", "PSA-MSG-2")
def test_a_strict_application_that_no_device_has_is_refused_and_nothing_is_sent(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, OTHER)
    ref = stack.submit(aor, app="strict.ua")

    result = stack.result(ref)
    assert (result.state, result.code, result.sip_code, result.method) == ("undeliverable", "2006", 0, "")
    assert 'tag +g.oma.pusheventapp is "mms.ua"' in result.desc
    assert events(stack, ref, "final")[0].text == result.desc
    assert core.pushes(aor) == []


@pytest.mark.req("PROP-ARI-5")
def test_a_bare_application_that_no_device_has_is_refused_only_when_its_profile_says_so(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, OTHER)

    assert stack.result(stack.submit(aor, app="choosy.ua")).code == "2006"
    sent = stack.submit(aor, app="bare.ua")
    assert stack.result(sent).code == "1000"
    (reason,) = events(stack, sent, "sent")
    assert "none of 1 device fits" in reason.text
    assert "the core decides" in reason.text
    assert len(core.pushes(aor)) == 1


@pytest.mark.req("PROP-ARI-5")
def test_a_strict_application_is_left_to_the_core_when_its_profile_says_so(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, OTHER)

    assert stack.result(stack.submit(aor, app="daring.ua")).code == "1000"
    assert core.pushes(aor)[0].header("Accept-Contact").endswith(";require;explicit")


def test_a_user_that_is_not_registered_is_2003_where_one_without_the_application_is_2006(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    assert stack.result(stack.submit(aor, app="choosy.ua")).code == "2003"
    registers(stack, core, aor, NO_TAGS)
    assert stack.result(stack.submit(aor, app="choosy.ua")).code == "2006"
    assert stack.result(stack.submit(aor, app="known.ua")).code == "1000"
    registers(stack, core, aor, NO_TAGS, expires=0)
    assert stack.result(stack.submit(aor, app="choosy.ua")).code == "2003"
    assert len(core.pushes(aor)) == 1


@pytest.mark.req("PROP-ARI-5", "PSA-MSG-1", "PSA-MSG-2")
def test_a_held_push_is_sent_at_once_when_a_device_registers_the_application(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, OTHER)
    ref = stack.submit(aor, app="held.ua")
    reason = held(stack, ref)
    assert 'tag +g.oma.pusheventapp is "mms.ua"' in reason.text
    assert core.pushes(aor) == []

    registers(stack, core, aor, HELD)

    (message,) = core.wait_for_push(aor)
    assert message.header("Accept-Contact") == '*;+g.oma.pusheventapp="held.ua";require;explicit'
    result = stack.result(ref)
    assert (result.state, result.attempts) == ("delivered", 1)
    assert "1 of 1 device fits" in events(stack, ref, "sent")[0].text


@pytest.mark.req("PROP-ARI-5")
def test_a_push_is_held_for_a_user_that_is_not_there_and_sent_when_one_registers(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    ref = stack.submit(aor, app="held.ua")
    assert "no registration is known" in held(stack, ref).text

    registers(stack, core, aor, HELD)
    assert stack.result(ref).state == "delivered"


@pytest.mark.req("PROP-ARI-5", "PRA-REG-6")
def test_a_withdrawn_tag_holds_again_what_comes_after_it(stack: Stack, core: SipPeer, aor: str) -> None:
    registers(stack, core, aor, HELD)
    assert stack.result(stack.submit(aor, app="held.ua")).state == "delivered"

    registers(stack, core, aor, NO_TAGS)
    ref = stack.submit(aor, app="held.ua")
    assert "does not say +g.oma.pusheventapp" in held(stack, ref).text

    registers(stack, core, aor, OTHER)
    assert 'is "mms.ua"' in held(stack, ref, times=2).text
    registers(stack, core, aor, NO_TAGS, expires=0)
    assert "not registered" in held(stack, ref, times=3).text
    assert len(core.pushes(aor)) == 1

    registers(stack, core, aor, HELD)
    assert stack.result(ref).state == "delivered"


def test_a_refresh_that_changes_nothing_does_not_wake_what_is_held(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, OTHER)
    ref = stack.submit(aor, app="held.ua")
    held(stack, ref)
    for _ in range(3):
        registers(stack, core, aor, OTHER)

    registers(stack, core, aor, HELD)
    assert stack.result(ref).state == "delivered"
    assert len(events(stack, ref, "held")) == 1


@pytest.mark.req("PROP-ARI-5")
def test_of_several_devices_one_with_the_application_is_enough(stack: Stack, core: SipPeer, aor: str) -> None:
    registers(stack, core, aor, OTHER, device="tablet")
    two = HELD.replace("urn:uuid:1", "urn:uuid:2")
    registers(stack, core, aor, two, device="phone")
    ref = stack.submit(aor, app="held.ua")

    assert stack.result(ref).state == "delivered"
    assert "1 of 2 devices fits" in events(stack, ref, "sent")[0].text

    registers(stack, core, aor, two, device="phone", expires=0)
    left = stack.submit(aor, app="held.ua")
    assert "none of 1 device fits" in held(stack, left).text
    registers(stack, core, aor, two, device="phone")
    assert stack.result(left).state == "delivered"


def test_a_device_without_feature_parameters_is_immune_and_gets_everything(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, "")

    for app in ("strict.ua", "held.ua", "choosy.ua"):
        assert stack.result(stack.submit(aor, app=app)).state == "delivered"


def test_a_registration_that_shows_no_contact_leaves_it_to_the_core(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    assert core.ask(register(aor, core), stack.sip).status == 200
    ref = stack.submit(aor, app="held.ua")

    assert stack.result(ref).state == "delivered"
    assert "devices not shown, the core decides" in events(stack, ref, "sent")[0].text


def test_a_held_push_does_not_hold_up_another_application(stack: Stack, core: SipPeer, aor: str) -> None:
    registers(stack, core, aor, OTHER)
    waiting = [stack.submit(aor, app="held.ua") for _ in range(3)]
    for ref in waiting:
        held(stack, ref)
    assert stack.result(stack.submit(aor, app="mms.ua")).state == "delivered"

    registers(stack, core, aor, HELD)
    for ref in waiting:
        assert stack.result(ref).state == "delivered"
    sent = [events(stack, ref, "sent")[0].at_ms for ref in waiting]
    assert sent == sorted(sent)


def test_a_push_that_is_held_until_its_end_expires_as_unreachable(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor, OTHER)
    result = stack.result(stack.submit(aor, app="held.ua", lifetime_ms=1_000))

    assert (result.state, result.code, result.sip_code) == ("expired", "5028", 0)
    assert core.pushes(aor) == []


@pytest.mark.req("PROP-ARI-5")
def test_a_change_that_woke_nobody_is_found_by_the_slow_look(make_stack: MakeStack) -> None:
    """The process that stored the registration may die before it wakes what is held."""
    own = make_stack(
        {"delivery": {"hold_check_s": 0.3}, 'application."held.ua"': {"no_match": "hold"}},
        ("redis", "sip", "notifier"),
    )
    with SipPeer(own.core_port) as core:
        aor = "sip:slow@home1.example"
        ref = own.submit(aor, app="held.ua")
        held(own, ref)
        report = Report(aor, 600, "", "", (), False, "register", (), "", "", clock.now_ms(), ())
        registrations.capture(own.store, [report])

        assert own.result(ref).state == "delivered"
        assert len(events(own, ref, "held")) == 1
        assert len(core.pushes(aor)) == 1
        metrics = httpx.get(f"http://127.0.0.1:{own.sip[1]}/metrics", trust_env=False).text
        assert re.search(r"^omapush_deliveries_held_total 1 ", metrics, re.MULTILINE)


@pytest.mark.req("PROP-ARI-5")
def test_what_is_held_outlives_a_kill_of_every_process(make_stack: MakeStack) -> None:
    own = make_stack({'application."held.ua"': {"no_match": "hold"}}, ("redis", "sip", "notifier"))
    with SipPeer(own.core_port) as core:
        aor = "sip:killed@home1.example"
        ref = own.submit(aor, app="held.ua")
        held(own, ref)
        for part in ("notifier", "sip", "redis"):
            own.kill(part)
        for part in ("redis", "sip", "notifier"):
            own.start(part)
        assert where(own, ref) == "held"

        registers(own, core, aor, HELD)
        assert own.result(ref).state == "delivered"
        assert len(core.pushes(aor)) == 1


@pytest.mark.req("PROP-ARI-5", "PSA-REG-2")
def test_a_tag_that_the_reg_event_withdraws_holds_and_one_that_it_brings_sends(make_stack: MakeStack) -> None:
    """Neither change comes with a REGISTER that reaches us."""
    own = make_stack(
        {"registration": {"watch": True}, 'application."held.ua"': {"no_match": "hold"}},
        ("redis", "sip", "notifier"),
    )
    with SipPeer(own.core_port) as core:
        scscf, aor = Scscf(core, own.sip), "sip:withdrawn@home1.example"
        uri = f"sip:one@127.0.0.1:{core.port}"
        registers(own, core, aor, HELD)
        dialog = scscf.subscribe(aor)

        def reports(version: int, applications: str) -> None:
            tags = param("+sip.instance", "&quot;&lt;urn:uuid:1&gt;&quot;")
            tags += param("+g.oma.pusheventapp", f"&quot;{applications}&quot;")
            body = reginfo(version, registration(aor, contact(uri, inside=tags)))
            assert scscf.notify(dialog, body).status == 200

        reports(0, "mms.ua")
        ref = own.submit(aor, app="held.ua")
        assert 'is "mms.ua"' in held(own, ref).text

        reports(1, "mms.ua,held.ua")
        assert own.result(ref).state == "delivered"
        assert [request.method for request in core.pushes(aor)].count("MESSAGE") == 1
