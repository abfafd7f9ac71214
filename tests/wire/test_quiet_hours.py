"""Quiet hours on the wire: nothing is sent while a window is open, then it is; urgent pushes pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from omapush import config
from omapush.errors import BadConfiguration
from omapush.push.values import push_ref
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until

CLOSES_S = (12, 40)
"When the short window ends, after the configuration was written: the second where starting took too long."
LEFT_S = 5
QUIET = "sip:quiet@home1.example"
OTHER = "sip:other@elsewhere.example"


def settings(now: datetime, closes_s: int) -> Settings:
    """Two applications: quiet for some seconds from now, and for most of the day."""
    start, end = now - timedelta(hours=1), now + timedelta(seconds=closes_s)
    window = {"recipients": ["sip:*@home1.example"], "start": f"{start:%H:%M:%S}", "spread_s": 0}
    long = {**window, "end": f"{now + timedelta(hours=20):%H:%M}", "spread_s": 0}
    return {
        'application."soon.ua"': {"quiet_hours": [{**window, "end": f"{end:%H:%M:%S}"}]},
        'application."late.ua"': {"quiet_hours": [{**long, "late": "send"}]},
        'application."dead.ua"': {"quiet_hours": [long]},
    }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    for closes_s in CLOSES_S:
        now = datetime.now(UTC)
        with Stack(tmp_path_factory.mktemp("quiet"), settings(now, closes_s)) as running:
            if datetime.now(UTC) < now + timedelta(seconds=closes_s - LEFT_S):
                yield running
                return
    pytest.fail("the stack did not start before the window closed")


@pytest.fixture
def core(stack: Stack) -> Iterator[SipPeer]:
    with SipPeer(stack.core_port) as peer:
        yield peer


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


def push(api: httpx.Client, push_id: str, application: str, to: str, **members: Any) -> None:
    least = {"content_type": "text/plain", "content": push_id}
    answer = api.post(
        "/v1/pushes", json={"push_id": push_id, "application": application, "to": [to], **least, **members}
    )
    assert answer.status_code == 201, answer.text


def events(stack: Stack, push_id: str) -> list[tuple[str, str]]:
    return [(one.name, one.text) for one in stack.known(push_ref("trusted", push_id)).events]


def test_a_push_waits_for_the_end_of_the_window_and_urgent_ones_pass(
    stack: Stack, api: httpx.Client, core: SipPeer
) -> None:
    push(api, "waits", "soon.ua", QUIET)
    push(api, "urgent", "soon.ua", QUIET, priority="high")
    push(api, "elsewhere", "soon.ua", OTHER)

    stack.result(push_ref("trusted", "urgent"))
    stack.result(push_ref("trusted", "elsewhere"))
    wait_until(lambda: "held" in dict(events(stack, "waits")), 10, "held")
    assert "quiet hours until " in dict(events(stack, "waits"))["held"]
    assert [one.body for one in core.pushes(QUIET)] == [b"urgent"]

    assert stack.result(push_ref("trusted", "waits"), CLOSES_S[-1] + 20).state == "delivered"
    assert [one.body for one in core.pushes(QUIET)] == [b"urgent", b"waits"]


def test_a_deliver_before_within_the_window_is_sent_or_expires_as_the_rule_says(
    stack: Stack, api: httpx.Client, core: SipPeer
) -> None:
    before = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    push(api, "late", "late.ua", "sip:late@home1.example", deliver_before=before)
    push(api, "dead", "dead.ua", "sip:dead@home1.example", deliver_before=before)

    assert stack.result(push_ref("trusted", "late")).state == "delivered"
    assert "sent in quiet hours" in dict(events(stack, "late"))["quiet"]
    assert stack.result(push_ref("trusted", "dead"), 20).state == "expired"
    assert core.pushes("sip:dead@home1.example") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("zone", "Nowhere/City"),
        ("start", "24:00"),
        ("days", ["someday"]),
        ("days", []),
        ("recipients", ["x y"]),
    ],
)
def test_a_wrong_rule_stops_the_start(key: str, value: object) -> None:
    rule = {"start": "22:00", "end": "07:00", key: value}
    with pytest.raises(BadConfiguration) as caught:
        config.parse({"application": {"ads.ua": {"quiet_hours": [rule]}}}, "file")
    assert "quiet_hours" in str(caught.value)
    assert key in str(caught.value)
