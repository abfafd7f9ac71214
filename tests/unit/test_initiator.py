"""The fake content provider, against servers of a few lines and its own notification sink."""

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from xml.etree import ElementTree

import httpx
import pytest

from tests.fakes.initiator import NotificationSink, PushInitiator, user_address

ALICE = user_address("sip:alice@home1.example")
ACCEPTED = (
    b'<pap><push-response push-id="1"><response-result code="1001" desc="queued"/></push-response></pap>'
)
RESULT = (
    '<?xml version="1.0"?><pap><resultnotification-message push-id="{push_id}" message-state="delivered" '
    f'code="1000"><address address-value="{ALICE}"/></resultnotification-message></pap>'
)


class Request:
    """What the gateway of the test received last."""

    path = ""
    authorization = ""
    content_type = ""
    body = b""


@contextmanager
def gateway() -> Iterator[tuple[str, Request]]:
    seen = Request()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.path = self.path
            seen.authorization = self.headers["Authorization"]
            seen.content_type = self.headers["Content-Type"]
            seen.body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202)
            self.send_header("Content-Length", str(len(ACCEPTED)))
            self.end_headers()
            self.wfile.write(ACCEPTED)

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def post_result(sink: NotificationSink, push_id: str) -> httpx.Response:
    body = RESULT.format(push_id=push_id)
    return httpx.post(sink.url, content=body, headers={"Content-Type": "application/xml"}, trust_env=False)


def test_a_push_is_multipart_with_the_control_first_and_the_content_untouched() -> None:
    content = b"\x00\xffbinary\r\n--not-the-boundary"
    with gateway() as (url, seen), PushInitiator(url, "cp", "secret") as provider:
        answer = provider.push(
            "1",
            [ALICE, "WAPPUSH=+358401234567/TYPE=PLMN@ppg.home1.example"],
            content,
            content_type="application/vnd.omaloc-supl-init",
            app="x-oma-application:ulp.ua",
            notify_to="http://127.0.0.1:1/results",
            qos={"delivery-method": "confirmed"},
            deliver_before_timestamp="2030-01-01T10:00:00Z",
        )

    assert (answer.http_status, answer.code, answer.raw_xml) == (202, "1001", ACCEPTED)
    assert answer.find("push-response") == {"push-id": "1"}
    assert (seen.path, seen.authorization) == ("/pap", "Basic Y3A6c2VjcmV0")
    whole = message_from_bytes(b"Content-Type: " + seen.content_type.encode() + b"\r\n\r\n" + seen.body)
    assert (whole.get_content_type(), whole.get_param("type")) == ("multipart/related", "application/xml")
    control, second = seen.body.split(b"--asdlfkjiurwghasf")[1:3]
    root = ElementTree.fromstring(control.partition(b"\r\n\r\n")[2])
    message = root.find("push-message")
    assert message is not None
    assert message.attrib == {
        "push-id": "1",
        "ppg-notify-requested-to": "http://127.0.0.1:1/results",
        "deliver-before-timestamp": "2030-01-01T10:00:00Z",
    }
    assert [child.tag for child in message] == ["address", "address", "quality-of-service"]
    assert message[0].get("address-value") == "WAPPUSH=alice%40home1.example/TYPE=USER@ppg.home1.example"
    assert b"X-Wap-Application-Id: x-oma-application:ulp.ua\r\n" in second
    assert second.partition(b"\r\n\r\n")[2] == content + b"\r\n"


@pytest.mark.parametrize("operation", ["statusquery-message", "cancel-message"])
def test_a_question_is_the_control_document_alone(operation: str) -> None:
    with gateway() as (url, seen), PushInitiator(url, "cp", "secret") as provider:
        ask = provider.status if operation == "statusquery-message" else provider.cancel
        ask('a"<&', ALICE)

    assert seen.content_type == "application/xml"
    asked = ElementTree.fromstring(seen.body).find(operation)
    assert asked is not None
    assert (asked.get("push-id"), len(asked)) == ('a"<&', 1)


def test_the_sink_keeps_a_result_and_answers_with_the_same_address() -> None:
    with NotificationSink() as sink:
        answer = post_result(sink, "7")
        (result,) = sink.wait_for(1)

    assert (result.push_id, result.address, result.message_state, result.code) == (
        "7",
        ALICE,
        "delivered",
        "1000",
    )
    assert answer.status_code == 202
    said = ElementTree.fromstring(answer.content).find("resultnotification-response")
    assert said is not None
    assert said.attrib == {"push-id": "7", "code": "1000"}
    assert said[0].get("address-value") == ALICE


def test_the_sink_fails_as_told_and_then_accepts() -> None:
    with NotificationSink() as sink:
        sink.fail_next(500, "drop")

        assert post_result(sink, "1").status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            post_result(sink, "1")
        assert post_result(sink, "1").status_code == 202
        assert [result.answered for result in sink.received] == [500, "drop", 202]
        assert len(sink.wait_for(1)) == 1


@pytest.mark.parametrize(
    "body", ["", "<pap>", "<pap/>", "<other/>", "<pap><resultnotification-message/></pap>"]
)
def test_the_sink_refuses_what_is_no_result(body: str) -> None:
    with NotificationSink() as sink:
        answer = httpx.post(sink.url, content=body, trust_env=False)

        assert answer.status_code == 400
        with pytest.raises(TimeoutError, match="not 1 accepted"):
            sink.wait_for(1, deadline_s=0.01)
