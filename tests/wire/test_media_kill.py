"""`kill -9` of the media worker in the middle of 20 transfers: nothing is lost."""

import os
from contextlib import ExitStack
from functools import partial

import pytest

from tests.conftest import MakeStack
from tests.fakes.msrp_peer import MsrpPeer
from tests.fakes.msrp_session import Message
from tests.fakes.sip_text import SipText
from tests.harness.session_device import SESSIONS, Device
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings
from tests.harness.wait import wait_until

KILLS, DEVICES = 5, 4
CONTENT = os.urandom(6_000_000)
SETTINGS: Settings = {
    **SESSIONS,
    "msrp": {"lease_ms": 1_000},
    'application."large.ua"': {
        "methods": ["INVITE"],
        "retry": {"attempts": 50, "first_s": 0.1, "longest_s": 0.5},
    },
}


@pytest.mark.timeout(180)
def test_no_push_is_lost_when_the_media_worker_is_killed_again_and_again(make_stack: MakeStack) -> None:
    stack = make_stack(SETTINGS, ("redis", "sip", "notifier", "msrp"))
    with SipPeer(stack.core_port) as core, ExitStack() as peers:
        devices: list[Device] = []

        def policy(request: SipText) -> Says | None:
            known = [one for one in devices if one.aor in request.header("To")]
            return known[0].policy(request) if known else OK

        refs, broken_off = [], 0
        for _ in range(KILLS):
            some = [Device(stack, core, media=peers.enter_context(MsrpPeer())) for _ in range(DEVICES)]
            devices += some
            core.policy = policy
            refs += [stack.submit(one.aor, CONTENT, app="large.ua", content_type="video/mp4") for one in some]
            wait_until(partial(any_began, some), 20, "a transfer under way")
            stack.kill("msrp")
            broken_off += sum(not messages(one, whole=True) for one in some)
            stack.start("msrp")

        assert [stack.result(ref, 60).state for ref in refs] == ["delivered"] * len(refs)
        assert broken_off >= KILLS
        for device in devices:
            whole = messages(device, whole=True)
            assert {bytes(one.content) for one in whole} == {CONTENT}
            assert len({one.message_id for one in whole}) == 1  # a repeat can be told from another push
            assert len(whole) <= len(device.all("INVITE"))
            assert device.media is not None
            assert device.media.violations == []


def any_began(devices: list[Device]) -> bool:
    """Whether some content has come to one of them."""
    return any(messages(one, whole=False) for one in devices)


def messages(device: Device, *, whole: bool) -> list[Message]:
    """What came to a device, whole or not."""
    ends = list(device.ends.values())
    return [one for end in ends for one in list(end.messages.values()) if one.is_whole is whole]
