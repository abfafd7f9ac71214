"""Cancel and replace over PAP, JSON and the command: before, while and after a push is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from omapush.push.values import push_ref
from tests.fakes.initiator import NotificationSink, PapAnswer, PushInitiator, user_address
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.http.test_command import omapush

ALICE, BOB, CAROL = (f"sip:{name}@taken.example" for name in ("alice", "bob", "carol"))
ADDRESSES = [user_address(aor) for aor in (ALICE, BOB, CAROL)]


@pytest.fixture
def json_api(front: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as api:
        yield api


def in_an_hour() -> str:
    return f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"


def scheduled() -> dict[str, Any]:
    """Attributes of a push that is not sent during a test."""
    return {"deliver_after_timestamp": in_an_hour()}


def groups(answer: PapAnswer) -> dict[str, list[str]]:
    """Code to addresses of a cancel-response."""
    assert answer.http_status == 202
    found = ElementTree.fromstring(answer.raw_xml).iter("cancel-result")
    return {
        result.attrib["code"]: [address.attrib["address-value"] for address in result.iter("address")]
        for result in found
    }


def states(front: Stack, push_id: str) -> list[tuple[str, str]]:
    known = front.known(push_ref("trusted", push_id))
    return [(result.state, result.code) for result in known.results]


def final(front: Stack, push_id: str) -> list[tuple[str, str]]:
    wait_until(lambda: all(state != "pending" for state, _ in states(front, push_id)), 10, "final states")
    return states(front, push_id)


def sent(core: SipPeer, text: str) -> list[SipText]:
    return [request for request in core.requests if request.body == text.encode()]


# Cancel ------------------------------------------------------------------------------------------


def test_a_scheduled_push_is_cancelled_for_all_and_everybody_is_told_once(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    taken = initiator.push(push_id, ADDRESSES, b"never", app="mms.ua", notify_to=sink.url, **scheduled())
    assert taken.code == "1001"

    assert groups(initiator.cancel(push_id)) == {"1000": ADDRESSES}
    told = sink.wait_for(3)
    assert sorted(one.address for one in told) == sorted(ADDRESSES)
    assert {(one.message_state, one.code) for one in told} == {("cancelled", "1000")}
    assert initiator.status(push_id).find("statusquery-result")["message-state"] == "cancelled"
    assert groups(initiator.cancel(push_id)) == {"1000": ADDRESSES}
    assert len(sink.received) == 3
    assert sent(core, "never") == []


def test_some_addresses_are_cancelled_and_strangers_are_named(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    assert initiator.push(push_id, ADDRESSES, b"one of three", app="mms.ua", **scheduled()).code == "1001"
    stranger = user_address("sip:mallory@taken.example")

    answer = initiator.cancel(push_id, ADDRESSES[1], stranger)
    assert groups(answer) == {"1000": [ADDRESSES[1]], "2003": [stranger]}
    assert states(front, push_id) == [("pending", "1001"), ("cancelled", "1000"), ("pending", "1001")]
    assert groups(initiator.cancel(push_id)) == {"1000": ADDRESSES}


def test_a_push_id_that_nobody_knows_is_2004(initiator: PushInitiator) -> None:
    assert groups(initiator.cancel("nobody@pi.example", ADDRESSES[0])) == {"2004": [ADDRESSES[0]]}


def test_a_push_of_another_initiator_is_not_known(
    front: Stack, initiator: PushInitiator, push_id: str
) -> None:
    assert initiator.push(push_id, ADDRESSES, b"mine", app="mms.ua", **scheduled()).code == "1001"
    with PushInitiator(front.http, "narrow", PASSWORD) as other:
        assert groups(other.cancel(push_id)) == {"2004": []}
    assert groups(initiator.cancel(push_id)) == {"1000": ADDRESSES}


def test_what_was_delivered_is_too_late_to_cancel(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    assert initiator.push(push_id, ADDRESSES[:1], b"gone", app="mms.ua").code == "1001"
    assert final(front, push_id) == [("delivered", "1000")]
    assert groups(initiator.cancel(push_id)) == {"2008": ADDRESSES[:1]}
    assert states(front, push_id) == [("delivered", "1000")]


def test_what_is_being_sent_is_too_late_and_keeps_its_answer(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    is_open = True
    core.policy = lambda _: None if is_open else OK
    assert initiator.push(push_id, ADDRESSES[:1], b"on its way", app="mms.ua").code == "1001"
    wait_until(lambda: bool(sent(core, "on its way")), 10, "the request")
    assert groups(initiator.cancel(push_id)) == {"2008": ADDRESSES[:1]}
    is_open = False
    assert final(front, push_id) == [("delivered", "1000")]


def test_what_is_cancelled_while_it_is_sent_is_not_tried_again(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    is_open = True
    core.policy = lambda _: None if is_open else Says(486)
    asked: dict[str, Any] = {"app": "slow.ua", "notify_to": sink.url}
    assert initiator.push(push_id, ADDRESSES[:1], b"once", **asked).code == "1001"
    wait_until(lambda: bool(sent(core, "once")), 10, "the request")
    assert groups(initiator.cancel(push_id)) == {"2008": ADDRESSES[:1]}
    is_open = False

    assert final(front, push_id) == [("cancelled", "1000")]
    assert [(one.message_state, one.code) for one in sink.wait_for(1)] == [("cancelled", "1000")]
    assert len({request.header("Call-ID") for request in sent(core, "once")}) == 1


def test_what_waits_for_its_next_try_is_cancelled(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    core.policy = lambda _: Says(486)
    assert initiator.push(push_id, ADDRESSES[:1], b"busy", app="slow.ua").code == "1001"

    def is_out() -> bool:
        return groups(initiator.cancel(push_id)) == {"1000": ADDRESSES[:1]}

    wait_until(is_out, 10, "a moment between two tries")
    assert states(front, push_id) == [("cancelled", "1000")]
    tries = len(sent(core, "busy"))
    after = f"{push_id}-after"
    core.policy = lambda _: OK
    assert initiator.push(after, ADDRESSES[:1], b"after", app="mms.ua").code == "1001"
    assert final(front, after) == [("delivered", "1000")]
    assert len(sent(core, "busy")) == tries


# Cancel by JSON and by the command ---------------------------------------------------------------


def new(push_id: str, **members: Any) -> dict[str, Any]:
    least = {"to": [ALICE, BOB], "application": "mms.ua", "content_type": "text/plain", "content": "json"}
    return {**least, "push_id": push_id, **members}


def test_json_cancels_all_or_some(front: Stack, json_api: httpx.Client, push_id: str) -> None:
    later = new(push_id, deliver_after=in_an_hour())
    shown = json_api.post("/v1/pushes", json=later)
    assert shown.status_code == 201
    assert shown.json()["deliver_after"].startswith(later["deliver_after"][:19])

    answer = json_api.post(f"/v1/pushes/{push_id}/cancel", json={"to": [BOB, CAROL]})
    assert answer.status_code == 200
    assert [(one["address"], one["cancelled"], one["code"]) for one in answer.json()["recipients"]] == [
        (BOB, True, "1000"),
        (CAROL, False, "2003"),
    ]
    answer = json_api.post(f"/v1/pushes/{push_id}/cancel", json={})
    assert [one["code"] for one in answer.json()["recipients"]] == ["1000", "1000"]
    assert states(front, push_id) == [("cancelled", "1000")] * 2


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("nobody@pi.example", {}, 404, "push"),
        ("nobody@pi.example", {"too": []}, 400, "too"),
        ("nobody@pi.example", {"to": []}, 400, "to"),
        ("nobody@pi.example", {"to": "sip:a@b.example"}, 400, "to"),
    ],
)
def test_json_says_what_is_wrong_with_a_cancel(
    json_api: httpx.Client, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    answer = json_api.post(f"/v1/pushes/{path}/cancel", json=body)
    assert answer.status_code == status
    assert field in json.dumps(answer.json())


def test_a_push_to_all_subscribers_is_cancelled_as_a_whole(
    front: Stack, json_api: httpx.Client, initiator: PushInitiator, push_id: str
) -> None:
    body = new(push_id, subscribers=True, deliver_after=in_an_hour())
    del body["to"]
    assert json_api.post("/v1/pushes", json=body).status_code == 201
    wrong = json_api.post(f"/v1/pushes/{push_id}/cancel", json={"to": [ALICE]})
    assert wrong.status_code == 422
    assert groups(initiator.cancel(push_id, ADDRESSES[0])) == {"2003": ADDRESSES[:1]}

    assert groups(initiator.cancel(push_id)) == {"1000": []}
    wait_until(lambda: json_api.get(f"/v1/pushes/{push_id}").json()["state"] == "finished", 10, "the end")
    answer = json_api.post(f"/v1/pushes/{push_id}/cancel", json={})
    assert [one["code"] for one in answer.json()["recipients"]] == ["1000"]


def test_the_command_cancels_and_tells_who_is_too_late(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str
) -> None:
    assert initiator.push(push_id, ADDRESSES, b"command", app="mms.ua", **scheduled()).code == "1001"
    done = omapush(front, "push", "cancel", push_id, "--to", ADDRESSES[0], "--json")
    assert json.loads(done.stdout)["recipients"][0]["code"] == "1000"
    assert done.returncode == 0
    done = omapush(front, "push", "cancel", push_id, "--to", "sip:mallory@taken.example")
    assert done.returncode == 1
    assert "not an address of this push" in done.stdout
    assert omapush(front, "push", "cancel", push_id).returncode == 0
    assert states(front, push_id) == [("cancelled", "1000")] * 3


# Replace -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["all", "pending-only"])
def test_a_scheduled_push_is_replaced_and_never_sent(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str, method: str
) -> None:
    taken = initiator.push(push_id, ADDRESSES[:2], b"old", app="mms.ua", notify_to=sink.url, **scheduled())
    assert taken.code == "1001"
    new_id = f"{push_id}-new"
    named: dict[str, Any] = {"replace_push_id": push_id, "replace_method": method}
    answer = initiator.push(new_id, ADDRESSES[:2], f"new {method}".encode(), app="mms.ua", **named)
    assert answer.code == "1001"

    assert final(front, new_id) == [("delivered", "1000")] * 2
    assert final(front, push_id) == [("cancelled", "1000")] * 2
    assert {(one.message_state, one.push_id) for one in sink.wait_for(2)} == {("cancelled", push_id)}
    assert sent(core, "old") == []
    assert len(sent(core, f"new {method}")) == 2


@pytest.mark.parametrize(
    ("method", "others"),
    [
        ("all", ["delivered", "delivered", "delivered"]),
        ("pending-only", ["cancelled", "delivered", "undeliverable"]),
    ],
)
def test_replace_method_decides_about_those_who_have_the_old_one_and_strangers(
    front: Stack, core: SipPeer, initiator: PushInitiator, push_id: str, method: str, others: list[str]
) -> None:
    """Alice has got the old one, Bob is away and waits for it, it never was for Carol."""
    core.policy = lambda request: Says(480) if BOB in request.start_line and b"old" in request.body else OK
    assert initiator.push(push_id, ADDRESSES[:2], b"old of two", app="slow.ua").code == "1001"
    wait_until(lambda: states(front, push_id)[0][0] == "delivered", 10, "Alice's")
    wait_until(
        lambda: front.known(push_ref("trusted", push_id)).results[1].sip_code == 480, 10, "Bob's first try"
    )
    new_id = f"{push_id}-new"
    named: dict[str, Any] = {"replace_push_id": push_id, "replace_method": method}
    assert initiator.push(new_id, ADDRESSES, b"new of three", app="mms.ua", **named).code == "1001"

    assert [state for state, _ in final(front, new_id)] == others
    if method == "pending-only":
        assert [code for _, code in final(front, new_id)] == ["2008", "1000", "2003"]
    assert final(front, push_id) == [("delivered", "1000"), ("cancelled", "1000")]


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"replace_push_id": "unknown@pi.example"}, "push-message@replace-push-id"),
        ({"replace_push_id": "ITSELF"}, "push-message@replace-push-id"),
    ],
)
def test_what_is_not_known_cannot_be_replaced(
    initiator: PushInitiator, push_id: str, attributes: dict[str, str], problem: str
) -> None:
    named: dict[str, Any] = {
        name: push_id if value == "ITSELF" else value for name, value in attributes.items()
    }
    answer = initiator.push(push_id, ADDRESSES, b"x", app="mms.ua", **named)
    assert answer.code == "2004"
    assert problem in answer.find("response-result")["desc"]
    assert initiator.status(push_id).code == "2004"


def test_json_replaces_and_says_what_is_not_possible(
    front: Stack, core: SipPeer, json_api: httpx.Client, push_id: str
) -> None:
    assert json_api.post("/v1/pushes", json=new(push_id, deliver_after=in_an_hour())).status_code == 201
    newer = f"{push_id}-new"
    answer = json_api.post(
        "/v1/pushes", json=new(newer, replaces=push_id, replace_method="pending-only", content="json new")
    )
    assert answer.status_code == 201
    assert answer.json()["replaces"] == push_ref("trusted", push_id)
    assert final(front, newer) == [("delivered", "1000")] * 2
    assert final(front, push_id) == [("cancelled", "1000")] * 2

    unknown = json_api.post("/v1/pushes", json=new(f"{push_id}-x", replaces="unknown@pi.example"))
    assert (unknown.status_code, "2004" in unknown.text) == (422, True)
    to_all = new(f"{push_id}-all", subscribers=True, deliver_after=in_an_hour())
    del to_all["to"]
    refused = json_api.post("/v1/pushes", json={**to_all, "replaces": push_id})
    assert (refused.status_code, "3011" in refused.text) == (422, True)
    assert json_api.post("/v1/pushes", json=to_all).status_code == 201
    refused = json_api.post("/v1/pushes", json=new(f"{push_id}-y", replaces=f"{push_id}-all"))
    assert (refused.status_code, "3011" in refused.text) == (422, True)
    json_api.post(f"/v1/pushes/{push_id}-all/cancel", json={})
