"""What `push send` puts on the wire, and how it reads the answer."""

from collections.abc import Callable
from dataclasses import replace

import httpx
import msgspec
import pytest

from omapush.cli import api_client, json_submission, submission
from omapush.cli.submission import Content, NotAccepted
from omapush.config import Config, parse
from omapush.errors import ApiUnavailable, PushRefused
from omapush.pap_http.json_values import NewPush, offer_of
from omapush.protocol import pap_reader, pap_writer
from omapush.protocol import pap_values as pap
from omapush.push.acceptance import Offer
from omapush.push.account import Account

BINARY = bytes(range(256)) + b"\r\n--\r\n"
MESSAGE = pap.PushMessage(
    "1@provider.example", ("sip:alice@home1.example",), notify_url="http://127.0.0.1:9/r"
)
CONTENT = Content("mms.ua", "application/vnd.wap.mms-message", BINARY)

Answer = Callable[[httpx.Request], httpx.Response]


def configuration(**tables: object) -> Config:
    """A configuration with the initiator `demo`."""
    return parse({"initiator": {"demo": {"password": "secret"}}, **tables}, "test.toml")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[httpx.Request]]:
    """Make the HTTP client talk to a function; the requests that it made are in the list."""
    client = httpx.Client

    def install(answer: Answer) -> list[httpx.Request]:
        requests: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return answer(request)

        monkeypatch.setattr(
            "omapush.cli.api_client.httpx.Client", lambda **_: client(transport=httpx.MockTransport(handler))
        )
        return requests

    return install


def says(operation: pap.Operation) -> Answer:
    """An api that answers with this document."""
    document = pap_writer.write(operation)
    return lambda _: httpx.Response(202, content=document, headers={"Content-Type": "application/xml"})


def test_the_gateway_reads_back_what_was_composed() -> None:
    content_type, body = submission.compose(MESSAGE, CONTENT)
    read = pap_reader.read(content_type, body)
    assert read.document.operation == MESSAGE
    assert read.content is not None
    assert read.content.body == BINARY
    assert read.content.header("Content-Type") == "application/vnd.wap.mms-message"
    assert read.content.header("X-Wap-Application-Id") == "mms.ua"


def test_an_accepted_push_gives_the_response(api: Callable[[Answer], list[httpx.Request]]) -> None:
    requests = api(says(pap.PushResponse(MESSAGE.push_id, "1001", "accepted")))
    assert submission.submit(configuration(), "demo", MESSAGE, CONTENT).code == "1001"
    assert [str(request.url) for request in requests] == ["http://127.0.0.1:8080/pap"]
    assert requests[0].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "operation",
    [pap.PushResponse(MESSAGE.push_id, "2007", "used before"), pap.BadMessage("2007", "used before")],
)
def test_a_refusal_keeps_code_and_words(
    api: Callable[[Answer], list[httpx.Request]], operation: pap.Operation
) -> None:
    api(says(operation))
    with pytest.raises(NotAccepted) as refusal:
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)
    assert str(refusal.value) == "refused: 2007 used before"


def test_wrong_credentials_are_named_without_the_password(
    api: Callable[[Answer], list[httpx.Request]],
) -> None:
    api(lambda _: httpx.Response(401))
    with pytest.raises(PushRefused, match="initiator demo") as refusal:
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)
    assert "secret" not in str(refusal.value)


def test_an_api_that_cannot_take_pushes_now_says_when(api: Callable[[Answer], list[httpx.Request]]) -> None:
    api(lambda _: httpx.Response(503, headers={"Retry-After": "7"}))
    with pytest.raises(ApiUnavailable, match="try again in 7 s"):
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)


def test_an_answer_that_is_no_pap_is_a_refusal(api: Callable[[Answer], list[httpx.Request]]) -> None:
    api(lambda _: httpx.Response(404, text="<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(PushRefused, match="HTTP 404 without PAP"):
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)


def test_an_api_that_is_away_is_named(api: Callable[[Answer], list[httpx.Request]]) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    api(away)
    with pytest.raises(ApiUnavailable, match="does not answer"):
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)


def test_an_unknown_initiator_is_refused_before_anything_is_sent(
    api: Callable[[Answer], list[httpx.Request]],
) -> None:
    requests = api(says(pap.PushResponse(MESSAGE.push_id, "1001")))
    with pytest.raises(PushRefused, match="known are demo"):
        submission.submit(configuration(), "stranger", MESSAGE, CONTENT)
    assert requests == []


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/healthz"),
        ("0.0.0.0:81", "http://127.0.0.1:81/healthz"),
        ("[::]:81", "http://[::1]:81/healthz"),
    ],
)
def test_the_api_is_reached_from_the_same_machine(listen: str, url: str) -> None:
    assert api_client.url(configuration(api={"listen": listen}), "/healthz") == url


def test_a_push_by_json_says_the_same_and_the_method(api: Callable[[Answer], list[httpx.Request]]) -> None:
    requests = api(lambda _: httpx.Response(201, json={"push_id": MESSAGE.push_id}))
    members = json_submission.compose(replace(MESSAGE, deliver_before=1_893_492_000), CONTENT, "NOTIFY")

    assert json_submission.submit(configuration(), "demo", members).code == "1001"
    assert str(requests[0].url) == "http://127.0.0.1:8080/v1/pushes"
    sent = msgspec.json.decode(requests[0].content, type=NewPush)
    assert offer_of(sent, Account("demo", ("*",), ("*",))) == Offer(
        push_id=MESSAGE.push_id,
        addresses=MESSAGE.addresses,
        application="mms.ua",
        content_type="application/vnd.wap.mms-message",
        content=BINARY,
        method="NOTIFY",
        notify_url="http://127.0.0.1:9/r",
        deliver_before_ms=1_893_492_000_000,
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            httpx.Response(409, json={"field": "push_id", "detail": "used", "code": "2007"}),
            "refused: 2007 push_id: used",
        ),
        (httpx.Response(404, json={"field": "", "detail": "Not Found", "code": ""}), "Not Found"),
        (httpx.Response(404, text="<html>"), "HTTP 404 without a reason"),
        (httpx.Response(202, json=[]), "HTTP 202 without a reason"),
        (httpx.Response(401), "initiator demo"),
    ],
)
def test_a_refusal_by_json_is_said_in_one_line(
    api: Callable[[Answer], list[httpx.Request]], answer: httpx.Response, says: str
) -> None:
    api(lambda _: answer)
    with pytest.raises(PushRefused, match=says):
        json_submission.submit(configuration(), "demo", json_submission.compose(MESSAGE, CONTENT, "MESSAGE"))


def test_a_repeat_by_json_is_taken_as_one(api: Callable[[Answer], list[httpx.Request]]) -> None:
    api(lambda _: httpx.Response(200, json={}))

    taken = json_submission.submit(
        configuration(), "demo", json_submission.compose(MESSAGE, CONTENT, "MESSAGE")
    )

    assert taken.code == "1001"
    assert "repeat" in taken.desc
