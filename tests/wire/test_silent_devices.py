"""Devices that are registered and do not answer, behind an S-CSCF that does: nobody else waits for them."""

from collections.abc import Iterator

import pytest

from omapush.store import outbox
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until

WINDOW = 10
SILENT = 25
"More than two windows: they leave within three times the time for which a request is young."


def _policy(request: SipText) -> Says | None:
    return None if ":quiet" in request.start_line else OK


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One sender with small windows, and no notifier that sweeps behind it."""
    settings: Settings = {
        "sip": {"senders": 1, "window": WINDOW, "window_per_hop": WINDOW},
        "subscriptions": {"window": WINDOW},
    }
    with Stack(tmp_path_factory.mktemp("narrow"), settings, ("redis", "sip")) as running:
        yield running


@pytest.fixture
def core(narrow: Stack) -> Iterator[SipPeer]:
    with SipPeer(narrow.core_port, policy=_policy) as peer:
        yield peer


def test_pushes_to_others_leave_while_more_than_a_window_of_devices_are_silent(
    narrow: Stack, core: SipPeer
) -> None:
    users = [name for i in range(SILENT) for name in (f"quiet{i}", f"live{i}")]
    ref = narrow.submit([f"sip:{name}@home1.example" for name in users])

    def delivered() -> int:
        return sum(result.state == "delivered" for result in narrow.known(ref).results)

    wait_until(lambda: delivered() == SILENT, 20, lambda: f"all others delivered, not {delivered()}")
    asked = {one.start_line.split()[1] for one in core.requests if ":quiet" in one.start_line}
    assert len(asked) == SILENT
    assert outbox.depth(narrow.store).taken == SILENT, "before timer F none has a result"
    assert {result.state for result in narrow.known(ref).results} == {"delivered", "pending"}


def test_subscribers_are_told_while_more_than_a_window_of_others_are_silent(
    narrow: Stack, core: SipPeer
) -> None:
    live: list[Subscriber] = []
    for i in range(SILENT):
        for name in ("quiet", "live"):
            device = Subscriber(narrow, core, aor=f"sip:{name}-subscriber{i}@home1.example")
            device.begin(**wants("mms.ua"))
            live += [device] if name == "live" else []

    for device in live:
        [told] = device.notifies(1, deadline_s=20)
        assert told.header("Subscription-State").startswith("active")
    told_silent = {one.header("Call-ID") for one in core.requests if ":quiet" in one.start_line}
    assert len(told_silent) > WINDOW
