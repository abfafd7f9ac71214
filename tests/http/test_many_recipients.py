"""One push to many: accepted, one result and one notification for each; either front shows it by pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from omapush.push.values import push_ref
from omapush.store import push_pages
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

MANY = push_pages.LARGE + 120
DEADLINE_S = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("many"), {"api": {"max_addresses": MANY}}) as running:
        yield running


@pytest.fixture
def core(stack: Stack) -> Iterator[SipPeer]:
    with SipPeer(stack.core_port) as peer:
        yield peer


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), timeout=30, trust_env=False) as client:
        yield client


def users(name: str, number: int = MANY) -> list[str]:
    return [f"sip:{name}{index}@home1.example" for index in range(number)]


def submitted(api: httpx.Client, push_id: str, to: list[str]) -> httpx.Response:
    body = {
        "push_id": push_id,
        "to": to,
        "application": "mms.ua",
        "content_type": "text/plain",
        "content": "x",
    }
    return api.post("/v1/pushes", json=body)


def recipients(api: httpx.Client, push_id: str, **query: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = api.get(f"/v1/pushes/{push_id}/recipients", params={**query, "after": after, "limit": "97"})
        assert page.status_code == 200, page.text
        assert len(page.json()["recipients"]) <= 97
        found += page.json()["recipients"]
        after = page.json()["next"]
        if not after:
            return found


def test_each_recipient_of_a_push_to_many_has_one_result_and_one_notification(
    stack: Stack, core: SipPeer
) -> None:
    addresses = [
        *(user_address(uri) for uri in users("pap", MANY - 2)),
        "WAPPUSH=192.0.2.7/TYPE=IPv4@ppg",
        "x",
    ]
    with NotificationSink() as sink, PushInitiator(stack.http, "trusted", PASSWORD) as initiator:
        assert initiator.push("many", addresses, b"x", app="mms.ua", notify_to=sink.url).code == "1001"

        told = sink.wait_for(MANY, DEADLINE_S)
        assert Counter(one.address for one in told) == Counter(addresses)
        assert Counter(one.message_state for one in told) == {"delivered": MANY - 2, "undeliverable": 2}
        status = initiator.status("many")
        results = list(ElementTree.fromstring(status.raw_xml).iter("statusquery-result"))
        shown = [node.get("address-value") for one in results for node in one.iter("address")]
        assert Counter(shown) == Counter(addresses)
        assert initiator.status("many", addresses[MANY // 2]).code == "1000"
        assert len(sink.received) == MANY
    assert len({uri for uri in users("pap", MANY - 2) if len(core.pushes(uri)) == 1}) == MANY - 2


def test_one_address_more_than_the_limit_is_refused_and_nothing_is_stored(
    stack: Stack, api: httpx.Client
) -> None:
    to = users("toomany", MANY + 1)
    with PushInitiator(stack.http, "trusted", PASSWORD) as initiator:
        answer = initiator.push("toomany", [user_address(uri) for uri in to], b"x", app="mms.ua")

    assert answer.find("badmessage-response")["code"] == "2000"
    assert submitted(api, "toomany", to).status_code == 400
    assert api.get("/v1/pushes/toomany").status_code == 404


def test_recipients_come_page_by_page_of_all_states_or_of_one(api: httpx.Client, core: SipPeer) -> None:
    to = [*users("json", MANY - 1), "x"]
    answer = submitted(api, "paged", to)
    assert answer.status_code == 201
    assert answer.json()["counts"] == {"pending": MANY - 1, "undeliverable": 1}
    wait_until(lambda: api.get("/v1/pushes/paged").json()["state"] == "finished", DEADLINE_S, "finished")

    assert [one["address"] for one in recipients(api, "paged")] == to
    assert [one["index"] for one in recipients(api, "paged", state="undeliverable")] == [MANY - 1]
    assert recipients(api, "paged", state="expired") == []
    shown = api.get("/v1/pushes/paged").json()
    assert shown["counts"] == {"delivered": MANY - 1, "undeliverable": 1}
    assert len(shown["recipients"]) == MANY
    assert "recipients_next" not in shown


def test_the_event_log_comes_page_by_page(api: httpx.Client, core: SipPeer) -> None:
    submitted(api, "logged", users("log", 3))
    wait_until(lambda: api.get("/v1/pushes/logged").json()["state"] == "finished", DEADLINE_S, "finished")

    first = api.get("/v1/pushes/logged/events", params={"limit": "4"}).json()
    rest = api.get("/v1/pushes/logged/events", params={"after": first["next"]}).json()

    assert (len(first["events"]), first["events"][0]["name"], rest["next"]) == (4, "accepted", "")
    names = Counter(line["name"] for line in first["events"] + rest["events"])
    assert (names["final"], names["sent"]) == (3, 3)


@pytest.mark.parametrize("part", ["recipients", "events"])
def test_a_cursor_that_is_none_is_refused_and_a_push_of_another_does_not_exist(
    stack: Stack, api: httpx.Client, core: SipPeer, part: str
) -> None:
    submitted(api, f"cursor-{part}", users(part, 1))

    answer = api.get(f"/v1/pushes/cursor-{part}/{part}", params={"after": "-1"})

    assert answer.status_code == 400
    assert api.get(f"/v1/pushes/nothing/{part}").status_code == 404
    ref = push_ref("trusted", f"cursor-{part}")
    other = httpx.get(f"{stack.http}/v1/pushes/{ref}/{part}", auth=("untrusted", PASSWORD), trust_env=False)
    assert other.status_code == 404


def test_a_push_to_many_that_the_api_did_not_hand_over_is_handed_over_once(
    stack: Stack, api: httpx.Client, core: SipPeer
) -> None:
    to = users("killed")
    assert submitted(api, "killed", to).status_code == 201
    stack.restart("api")

    wait_until(
        lambda: api.get("/v1/pushes/killed").json()["counts"] == {"delivered": MANY}, DEADLINE_S, "all of it"
    )
    assert [len(core.pushes(uri)) for uri in to] == [1] * MANY
