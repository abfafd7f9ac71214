"""`replace_key` of JSON pushes: only the newest of them waits for a user."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fakes.initiator import NotificationSink
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until


@pytest.fixture
def api(front: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


def push(api: httpx.Client, push_id: str, to: str, **members: Any) -> httpx.Response:
    least = {"application": "slow.ua", "content_type": "text/plain", "content": push_id}
    return api.post("/v1/pushes", json={"push_id": push_id, "to": [to], **least, **members})


def state(api: httpx.Client, push_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"/v1/pushes/{push_id}").json()["recipients"][0]
    return shown


def test_only_the_newest_push_with_a_key_is_delivered_and_the_older_ones_end_cancelled(
    front: Stack, api: httpx.Client, core: SipPeer
) -> None:
    to = "sip:score@home1.example"
    later = {"deliver_after": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}
    with NotificationSink() as sink:
        for number, when in enumerate([later, later, later, {}]):
            answer = push(api, f"score-{number}", to, replace_key="score", notify_url=sink.url, **when)
            assert (answer.status_code, answer.json()["replace_key"]) == (201, "score")
        told = {one.push_id: one.message_state for one in sink.wait_for(4, 20)}

    assert told["score-3"] == "delivered"
    assert [told[f"score-{number}"] for number in range(3)] == ["cancelled"] * 3
    assert state(api, "score-2")["desc"] == "replaced by push score-3"
    assert [one.body for one in core.pushes(to)] == [b"score-3"]


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"replace_key": "x" * 65}, 400),
        ({"replace_key": "a\nb"}, 400),
        ({"replace_key": "a", "replaces": "another"}, 400),
        ({"replace_key": "a", "to": None, "subscribers": True}, 422),
    ],
)
def test_a_key_that_is_not_possible_is_refused(
    api: httpx.Client, members: dict[str, Any], status: int
) -> None:
    body = {
        "to": ["sip:a@home1.example"],
        "application": "mms.ua",
        "content_type": "text/plain",
        "content": "x",
    }
    answer = api.post("/v1/pushes", json={k: v for k, v in {**body, **members}.items() if v is not None})

    assert (answer.status_code, answer.json()["field"]) == (status, "replace_key")


def test_without_a_key_nothing_is_replaced(api: httpx.Client, core: SipPeer) -> None:
    to = "sip:keyless@home1.example"
    for number in range(2):
        push(api, f"keyless-{number}", to)

    wait_until(lambda: len(core.pushes(to)) == 2, 10, "both")
