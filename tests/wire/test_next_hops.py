"""Next hops that are overloaded, silent, refuse connections, or are to be spared: each alone bears it."""

import socket

import pytest

from omapush import clock
from omapush.store import outbox, outbox_views, pushes
from tests.conftest import MakeStack
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import register

PARTS = ("redis", "sip", "notifier")
AGAIN = {"first_s": 0.05, "longest_s": 0.1}
AT_ONCE: Settings = {'application."mms.ua"': {"retry": {"attempts": 5, **AGAIN}}}
SHORT: Settings = {**AT_ONCE, "delivery": {"transaction_s": 9}}
"Kamailio waits one second for an answer."


def registers_at(stack: Stack, s_cscf: SipPeer, *aors: str) -> None:
    for aor in aors:
        assert s_cscf.ask(register(aor, s_cscf), stack.sip).status == 200


def where(stack: Stack, ref: str) -> str:
    known = stack.known(ref)
    return outbox_views.whereabouts(stack.store, pushes.delivery_of(known.push, 0, known.recipients[0], b""))


def test_a_hop_that_says_503_to_two_users_gets_nothing_until_its_retry_after_and_others_do(
    make_stack: MakeStack,
) -> None:
    stack = make_stack(AT_ONCE, PARTS)
    first, second, third = (f"sip:paused{n}@home1.example" for n in range(3))
    with SipPeer(stack.core_port) as other, SipPeer() as busy:
        registers_at(stack, busy, first, second, third)
        busy.policy = lambda _: Says(503, "Overloaded", {"Retry-After": "3"})
        refused = [stack.submit(aor) for aor in (first, second)]
        wait_until(lambda: len(busy.requests) == 2, 10, "both are refused")
        wait_until(lambda: [where(stack, ref) for ref in refused] == ["later"] * 2, 10, "both are put off")
        busy.policy = lambda _: OK

        waits = stack.submit(third)
        passes = stack.submit("sip:elsewhere@home1.example")
        assert stack.result(passes).state == "delivered"
        wait_until(lambda: where(stack, waits) == "later", 10, "the third one is put off without a try")
        assert busy.pushes(third) == []
        assert len(other.requests) == 1

        result = stack.result(waits)
        assert (result.state, result.attempts) == ("delivered", 1)
        assert {stack.result(ref).attempts for ref in refused} == {2}
    assert "next_hop_paused" in stack.parts["sip"].log_tail(200)


def test_one_users_503_is_obeyed_for_that_push_and_holds_up_nobody_else(make_stack: MakeStack) -> None:
    """It may come from a device, by way of a proxy that passes it on."""
    stack = make_stack(AT_ONCE, PARTS)
    with SipPeer(stack.core_port) as core:
        core.policy = lambda request: (
            Says(503, "Busy", {"Retry-After": "300"}) if "sip:rude@" in request.start_line else OK
        )
        rude = stack.submit("sip:rude@home1.example")
        wait_until(lambda: where(stack, rude) == "later", 10, "it is put off")
        polite = [stack.submit(f"sip:polite{n}@home1.example") for n in range(3)]

        assert {stack.result(ref).state for ref in polite} == {"delivered"}
        assert len(core.pushes("sip:rude@home1.example")) == 1


@pytest.mark.timeout(90)
def test_a_push_that_nobody_answers_goes_to_the_next_address_and_later_ones_go_there_first(
    make_stack: MakeStack,
) -> None:
    with SipPeer(policy=lambda _: None) as silent, SipPeer() as other:
        hops = {
            "next_hop": f"sip:127.0.0.1:{silent.port};lr",
            "next_hops": [f"sip:127.0.0.1:{other.port};lr"],
        }
        stack = make_stack({**SHORT, "core": hops}, PARTS)
        refs = [stack.submit(f"sip:moved{n}@home1.example") for n in range(3)]
        results = [stack.result(ref, deadline_s=20) for ref in refs]
        assert {(result.state, result.attempts) for result in results} == {("delivered", 2)}
        (message,) = other.pushes("sip:moved0@home1.example")
        assert message.header("Route") == f"<sip:127.0.0.1:{silent.port};lr>"

        assert stack.result(stack.submit("sip:moved9@home1.example")).attempts == 1
        assert silent.pushes("sip:moved9@home1.example") == []


def test_an_s_cscf_has_further_addresses_of_its_own(make_stack: MakeStack) -> None:
    with SipPeer() as s_cscf, SipPeer() as twin:
        twins = {f'"127.0.0.1:{s_cscf.port}"': [f"sip:127.0.0.1:{twin.port}"]}
        stack = make_stack({**AT_ONCE, "core.addresses": twins}, PARTS)
        aor = "sip:twins@home1.example"
        registers_at(stack, s_cscf, aor)
        s_cscf.policy = lambda _: Says(503, "No")
        result = stack.result(stack.submit(aor))

        assert (result.state, result.attempts) == ("delivered", 2)
        assert len(twin.pushes(aor)) == 1


def test_a_notify_goes_to_the_next_address_of_the_hop_that_its_dialog_leads_to(make_stack: MakeStack) -> None:
    with SipPeer() as s_cscf, SipPeer() as twin:
        twins = {f'"127.0.0.1:{s_cscf.port}"': [f"sip:127.0.0.1:{twin.port}"]}
        stack = make_stack({**AT_ONCE, "core.addresses": twins}, PARTS)
        route = f"<sip:127.0.0.1:{s_cscf.port};lr>"
        device = Subscriber(stack, s_cscf, "sip:twins@home1.example")
        device.begin(**wants("mms.ua"), **{"Record-Route": route})
        device.notifies(1)
        device.settle()
        s_cscf.policy = lambda _: Says(503, "No")
        result = stack.result(stack.submit(device.aor))

        assert (result.state, result.method, result.attempts) == ("delivered", "NOTIFY", 2)
        (notify,) = twin.requests
        assert notify.header("Route") == route


@pytest.fixture
def closed_port() -> int:
    """A TCP port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def test_a_tcp_hop_that_refuses_connections_fails_at_once_and_not_after_32_seconds(
    make_stack: MakeStack, closed_port: int
) -> None:
    core = {"next_hop": f"sip:127.0.0.1:{closed_port};transport=tcp;lr"}
    stack = make_stack({**AT_ONCE, "core": core}, PARTS)
    result = stack.result(stack.submit("sip:refused@home1.example"))

    assert (result.state, result.code, result.attempts) == ("undeliverable", "4001", 5)
    assert "refuses TCP" in result.desc


def test_a_tcp_hop_that_refuses_is_passed_over_within_the_same_try(
    make_stack: MakeStack, closed_port: int
) -> None:
    with SipPeer() as other:
        core = {
            "next_hop": f"sip:127.0.0.1:{closed_port};transport=tcp;lr",
            "next_hops": [f"sip:127.0.0.1:{other.port};lr"],
        }
        stack = make_stack({**AT_ONCE, "core": core}, PARTS)
        result = stack.result(stack.submit("sip:passed@home1.example"))

        assert (result.state, result.attempts) == ("delivered", 1)


RATE, BURST, USERS = 20, 5, 40


def sent_ms(stack: Stack, ref: str) -> list[int]:
    """When each MESSAGE of a push left, by the clock of the process that sent it."""
    return [event.at_ms for event in stack.known(ref).events if event.name == "sent"]


def test_after_a_mass_registration_what_was_held_leaves_paced_for_each_s_cscf(make_stack: MakeStack) -> None:
    stack = make_stack(
        {
            "core": {"hop_rate": RATE, "hop_burst": BURST},
            'application."patient.ua"': {"unregistered": "hold"},
        },
        PARTS,
    )
    ones, twos = ([f"sip:{name}{n}@home1.example" for n in range(USERS)] for name in ("one", "two"))
    with SipPeer(stack.core_port) as core, SipPeer() as first, SipPeer() as second:
        refs = [stack.submit(aor, app="patient.ua") for aor in ones + twos]
        wait_until(lambda: outbox.depth(stack.store).held == 2 * USERS, 10, "all are held")
        began_ms = clock.now_ms()
        registers_at(stack, first, *ones)
        registers_at(stack, second, *twos)

        assert {stack.result(ref, deadline_s=30).state for ref in refs} == {"delivered"}
        assert not core.requests
        assert len(first.requests) == len(second.requests) == USERS
        for some in (refs[:USERS], refs[USERS:]):
            check_pace([at for ref in some for at in sent_ms(stack, ref)], began_ms)
    assert {event.name for event in stack.known(refs[0]).events} == {"accepted", "held", "sent", "final"}


def test_nobody_else_waits_for_those_who_are_paced(make_stack: MakeStack) -> None:
    core_at = {"hop_rate": 1, "hop_burst": 1}
    stack = make_stack({"core": core_at, 'application."patient.ua"': {"unregistered": "hold"}}, PARTS)
    aors = [f"sip:paced{n}@home1.example" for n in range(USERS)]
    with SipPeer(stack.core_port) as core, SipPeer() as paced:
        for aor in aors:
            stack.submit(aor, app="patient.ua")
        wait_until(lambda: outbox.depth(stack.store).held == USERS, 10, "all are held")
        registers_at(stack, paced, *aors)
        passes = stack.submit("sip:passer-by@home1.example")

        assert stack.result(passes).state == "delivered"
        assert len(core.requests) == 1
        assert len(paced.requests) < USERS, "it waited for those who are paced"


def check_pace(times: list[int], began_ms: int) -> None:
    """
    At no time have more left than burst and rate allow since the beginning; two senders, and each rounds up.

    A shorter span may have more of them: those of a sender that had to wait for the processor leave late.
    """
    assert len(times) == USERS
    for number, at_ms in enumerate(sorted(times), 1):
        assert number <= BURST + RATE * (at_ms - began_ms) / 1000 + 4, (number, began_ms, times)


def test_a_rate_holds_for_all_senders_together(make_stack: MakeStack) -> None:
    stack = make_stack({"sip": {"senders": 2}, "core": {"hop_rate": RATE, "hop_burst": BURST}}, PARTS)
    with SipPeer(stack.core_port) as core:
        began_ms = clock.now_ms()
        ref = stack.submit([f"sip:many{n}@home1.example" for n in range(USERS)])
        assert {result.state for result in stack.finished(ref, deadline_s=30).results} == {"delivered"}
        assert {result.attempts for result in stack.known(ref).results} == {1}
        assert len(core.requests) == USERS
        check_pace(sent_ms(stack, ref), began_ms)


def test_a_name_that_dns_does_not_know_holds_up_nobody_and_is_not_tried_again(stack: Stack) -> None:
    """It is looked up by a process that sends nothing, until it is found."""
    first, second = (f"sip:nameless{n}@home1.example" for n in range(2))
    with SipPeer(stack.core_port) as core:
        for aor in (first, second):
            at_core = f"Contact: <sip:127.0.0.1:{core.port}>".encode()
            nowhere = register(aor, core).replace(at_core, b"Contact: <sip:scscf.nowhere.invalid:6060>")
            assert core.ask(nowhere, stack.sip).status == 200
        for aor in (first, second):
            ref = stack.submit(aor)
            failed = lambda: stack.known(ref).results[0].sip_code == 503  # noqa: B023, E731
            wait_until(failed, 10, "a try that could not be sent")
        assert stack.result(stack.submit("sip:elsewhere@home1.example")).state == "delivered"

    log = stack.parts["sip"].log_text()
    assert log.count("event=next_hop_not_found name=scscf.nowhere.invalid:6060") == 1
