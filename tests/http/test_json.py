"""The JSON interface: what it takes, what it answers, and that a push by it is the same push as by PAP."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from omapush.push.values import push_ref
from omapush.store import pushes
from tests.conftest import MakeStack
from tests.fakes.initiator import NotificationSink, PushInitiator
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

ALICE = "sip:alice@home1.example"
EVERY_BYTE = bytes(range(256))


def client(front: Stack, user: str = "trusted") -> httpx.Client:
    return httpx.Client(base_url=front.http, auth=(user, PASSWORD), timeout=10, trust_env=False)


@pytest.fixture
def json_api(front: Stack) -> Iterator[httpx.Client]:
    """A content provider that may do everything."""
    with client(front) as provider:
        yield provider


@pytest.fixture
def narrow(front: Stack) -> Iterator[httpx.Client]:
    """A content provider for some applications and recipients only."""
    with client(front, "narrow") as provider:
        yield provider


def body(push_id: str | None = None, **members: Any) -> dict[str, Any]:
    named = {} if push_id is None else {"push_id": push_id}
    least = {"to": [ALICE], "application": "mms.ua", "content_type": "text/plain", "content": "hello"}
    return {name: value for name, value in {**least, **named, **members}.items() if value is not None}


def state(api: httpx.Client, push_id: str, **query: str) -> dict[str, Any]:
    answer = api.get(f"/v1/pushes/{quote(push_id, safe='')}", params=query)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def finished(api: httpx.Client, push_id: str) -> dict[str, Any]:
    wait_until(lambda: state(api, push_id)["state"] == "finished", 10, "a final state")
    return state(api, push_id)


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status, and the field that is named."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    fault = answer.json()
    assert fault["detail"]
    assert (fault["type"], fault["status"]) == ("about:blank", answer.status_code)
    assert fault["title"] == HTTPStatus(answer.status_code).phrase
    return answer.status_code, fault["field"]


def test_a_push_is_stored_answered_with_its_place_and_delivered(
    json_api: httpx.Client, core: SipPeer, front: Stack, push_id: str
) -> None:
    to = "sip:json@home1.example"
    binary = {"content": None, "content_base64": base64.b64encode(EVERY_BYTE).decode()}
    kind = "application/vnd.wap.mms-message"
    answer = json_api.post("/v1/pushes", json=body(push_id, to=[to], content_type=kind, **binary))

    assert answer.status_code == 201
    assert answer.json()["push_id"] == push_id
    assert answer.json()["ref"] == push_ref("trusted", push_id)
    assert pushes.read(front.store, push_ref("trusted", push_id)) is not None
    core.wait_for_push(to)
    assert core.pushes(to)[0].body == EVERY_BYTE
    finished(json_api, push_id)
    shown = json_api.get(answer.headers["Location"]).json()
    assert (shown["state"], shown["counts"], shown["bytes"]) == ("finished", {"delivered": 1}, 256)
    (recipient,) = shown["recipients"]
    assert (recipient["aor"], recipient["code"], recipient["method"]) == (to, "1000", "MESSAGE")
    assert "events" not in shown


@pytest.mark.parametrize("name", [".", "..", "a/../b", "%2e", "\u00e9"])
def test_the_place_of_a_push_leads_to_it_whatever_its_name_is(json_api: httpx.Client, name: str) -> None:
    answer = json_api.post("/v1/pushes", json=body(name, to=["sip:place@home1.example"]))

    assert answer.status_code == 201
    assert json_api.get(answer.headers["Location"]).json()["push_id"] == name


def test_head_says_whether_a_push_is_known_and_the_connection_goes_on(
    json_api: httpx.Client, push_id: str
) -> None:
    json_api.post("/v1/pushes", json=body(push_id))
    place = f"/v1/pushes/{push_id}"

    headed, got = json_api.head(place), json_api.get(place)

    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["Content-Type"] == got.headers["Content-Type"]
    assert int(headed.headers["Content-Length"]) > 100
    assert json_api.head(f"{place}-unknown").status_code == 404
    assert json_api.get(place).json()["push_id"] == push_id


def test_the_event_log_comes_when_it_is_asked_for(
    json_api: httpx.Client, core: SipPeer, push_id: str
) -> None:
    json_api.post("/v1/pushes", json=body(push_id))
    finished(json_api, push_id)

    names = [line["name"] for line in state(json_api, push_id, events="true")["events"]]

    assert names[0] == "accepted"
    assert {"sent", "final"} <= set(names)


def test_the_same_push_id_again_is_409_and_nothing_is_sent_twice(
    json_api: httpx.Client, initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    to = "sip:twice@home1.example"
    assert json_api.post("/v1/pushes", json=body(push_id, to=[to])).status_code == 201
    finished(json_api, push_id)

    again = json_api.post("/v1/pushes", json=body(push_id, to=[to], content="other"))

    assert error(again) == (409, "push_id")
    assert again.json()["code"] == "2007"
    assert initiator.push(push_id, to, b"x", app="mms.ua").code == "2007"
    assert len(core.pushes(to)) == 1


def test_a_push_by_json_and_one_by_pap_are_seen_by_both(
    json_api: httpx.Client, initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    json_api.post("/v1/pushes", json=body(push_id))
    initiator.push(f"{push_id}.pap", ALICE, b"x", app="mms.ua")

    finished(json_api, f"{push_id}.pap")
    finished(json_api, push_id)
    assert initiator.status(push_id).find("statusquery-result")["message-state"] == "delivered"


def test_results_are_posted_to_the_url_that_is_named(
    json_api: httpx.Client, core: SipPeer, sink: NotificationSink, push_id: str
) -> None:
    core.policy = lambda _: Says(415, "Unsupported Media Type")

    json_api.post("/v1/pushes", json=body(push_id, notify_url=sink.url))

    assert [(one.push_id, one.message_state) for one in sink.wait_for(1)] == [(push_id, "aborted")]


def test_one_wrong_recipient_among_good_ones_has_its_result_at_once(
    json_api: httpx.Client, core: SipPeer, push_id: str
) -> None:
    answer = json_api.post("/v1/pushes", json=body(push_id, to=[ALICE, "nonsense"]))

    assert answer.status_code == 201
    assert [one["code"] for one in answer.json()["recipients"]] == ["1001", "2002"]


@pytest.mark.parametrize("push_id", ["a/b", "a%2Fb", "?x=1#y", "\u00fc/\u4e2d", "..", "pause"])
def test_a_push_id_of_any_characters_is_found_again(
    json_api: httpx.Client, core: SipPeer, push_id: str
) -> None:
    answer = json_api.post("/v1/pushes", json=body(push_id))

    assert answer.status_code in (201, 409)
    if answer.status_code == 201 and push_id != "..":  # which clients resolve themselves
        assert json_api.get(answer.headers["Location"]).json()["push_id"] == push_id
        assert state(json_api, push_id)["push_id"] == push_id
    assert state(json_api, push_ref("trusted", push_id))["push_id"] == push_id


def test_a_push_of_another_initiator_does_not_exist(
    json_api: httpx.Client, narrow: httpx.Client, core: SipPeer, push_id: str
) -> None:
    json_api.post("/v1/pushes", json=body(push_id))

    for name in (push_id, push_ref("trusted", push_id), "never@seen"):
        assert error(narrow.get(f"/v1/pushes/{name}")) == (404, "push")


def test_deliver_before_is_the_push_s_own(json_api: httpx.Client, core: SipPeer, push_id: str) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)

    json_api.post("/v1/pushes", json=body(push_id, deliver_before=later.isoformat(), priority="high"))

    shown = state(json_api, push_id)
    assert datetime.fromisoformat(shown["deliver_before"]) == later
    assert shown["priority"] == "high"


@pytest.mark.parametrize(
    ("members", "status", "field"),
    [
        ({"to": []}, 400, "to"),
        ({"to": None}, 400, "to"),
        ({"to": "sip:alice@home1.example"}, 400, "to"),
        ({"to": [ALICE, 7]}, 400, "to[1]"),
        ({"to": ["nonsense"]}, 400, "to"),
        ({"to": [f"sip:{number}@home1.example" for number in range(51)]}, 400, "to"),
        ({"application": None}, 400, "application"),
        ({"application": "a" * 300}, 400, "application"),
        ({"content_type": "text"}, 400, "content_type"),
        ({"content_type": "text/plain\r\nVia: evil"}, 400, "content_type"),
        ({"application": "text.ua", "content_type": "image/png"}, 422, "content_type"),
        ({"application": "text.ua", "content": "x" * 1001}, 413, "content"),
        ({"application": "mms.ua\r\nVia: evil"}, 400, "application"),
        ({"application": ""}, 400, "application"),
        ({"content": None}, 400, "content"),
        ({"content_base64": "aOk="}, 400, "content"),
        ({"content": None, "content_base64": "*"}, 400, "content_base64"),
        ({"content_headers": {"Via": "evil"}}, 400, "content_headers"),
        ({"content_headers": {"Content-Language": "de\r\nVia: evil"}}, 400, "content_headers"),
        ({"content_headers": {"Content-Language": 1}}, 400, "content_headers[...]"),
        ({"push_id": ""}, 400, "push_id"),
        ({"push_id": "x" * 257}, 400, "push_id"),
        ({"push_id": "a\r\nb"}, 400, "push_id"),
        ({"method": "PIGEON"}, 400, "method"),
        ({"deliver_before": "soon"}, 400, "deliver_before"),
        ({"deliver_before": "2030-01-01T00:00:00"}, 400, "deliver_before"),
        ({"deliver_before": "2001-01-01T00:00:00Z"}, 422, "deliver_before"),
        ({"notify_url": "ftp://pi.example/"}, 400, "notify_url"),
        ({"delivery_method": "sometimes"}, 400, "delivery_method"),
        ({"priority": 1}, 400, "priority"),
        ({"recipients": [ALICE]}, 400, "recipients"),
    ],
)
def test_a_member_that_is_wrong_is_named_and_nothing_is_stored(
    json_api: httpx.Client, front: Stack, push_id: str, members: dict[str, Any], status: int, field: str
) -> None:
    named = {"push_id": push_id, **members}

    assert error(json_api.post("/v1/pushes", json=body(**named))) == (status, field)
    assert pushes.read(front.store, push_ref("trusted", str(named["push_id"]))) is None


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"method": "message"}, '"message" is not known; needed: one of "NOTIFY", "REFER", "MESSAGE"'),
        ({"priority": "urgent"}, '"urgent" is not known; needed: one of "high", "medium", "low"'),
        ({"to": ALICE}, "needed: an array or null; this is a string"),
        ({"to": []}, "needed: at least one"),
        ({"to": [5]}, "needed: a string; this is a whole number"),
        ({"to": None}, "needed: to, lists or subscribers"),
        ({"application": ""}, "is empty"),
        ({"deliver_before": "tomorrow"}, "such as 2030-01-31T10:00:00Z"),
        ({"deliver_before": "2030-01-31T10:00:00"}, "a time with its zone"),
    ],
)
def test_a_refusal_says_what_would_be_right(
    json_api: httpx.Client, members: dict[str, Any], words: str
) -> None:
    assert words in json_api.post("/v1/pushes", json=body(**members)).json()["detail"]


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("/v1/pushes?state=done", "state", '"done" is not known; needed: one of "running", "paused"'),
        ("/v1/pushes?limit=0", "limit", "needed: 1 to 1000"),
        ("/v1/pushes?limit=few", "limit", "needed: a whole number; this is a string"),
        ("/v1/pushes?since=yesterday", "since", "such as 2030"),
        (
            "/v1/pushes?status=running",
            "status",
            "known are after, application, limit, recipient, since",
        ),
        ("/v1/pushes/1?push=2", "push", "not known; known are events"),
        ("/v1/lists/1?all=1", "all", "not known; nothing can be asked for here"),
        ("/v1/nothing", "", "there is no such path"),
        ("/v1/pushes/1/cancel", "", "possible here: OPTIONS, POST"),
    ],
)
def test_a_question_that_is_wrong_is_answered_with_what_would_be_right(
    json_api: httpx.Client, path: str, field: str, words: str
) -> None:
    problem = json_api.get(path).json()

    assert (problem["field"], words in problem["detail"]) == (field, True), problem


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"to": ["\\ud800"]}', b"{} {}"]
)
def test_what_is_no_json_object_is_400(json_api: httpx.Client, raw: bytes) -> None:
    answer = json_api.post("/v1/pushes", content=raw, headers={"Content-Type": "application/json"})

    assert error(answer) == (400, "body")


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type"),
        ({"Content-Type": ""}, "Content-Type"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, "Content-Encoding"),
    ],
)
def test_another_type_is_415(json_api: httpx.Client, headers: dict[str, str], field: str) -> None:
    assert error(json_api.post("/v1/pushes", content=b"{}", headers=headers)) == (415, field)


def test_a_body_above_the_limit_is_413(json_api: httpx.Client) -> None:
    assert error(json_api.post("/v1/pushes", json=body(content="x" * 300_000))) == (413, "body")


@pytest.mark.req("SEC-2")
def test_an_initiator_stays_within_its_applications_and_recipients(
    narrow: httpx.Client, core: SipPeer, push_id: str
) -> None:
    assert error(narrow.post("/v1/pushes", json=body(push_id, application="ulp.ua"))) == (403, "application")
    assert error(narrow.post("/v1/pushes", json=body(push_id, to=[ALICE, "sip:a@else.example"]))) == (
        403,
        "to",
    )
    assert narrow.post("/v1/pushes", json=body(push_id)).status_code == 201


@pytest.mark.req("SEC-2")
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/pushes"), ("GET", "/v1/pushes/a"), ("GET", "/v1/registrations/sip:a@home1.example")],
)
def test_without_the_right_password_nothing_of_the_request_is_read(
    front: Stack, method: str, path: str
) -> None:
    answer = httpx.request(
        method, f"{front.http}{path}", content=b"[", auth=("trusted", "wrong"), trust_env=False
    )

    assert error(answer) == (401, "Authorization")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("PUT", "/v1/pushes", 405), ("GET", "/v1/pushes/%ff", 400)],
)
def test_other_paths_and_methods_are_answered_in_json(
    json_api: httpx.Client, method: str, path: str, status: int
) -> None:
    assert error(json_api.request(method, path))[0] == status


def test_a_query_that_is_wrong_is_named(json_api: httpx.Client) -> None:
    assert error(json_api.get("/v1/pushes/a", params={"events": "maybe"})) == (400, "events")


def test_the_types_are_described_for_everybody(front: Stack) -> None:
    described = httpx.get(f"{front.http}/schema", trust_env=False).json()

    assert {"/v1/pushes", "/v1/pushes/{push}", "/v1/registrations/{aor}"} <= set(described["paths"])
    members = described["components"]["schemas"]["NewPush"]
    assert members["required"] == ["application", "content_type"]
    assert all(path.startswith("/v1/") for path in described["paths"])
    refusal = described["paths"]["/v1/pushes"]["post"]["responses"]["409"]
    assert refusal["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")


def test_requests_are_counted_by_operation_and_status(json_api: httpx.Client, push_id: str) -> None:
    def count(operation: str, status: int) -> float:
        name = f'omapush_json_requests_total{{operation="{operation}",status="{status}"}} '
        text = json_api.get("/metrics").text
        return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))

    before = [count("push_submit", 201), count("push_submit", 400), count("push_show", 404)]
    json_api.post("/v1/pushes", json=body(push_id))
    json_api.post("/v1/pushes", json=body(to=[]))
    json_api.get("/v1/pushes/never")

    after = [count("push_submit", 201), count("push_submit", 400), count("push_show", 404)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]


def test_without_redis_a_push_gets_503_with_retry_after(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip", "api"))
    with client(stack) as api:
        stack.kill("redis")
        for answer in (api.post("/v1/pushes", json=body("away@pi")), api.get("/v1/pushes/away@pi")):
            assert error(answer) == (503, "")
            assert int(answer.headers["Retry-After"]) > 0

        stack.start("redis")
        wait_until(
            lambda: api.post("/v1/pushes", json=body("away@pi")).status_code in (201, 409), 10, "taken"
        )
    assert "Traceback" not in stack.logs(1000)


def test_a_full_outbox_gets_503(make_stack: MakeStack) -> None:
    stack = make_stack({"api": {"max_waiting": 1}}, parts=("redis", "sip", "api"))
    with client(stack) as api:
        assert api.post("/v1/pushes", json=body()).status_code == 201
        wait_until(lambda: api.post("/v1/pushes", json=body()).status_code == 503, 10, "the outbox full")
        assert "Retry-After" in api.post("/v1/pushes", json=body()).headers
