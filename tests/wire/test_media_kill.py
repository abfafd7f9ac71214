"""`kill -9` of the media worker, 20 times in the middle of transfers: nothing is lost, little is repeated."""

import os

import pytest

from tests.conftest import MakeStack
from tests.fakes.msrp_peer import MsrpPeer
from tests.fakes.msrp_session import Connection, Message
from tests.fakes.sip_text import SipText
from tests.harness.session_device import SESSIONS, Device
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings
from tests.harness.wait import wait_until

KILLS = 20
CONTENT = os.urandom(12_000_000)
"More than the buffers of a connection hold: a device that does not read keeps the worker in the middle."
SETTINGS: Settings = {
    **SESSIONS,
    "msrp": {"lease_ms": 1_000},
    'application."large.ua"': {
        "methods": ["INVITE"],
        "retry": {"attempts": 50, "first_s": 0.1, "longest_s": 0.5},
    },
}


@pytest.mark.timeout(240)
def test_no_push_is_lost_when_the_media_worker_is_killed_again_and_again(make_stack: MakeStack) -> None:
    stack = make_stack(SETTINGS, ("redis", "sip", "notifier", "msrp"))
    with SipPeer(stack.core_port) as core, MsrpPeer() as media:
        devices = [Device(stack, core, media=media) for _ in range(KILLS)]

        def policy(request: SipText) -> Says | None:
            known = [one for one in devices if one.aor in request.header("To")]
            return known[0].policy(request) if known else OK

        core.policy = policy
        refs, caught = [], []
        for device in devices:
            refs.append(stack.submit(device.aor, CONTENT, app="large.ua", content_type="video/mp4"))
            connection = stopped(device)
            if not messages(device, whole=True):
                caught.append(device)
            stack.restart("msrp")
            connection.go_on_reading()

        assert [stack.result(ref, 60).state for ref in refs] == ["delivered"] * KILLS
        assert len(caught) >= KILLS - 2, "too fast to be caught in the middle"
        for device in devices:
            whole = messages(device, whole=True)
            assert {bytes(one.content) for one in whole} == {CONTENT}
            assert len({one.message_id for one in whole}) == 1  # a repeat can be told from another push
        for device in caught:
            assert len(device.all("INVITE")) >= 2
            assert len(messages(device, whole=True)) < len(
                device.all("INVITE")
            )  # what was killed is not whole
        assert media.violations == []


def stopped(device: Device) -> Connection:
    """The connection of the device's first session, from which nothing is read any more."""
    wait_until(lambda: any(end.connection for end in device.ends.values()), 20, "a connection")
    [end] = device.ends.values()
    connection = end.wait_for_connection()
    connection.stop_reading()
    return connection


def messages(device: Device, *, whole: bool) -> list[Message]:
    """What came to a device, whole or not."""
    return [one for end in device.ends.values() for one in end.messages.values() if one.is_whole is whole]
