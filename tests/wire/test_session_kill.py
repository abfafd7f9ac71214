"""Processes that die while a session is in each of its states: nothing is lost, and each dialog is ended."""

from collections.abc import Iterator

import pytest

from tests.harness.session_device import OTHER_WORKER, SESSIONS, TAKES, Device, dismiss, employ
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

TWICE = "large-twice.ua"
SETTINGS: Settings = {**SESSIONS, "delivery": {"lease_ms": 1_000}}


def push(device: Device, app: str = "large.ua") -> str:
    return device.stack.submit(device.aor, b"\x89PNG" * 1_000, app=app, content_type="image/png")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose processes may be killed; each test leaves them running."""
    with Stack(tmp_path_factory.mktemp("mortal"), SETTINGS, ("redis", "sip", "notifier")) as running:
        yield running


@pytest.fixture
def device(stack: Stack) -> Iterator[Device]:
    with SipPeer(stack.core_port) as core:
        yield Device(stack, core)


@pytest.fixture
def mortal(device: Device) -> Device:
    """A device, and a media worker that carries for it."""
    employ(device.stack)
    return device


def test_without_a_living_worker_the_push_is_tried_again_by_plan(device: Device) -> None:
    result = device.stack.result(push(device, TWICE))

    assert (result.state, result.code, result.attempts) == ("undeliverable", "4001", 2)
    assert "no media worker" in result.desc
    assert not device.all("INVITE")


def test_kill_9_of_kamailio_during_the_transfer_loses_nothing(mortal: Device) -> None:
    ref = push(mortal)
    mortal.until("open", "agreed")
    mortal.stack.kill("sip")
    mortal.transferred()
    mortal.stack.start("sip")

    assert mortal.stack.result(ref).state == "delivered"
    [bye] = mortal.wait("BYE")
    assert bye.header("CSeq") == "2 BYE"
    mortal.until("ended")
    assert len(mortal.all("INVITE")) == 1


def killed_before_the_answer(mortal: Device) -> str:
    """Return a push whose first INVITE has no answer when Kamailio dies; the next one is answered."""
    mortal.answers = [None]
    ref = push(mortal, TWICE)
    assert mortal.invite
    mortal.stack.kill("sip")
    mortal.answers = [TAKES]
    mortal.stack.start("sip")
    return ref


def test_kill_9_before_the_answer_has_the_push_invited_again(mortal: Device) -> None:
    ref = killed_before_the_answer(mortal)

    mortal.wait("INVITE", 2)
    mortal.until("open", "agreed")
    mortal.transferred()
    assert mortal.stack.result(ref).state == "delivered"


def test_an_answer_that_is_repeated_to_a_new_kamailio_is_acknowledged_again(mortal: Device) -> None:
    """Its transaction died with the old one, and the ACK may have been lost on its way."""
    ref = push(mortal)
    mortal.until("open", "agreed")
    mortal.stack.restart("sip")
    before = mortal.acknowledgements

    mortal.says(mortal.invite, mortal.takes(mortal.invite))

    wait_until(lambda: mortal.acknowledgements == before + 1, 5, "another ACK")
    assert not mortal.all("BYE")
    mortal.transferred()
    assert mortal.stack.result(ref).state == "delivered"


def test_an_answer_to_an_invite_that_died_with_its_kamailio_is_ended_at_once(mortal: Device) -> None:
    ref = killed_before_the_answer(mortal)
    again = mortal.wait("INVITE", 2)[1]
    first_tag, mortal.tag = mortal.tag, "late"
    mortal.says(mortal.invite, mortal.takes(mortal.invite))
    mortal.tag = first_tag

    [bye] = mortal.wait("BYE")
    assert bye.header("Call-ID") == mortal.invite.header("Call-ID") != again.header("Call-ID")
    mortal.until("open", "agreed")
    mortal.transferred()
    assert mortal.stack.result(ref).state == "delivered"


def test_kill_9_after_the_bye_ends_the_session_without_its_answer(mortal: Device) -> None:
    mortal.core.policy = lambda one: None if one.method == "BYE" else mortal.policy(one)
    ref = push(mortal)
    mortal.until("open", "agreed")
    mortal.transferred()
    mortal.wait("BYE")
    mortal.stack.restart("sip")

    mortal.until("ended")
    assert mortal.stack.result(ref).state == "delivered"


def test_a_worker_that_dies_ends_its_session_and_the_push_is_tried_again(mortal: Device) -> None:
    ref = push(mortal, TWICE)
    first = mortal.until("open", "agreed")
    dismiss(mortal.stack)
    employ(mortal.stack, worker=OTHER_WORKER)

    assert len(mortal.wait("BYE")) == 1
    mortal.wait("INVITE", 2)
    second = mortal.until("open", "agreed")
    assert (first.place.worker, second.place.worker) == ("worker-1", OTHER_WORKER.name)
    mortal.transferred()
    assert mortal.stack.result(ref).state == "delivered"
