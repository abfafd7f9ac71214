"""Where Redis is far away, each trip to it costs time: many pushes of a batch share theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omapush.store import outbox
from tests.fakes.sip_text import SipText
from tests.harness.far_redis import FarRedis
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

PUSHES = 40
FEW = 10
"Two senders have four shards, and may find what is ready in some goes."
USERS = [f"sip:far{number}@home1.example" for number in range(PUSHES)]


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarRedis]:
    with FarRedis(tmp_path) as running:
        yield running


def test_pushes_of_a_limited_application_ask_for_their_turns_together(far: FarRedis, tmp_path: Path) -> None:
    limit = {"recipient_rate": 60.0, "recipient_burst": 2}
    settings: Settings = {"redis": {"url": far.url}, 'application."few.ua"': limit}
    stack = Stack(tmp_path / "stack", settings, ("sip", "notifier"))
    refs = [stack.submit(user, app="few.ua") for user in USERS]
    far.forget()
    with SipPeer(stack.core_port), stack:
        assert {stack.result(ref).state for ref in refs} == {"delivered"}
    assert 0 < far.trips("omapush_turn_") <= FEW


def test_second_tries_read_together_what_the_first_came_to(far: FarRedis, tmp_path: Path) -> None:
    retry = {"attempts": 2, "first_s": 3.0}
    settings: Settings = {"redis": {"url": far.url}, 'application."mms.ua"': {"retry_failed": retry}}
    stack = Stack(tmp_path / "stack", settings, ("sip", "notifier"))
    tried: set[str] = set()

    def fails_once(message: SipText) -> Says:
        user = message.header("To")
        is_first = user not in tried
        tried.add(user)
        return Says(500, "Not Now") if is_first else OK

    with SipPeer(stack.core_port, policy=fails_once), stack:
        refs = [stack.submit(user) for user in USERS]
        wait_until(
            lambda: all(stack.known(ref).results[0].attempts == 1 for ref in refs), 20, "first tries judged"
        )
        stack.kill("sip")
        wait_until(lambda: outbox.depth(stack.store).ready == PUSHES, 20, "second tries due")
        far.forget()
        stack.start("sip")
        assert {stack.result(ref).state for ref in refs} == {"delivered"}
    assert 0 < far.trips("r0\r\n$6\r\nshards") <= FEW
