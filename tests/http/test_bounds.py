"""What one connection may cost before its sender is known."""

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from omapush.pap_http.connection import LARGEST_HEAD
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack

ALICE = "sip:alice@home1.example"
CREDENTIALS = base64.b64encode(f"trusted:{PASSWORD}".encode())


@contextmanager
def connected(front: Stack) -> Iterator[socket.socket]:
    host, _, port = front.http.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def heard(connection: socket.socket) -> bytes:
    """All that is said until the connection is closed."""
    said = b""
    try:
        while more := connection.recv(65_536):
            said += more
    except ConnectionResetError:
        pass
    return said


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * 10_000_000,
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 10_000_000,
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1_000_000,
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"x" * 10_000_000,
        b"POST /pap HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 10_000_000,
    ],
    ids=["url", "one field", "many fields", "field name", "trailer"],
)
def test_a_head_without_an_end_is_cut_off(front: Stack, endless: bytes) -> None:
    with connected(front) as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        connection.sendall(endless)

    assert httpx.get(f"{front.http}/healthz", trust_env=False).status_code == 200


@pytest.mark.parametrize(("size", "status"), [(LARGEST_HEAD - 500, b" 200 "), (LARGEST_HEAD + 1, b" 431 ")])
def test_the_limit_of_a_head_that_ends(front: Stack, size: int, status: bytes) -> None:
    with connected(front) as connection:
        connection.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"a" * size + b"\r\n\r\n"
        )
        assert status in heard(connection).split(b"\r\n", 1)[0]


def test_many_requests_on_one_connection_have_the_limit_each(front: Stack) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5_000 + b"\r\n\r\n"
    last = request.replace(b"X:", b"Connection: close\r\nX:")
    with connected(front) as connection:
        connection.sendall(request * 10 + last)
        assert heard(connection).count(b" 200 OK") == 11


def test_a_body_in_small_chunks_is_no_head(front: Stack) -> None:
    head = b"POST /pap HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    head += b"Authorization: Basic " + CREDENTIALS + b"\r\nContent-Type: application/xml\r\n\r\n"
    with connected(front) as connection:
        connection.sendall(head + b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n")
        assert b" 202 " in heard(connection)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, identity"])
def test_a_body_that_is_packed_is_refused_with_415(front: Stack, encoding: str) -> None:
    answer = httpx.post(
        f"{front.http}/pap",
        content=b"<pap/>",
        headers={"Content-Type": "application/xml", "Content-Encoding": encoding},
        auth=("trusted", PASSWORD),
        trust_env=False,
    )
    assert (answer.status_code, answer.text) == (415, "Content-Encoding: send the body as it is\n")


@pytest.mark.parametrize(
    "kind", ["application/xmlfoo", "multipart/relatedness; boundary=b1", "text/xml-x", ""]
)
def test_a_type_that_only_begins_like_one_of_pap_is_refused_with_415(
    initiator: PushInitiator, kind: str
) -> None:
    assert initiator.post(b"<pap/>", kind).http_status == 415


def test_a_planned_stop_of_the_notifier_tells_nothing_twice(
    front: Stack, initiator: PushInitiator, sink: NotificationSink, core: SipPeer, push_id: str
) -> None:
    initiator.push(push_id, user_address(ALICE), b"x", app="mms.ua", notify_to=sink.url)
    sink.wait_for(1)
    try:
        assert front.parts["notifier"].stop() == 0
    finally:
        front.start("notifier")
    initiator.push(f"2{push_id}", user_address(ALICE), b"x", app="mms.ua", notify_to=sink.url)

    assert [one.push_id for one in sink.wait_for(2)] == [push_id, f"2{push_id}"]


def test_progress_notes_that_are_asked_for_say_where_the_push_is(
    initiator: PushInitiator, core: SipPeer, push_id: str
) -> None:
    without = initiator.push(push_id, ALICE, b"x", app="mms.ua")
    answer = initiator.push(f"2{push_id}", ALICE, b"x", app="mms.ua", progress_notes_requested="true")

    assert answer.find("progress-note")["stage"] == "pending"
    assert without.find("progress-note") == {}


def test_a_url_for_results_that_cannot_be_one_refuses_the_push(
    initiator: PushInitiator, push_id: str
) -> None:
    answer = initiator.push(push_id, ALICE, b"x", app="mms.ua", notify_to="http://127.0.0.1:99999/")

    assert answer.code == "2000"
    assert b"ppg-notify-requested-to" in answer.raw_xml


def submission(push_id: str, fields: bytes) -> bytes:
    """A push by JSON, as it is on the wire."""
    content = (
        f'{{"push_id": "{push_id}", "to": ["{ALICE}"], "application": "mms.ua", '
        '"content_type": "text/plain", "content": "hi"}'
    ).encode()
    head = b"POST /v1/pushes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + fields
    return (
        head
        + b"Authorization: Basic "
        + CREDENTIALS
        + b"\r\nContent-Length: %d\r\n\r\n" % len(content)
        + content
    )


def test_the_server_as_a_whole_tells_its_methods(front: Stack) -> None:
    with connected(front) as connection:
        connection.sendall(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        said = heard(connection)

    assert said.startswith(b"HTTP/1.1 204 ")
    assert b"allow: DELETE, GET, HEAD, OPTIONS, POST, PUT\r\n" in said


def test_a_client_that_offers_another_protocol_pushes_in_this_one(front: Stack, push_id: str) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    with connected(front) as connection:
        connection.sendall(submission(f"{push_id}.1", offer))
        connection.sendall(
            submission(f"{push_id}.2", offer) + submission(f"{push_id}.3", b"Connection: close\r\n")
        )
        said = heard(connection)

    assert said.count(b"HTTP/1.1 201 Created") == 3
    assert all(f'"push_id":"{push_id}.{number}"'.encode() in said for number in (1, 2, 3))


def test_a_push_is_answered_though_what_follows_it_is_no_request(front: Stack, push_id: str) -> None:
    """Its 400 in the place of that answer would say that nothing is stored."""
    with connected(front) as connection:
        connection.sendall(submission(push_id, b"") + b"NONSENSE\r\n\r\n")
        said = heard(connection)

    assert said.startswith(b"HTTP/1.1 201 Created")
    assert b" 400 " not in said


def test_who_is_told_behind_the_body_has_told_nothing(front: Stack) -> None:
    head = b"POST /v1/pushes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    trailer = b"0\r\nAuthorization: Basic " + CREDENTIALS + b"\r\n\r\n"
    with connected(front) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + trailer)

        assert heard(connection).startswith(b"HTTP/1.1 401 ")
