"""`GET /v1/pushes`, and submissions that come again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from omapush.push.values import push_ref
from omapush.store import keys
from tests.fakes.initiator import PushInitiator
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.http.conftest import SETTINGS

LISTER = {"initiator.lister": {"password": PASSWORD}, **SETTINGS}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("listed"), LISTER) as running:
        yield running


@pytest.fixture
def api(front: Stack) -> Iterator[httpx.Client]:
    """A content provider that nobody else pushes as."""
    with httpx.Client(base_url=front.http, auth=("lister", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


def body(push_id: str, **members: Any) -> dict[str, Any]:
    least = {
        "to": ["sip:a@home1.example"],
        "application": "mms.ua",
        "content_type": "text/plain",
        "content": "x",
    }
    return {"push_id": push_id, **least, **members}


def listed(api: httpx.Client, limit: int = 3, **query: str) -> list[str]:
    """Push-ids of all pages."""
    found: list[str] = []
    after = ""
    while True:
        page = api.get("/v1/pushes", params={**query, "limit": str(limit), "after": after})
        assert page.status_code == 200, page.text
        assert len(page.json()["pushes"]) <= limit
        found += [one["push_id"] for one in page.json()["pushes"]]
        after = page.json()["next"]
        if not after:
            return found


def finished(api: httpx.Client, push_id: str) -> None:
    wait_until(lambda: api.get(f"/v1/pushes/{push_id}").json()["state"] == "finished", 10, "finished")


def test_own_pushes_are_listed_newest_first_and_found_by_what_they_are(
    front: Stack, api: httpx.Client, core: SipPeer
) -> None:
    begun = datetime.now(UTC)
    for number in range(7):
        to = [f"sip:listed{number}@home1.example", "sip:both@home1.example"]
        app = "mms.ua" if number % 2 else "text.ua"
        answer = api.post("/v1/pushes", json=body(f"list-{number}", to=to, application=app))
        assert answer.status_code == 201, answer.text
        finished(api, f"list-{number}")
    with PushInitiator(front.http, "lister", PASSWORD) as initiator:
        assert initiator.push("list-pap", "sip:x@home1.example", b"x", app="mms.ua").code == "1001"
    finished(api, "list-pap")
    everything = ["list-pap", *(f"list-{number}" for number in reversed(range(7)))]

    assert listed(api) == everything
    assert listed(api, application="text.ua") == ["list-6", "list-4", "list-2", "list-0"]
    assert listed(api, recipient="WAPPUSH=listed3%40home1.example/TYPE=USER@ppg") == ["list-3"]
    assert listed(api, recipient="sip:both@home1.example", application="mms.ua") == [
        "list-5",
        "list-3",
        "list-1",
    ]
    assert listed(api, state="running") == []
    assert listed(api, state="finished", since=begun.isoformat()) == everything
    assert listed(api, until=begun.isoformat()) == []
    assert listed(api, since=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []
    (one,) = api.get("/v1/pushes", params={"recipient": "sip:listed0@home1.example"}).json()["pushes"]
    assert (one["recipients"], one["open"], one["state"]) == (2, 0, "finished")


def test_pushes_of_others_are_not_listed(front: Stack, api: httpx.Client, core: SipPeer) -> None:
    api.post("/v1/pushes", json=body("mine"))

    other = httpx.get(f"{front.http}/v1/pushes", auth=("untrusted", PASSWORD), trust_env=False)

    assert other.json() == {"pushes": [], "next": ""}


def test_a_running_push_is_listed_as_such(front: Stack, api: httpx.Client) -> None:
    api.post("/v1/pushes", json=body("waits", application="slow.ua", to=["sip:waits@home1.example"]))

    assert listed(api, state="running") == ["waits"]


def test_a_push_that_is_forgotten_is_not_listed_and_leaves_the_list(
    front: Stack, api: httpx.Client, core: SipPeer
) -> None:
    api.post("/v1/pushes", json=body("forgotten"))
    finished(api, "forgotten")
    ref = push_ref("lister", "forgotten")
    number = front.store.layout.push_shard(ref)
    front.db.delete(keys.push(number, ref))

    assert "forgotten" not in listed(api)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": "x"}, "after"),
        ({"state": "lost"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"recipient": "192.0.2.7"}, "recipient"),
    ],
)
def test_a_wrong_parameter_is_named(api: httpx.Client, query: dict[str, str], field: str) -> None:
    answer = api.get("/v1/pushes", params=query)

    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_the_same_push_again_is_200_and_delivered_once(api: httpx.Client, core: SipPeer) -> None:
    to = "sip:repeat@home1.example"
    first = api.post("/v1/pushes", json=body("repeat", to=[to]))
    finished(api, "repeat")

    again = api.post("/v1/pushes", json=body("repeat", to=[to], priority="medium"))

    assert (first.status_code, "Idempotent-Replayed" in first.headers) == (201, False)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.headers["Location"] == first.headers["Location"]
    assert (again.json()["ref"], again.json()["state"]) == (first.json()["ref"], "finished")
    assert len(core.pushes(to)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"to": ["sip:b@home1.example"]},
        {"content": "y"},
        {"content_type": "text/html"},
        {"application": "text.ua"},
        {"priority": "high"},
        {"content_headers": {"Content-Language": "fi"}},
        {"deliver_before": "2040-01-01T00:00:00Z"},
        {"notify_url": "http://pi.example/"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_push_under_the_same_push_id_is_409(
    api: httpx.Client, core: SipPeer, other: dict[str, Any]
) -> None:
    named = f"other-{next(iter(other))}"
    assert api.post("/v1/pushes", json=body(named)).status_code == 201

    answer = api.post("/v1/pushes", json=body(named, **other))

    assert (answer.status_code, answer.json()["field"], answer.json()["code"]) == (409, "push_id", "2007")


def test_a_repeat_after_deliver_before_is_still_a_repeat(api: httpx.Client, core: SipPeer) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    same = body("late", deliver_before=soon.isoformat())
    assert api.post("/v1/pushes", json=same).status_code == 201
    wait_until(lambda: datetime.now(UTC) > soon, 5, "deliver_before is past")

    assert api.post("/v1/pushes", json=same).status_code == 200
    assert api.post("/v1/pushes", json={**same, "content": "other"}).status_code == 422
