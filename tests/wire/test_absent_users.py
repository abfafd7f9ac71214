"""A push for a user who is away waits for the registration record, and leaves the moment that it says so."""

import itertools

import pytest

from omapush import clock
from omapush.store import outbox_views, pushes
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire import registered

NUMBERS = itertools.count(1)
AWAY = Says(480, "Temporarily Unavailable")


@pytest.fixture
def aor() -> str:
    """A user of this test alone."""
    return f"sip:away{next(NUMBERS)}@home1.example"


def registers(stack: Stack, core: SipPeer, aor: str, *, expires: int = 600) -> None:
    """A handset registers, always the same one, and the S-CSCF tells us."""
    registered.registers(stack, core, aor, f"sip:phone@127.0.0.1:{core.port}", expires=expires)


def waits_for_registration(stack: Stack, ref: str) -> None:
    known = stack.known(ref)
    delivery = pushes.delivery_of(known.push, 0, known.recipients[0], b"")
    wait_until(
        lambda: outbox_views.whereabouts(stack.store, delivery) == "held",
        10,
        lambda: f"waits: {stack.known(ref)}",
    )


def names(stack: Stack, ref: str) -> list[str]:
    return [event.name for event in stack.known(ref).events]


def test_a_push_for_a_user_who_is_not_registered_is_held_and_not_sent_until_one_registers(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    ref = stack.submit(aor, app="patient.ua")
    waits_for_registration(stack, ref)
    assert core.pushes(aor) == []

    registers(stack, core, aor)
    result = stack.result(ref)
    assert (result.state, result.attempts) == ("delivered", 1)
    assert names(stack, ref) == ["accepted", "held", "sent", "final"]


def test_what_the_core_answered_480_leaves_at_once_when_the_same_device_registers_again(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    """The registration record is the same before and after: coming back into coverage counts."""
    registers(stack, core, aor)
    core.policy = lambda _: AWAY
    ref = stack.submit(aor, app="awaited.ua")
    waits_for_registration(stack, ref)
    said = next(event.text for event in stack.known(ref).events if event.name == "retry")
    assert "or when the user registers" in said

    core.policy = lambda _: OK
    registers(stack, core, aor)
    result = stack.result(ref)
    assert (result.state, result.attempts) == ("delivered", 2)
    assert len({message.header("Call-ID") for message in core.pushes(aor)}) == 2


def test_a_register_that_comes_while_the_480_is_on_its_way_is_not_missed(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    """The try is stored as failed after the REGISTER that would have woken it."""
    answers = iter([AWAY])

    def policy(request: SipText) -> Says | None:
        if request.method != "MESSAGE" or len(core.pushes(aor)) > 1:
            return OK
        return next(answers, None) if stack.registration(aor) else None  # first when the REGISTER is stored

    core.policy = policy
    ref = stack.submit(aor, app="awaited.ua")
    core.wait_for_push(aor)
    registers(stack, core, aor)

    result = stack.result(ref)
    assert (result.state, result.attempts) == ("delivered", 2)


def test_a_profile_that_holds_keeps_a_push_that_the_core_answers_480_until_deliver_before(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    registers(stack, core, aor)
    core.policy = lambda _: AWAY
    ref = stack.submit(aor, app="patient.ua", lifetime_ms=3_000)
    waits_for_registration(stack, ref)
    registers(stack, core, aor)
    core.wait_for_push(aor, 2)
    waits_for_registration(stack, ref)

    result = stack.result(ref)
    assert (result.state, result.code, result.sip_code, result.attempts) == ("expired", "5028", 480, 2)
    assert len(core.pushes(aor)) == 2


def test_an_absent_push_whose_plan_is_used_up_ends_where_the_profile_does_not_hold(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    core.policy = lambda _: AWAY
    ref = stack.submit(aor, app="awaited.ua")
    for tries in (1, 2):
        core.wait_for_push(aor, tries)
        waits_for_registration(stack, ref)
        registers(stack, core, aor)

    result = stack.result(ref)
    assert (result.state, result.code, result.attempts) == ("undeliverable", "5028", 3)


def test_what_waits_for_a_user_survives_the_death_of_every_process(make_stack: MakeStack) -> None:
    """A node that died owes nothing: where the push stands is in Redis."""
    stack = make_stack(
        {'application."patient.ua"': {"unregistered": "hold"}}, parts=("redis", "sip", "notifier")
    )
    aor = "sip:survivor@home1.example"
    with SipPeer(stack.core_port) as core:
        ref = stack.submit(aor, app="patient.ua")
        waits_for_registration(stack, ref)
        for part in ("sip", "notifier"):
            stack.restart(part)
        registers(stack, core, aor)

        before_ms = clock.now_ms()
        result = stack.result(ref)
        assert result.state == "delivered"
        assert result.at_ms >= before_ms - 10_000
        assert len(core.pushes(aor)) == 1
