"""`/v1/subscriptions`: who has subscribed, and the end of a subscription."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from omapush.push.values import target
from omapush.store import subscriptions
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.subscriber import DEVICE_EVENT, Subscriber, wants
from tests.harness.wait import wait_until


@pytest.fixture
def json_api(front: Stack) -> Iterator[httpx.Client]:
    """A content provider that may do everything."""
    with httpx.Client(base_url=front.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def narrow(front: Stack) -> Iterator[httpx.Client]:
    """A content provider for mms.* and users of home1.example."""
    with httpx.Client(base_url=front.http, auth=("narrow", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


def subscribed(front: Stack, core: SipPeer, application: str, aor: str = "", event: str = "") -> Subscriber:
    device = Subscriber(front, core, aor) if aor else Subscriber(front, core)
    device.begin(**({"event": event} if event else wants(application)))
    device.settle()
    return device


def listed(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        answer = api.get("/v1/subscriptions", params={**query, "after": after})
        assert answer.status_code == 200, answer.text
        found += answer.json()["subscriptions"]
        after = answer.json()["next"]
        if not after:
            return found


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["field"]


def test_a_user_s_subscriptions_are_listed(front: Stack, core: SipPeer, json_api: httpx.Client) -> None:
    device = subscribed(front, core, "mms.ua")
    subscribed(front, core, "ulp.ua", device.aor)
    subscribed(front, core, "", device.aor, event=DEVICE_EVENT)

    found = listed(json_api, aor=device.aor)

    assert sorted((one["profile"], one["application"]) for one in found) == [
        ("device", ""),
        ("oma-app", "mms.ua"),
        ("oma-app", "ulp.ua"),
    ]
    assert {one["state"] for one in found} == {"active"}
    assert {one["aor"] for one in found} == {device.aor}
    assert [one["id"] for one in listed(json_api, aor=device.aor, application="mms.ua")] == [device.to_tag]


def test_subscriptions_to_an_application_come_page_by_page(
    front: Stack, core: SipPeer, json_api: httpx.Client
) -> None:
    devices = [subscribed(front, core, "mms.paged") for _ in range(7)]

    for limit in (1, 2, 7, 100):
        found = [one["id"] for one in listed(json_api, application="mms.paged", limit=limit)]
        assert sorted(found) == sorted(device.to_tag for device in devices)


@pytest.mark.req("SEC-2")
def test_an_initiator_sees_its_own_applications_and_recipients_only(
    front: Stack, core: SipPeer, narrow: httpx.Client
) -> None:
    own = subscribed(front, core, "mms.narrow")
    subscribed(front, core, "ulp.ua", own.aor)
    subscribed(front, core, "", own.aor, event=DEVICE_EVENT)
    stranger = subscribed(front, core, "mms.narrow", "sip:a@elsewhere.example")

    assert [one["id"] for one in listed(narrow, aor=own.aor)] == [own.to_tag]
    assert [one["id"] for one in listed(narrow, application="mms.narrow")] == [own.to_tag]
    assert error(narrow.get("/v1/subscriptions", params={"aor": stranger.aor})) == (403, "aor")
    assert error(narrow.get("/v1/subscriptions", params={"application": "ulp.ua"})) == (403, "application")
    assert error(narrow.delete(f"/v1/subscriptions/{stranger.to_tag}")) == (404, "id")
    assert stranger.stored is not None
    assert stranger.stored.state == "active"


@pytest.mark.parametrize(("query", "reason"), [({}, "rejected"), ({"reason": "deactivated"}, "deactivated")])
def test_a_subscription_that_is_ended_tells_its_device_so(
    front: Stack, core: SipPeer, json_api: httpx.Client, query: dict[str, str], reason: str
) -> None:
    device = subscribed(front, core, "mms.ua")

    for _ in range(2):
        answer = json_api.delete(f"/v1/subscriptions/{device.to_tag}", params=query)
        assert answer.status_code in (204, 404)

    last = device.notifies(2)[-1]
    assert last.header("Subscription-State") == f"terminated;reason={reason}"
    wait_until(lambda: device.stored is None, 10, "the record gone")
    assert error(json_api.delete(f"/v1/subscriptions/{device.to_tag}")) == (404, "id")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "aor"),
        ({"aor": "nonsense"}, "aor"),
        ({"application": "a" * 300}, "application"),
        ({"application": "mms.ua", "limit": "0"}, "limit"),
        ({"application": "mms.ua", "limit": "many"}, "limit"),
        ({"application": "mms.ua", "after": "7"}, "after"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(
    json_api: httpx.Client, query: dict[str, str], field: str
) -> None:
    assert error(json_api.get("/v1/subscriptions", params=query)) == (400, field)


def test_what_is_no_subscription_is_404(front: Stack, json_api: httpx.Client) -> None:
    unknown = f"{target('sip:nobody@home1.example')}{'0' * 16}"

    assert subscriptions.read(front.store, unknown) is None
    for name in (unknown, "nonsense", "0" * 31):
        assert error(json_api.delete(f"/v1/subscriptions/{name}")) == (404, "id")
    assert error(json_api.delete(f"/v1/subscriptions/{unknown}", params={"reason": "x"})) == (400, "reason")
