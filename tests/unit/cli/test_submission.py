"""What `push send` puts on the wire, and how it reads the answer."""

from collections.abc import Callable

import httpx
import pytest

from omapush.cli import submission
from omapush.cli.submission import Content, NotAccepted
from omapush.config import Config, parse
from omapush.errors import PushRefused, StoreUnavailable
from omapush.protocol import pap_reader, pap_writer
from omapush.protocol import pap_values as pap

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
            "omapush.cli.submission.httpx.Client", lambda **_: client(transport=httpx.MockTransport(handler))
        )
        return requests

    return install


def says(operation: pap.Operation) -> Answer:
    """An api that answers with this document."""
    document = pap_writer.write(operation)
    return lambda _: httpx.Response(202, content=document, headers={"Content-Type": "application/xml"})


def test_the_gateway_reads_back_what_was_composed() -> None:
    content_type, body = submission.compose(MESSAGE, CONTENT)
    read = pap_reader.read_push(content_type, body)
    assert read.document.operation == MESSAGE
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
    with pytest.raises(StoreUnavailable, match="try again in 7 s"):
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)


def test_an_answer_that_is_no_pap_is_a_refusal(api: Callable[[Answer], list[httpx.Request]]) -> None:
    api(lambda _: httpx.Response(404, text="<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(PushRefused, match="HTTP 404 without PAP"):
        submission.submit(configuration(), "demo", MESSAGE, CONTENT)


def test_an_api_that_is_away_is_named(api: Callable[[Answer], list[httpx.Request]]) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    api(away)
    with pytest.raises(StoreUnavailable, match="does not answer"):
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
        ("127.0.0.1:8080", "http://127.0.0.1:8080/pap"),
        ("0.0.0.0:81", "http://127.0.0.1:81/pap"),
        ("[::]:81", "http://[::1]:81/pap"),
    ],
)
def test_the_api_is_reached_from_the_same_machine(listen: str, url: str) -> None:
    assert submission.url(configuration(api={"listen": listen})) == url
