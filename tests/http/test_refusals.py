"""What is refused, with the PAP code or HTTP status that says why, and what must not have happened."""

import base64
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.initiator import DOCUMENT, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack

CORPORA = Path(__file__).resolve().parents[1] / "corpora"
INVALID = CORPORA / "invalid" / "pap"
BOUNDARY = "b1"
ALICE = "sip:alice@home1.example"


def content_type(file: Path) -> str:
    """How a corpus file is posted: with its own boundary when it is a MIME document."""
    if file.suffix == ".xml":
        return "application/xml"
    return f'multipart/related; boundary={BOUNDARY}; type="application/xml"'


@pytest.mark.parametrize("file", sorted(INVALID.glob("*.xml")), ids=lambda file: str(file.stem))
def test_a_malformed_document_gets_a_bad_message_that_names_the_fault(
    initiator: PushInitiator, file: Path
) -> None:
    answer = initiator.post(file.read_bytes(), content_type(file))

    assert answer.http_status == 202
    response = answer.find("badmessage-response")
    assert response["code"] in ("2000", "3002"), answer.raw_xml
    assert len(response["desc"]) > 5
    assert "bad-message-fragment" in response


def test_the_service_lives_after_all_of_them(initiator: PushInitiator, core: SipPeer, push_id: str) -> None:
    expected = tomllib.loads((INVALID / "expected.toml").read_text())
    assert len(expected) > 50

    assert initiator.push(push_id, ALICE, b"x", app="mms.ua").code == "1001"
    core.wait_for_push(ALICE)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ('<resultnotification-response push-id="a" code="1000"><address address-value="x"/>'
         "</resultnotification-response>", "2000"),
    ],
)  # fmt: skip
def test_an_operation_that_only_we_send_is_refused(
    initiator: PushInitiator, operation: str, code: str
) -> None:
    answer = initiator.post(DOCUMENT.format(operation=operation).encode(), "application/xml")

    assert (answer.http_status, answer.code) == (202, code)


@pytest.mark.parametrize(
    ("attributes", "qos", "code"),
    [
        ({"deliver_before_timestamp": "2001-01-01T00:00:00Z"}, None, "2001"),
        ({"replace_push_id": "old@pi"}, None, "2004"),
        ({}, {"network": "GSM", "network-required": "true"}, "3009"),
        ({}, {"bearer": "SMS", "bearer-required": "true"}, "3010"),
    ],
)
def test_a_wish_that_cannot_be_kept_refuses_the_push(
    initiator: PushInitiator,
    core: SipPeer,
    push_id: str,
    attributes: dict[str, Any],
    qos: dict[str, str] | None,
    code: str,
) -> None:
    to = "sip:refused@home1.example"
    answer = initiator.push(push_id, to, b"x", app="mms.ua", qos=qos, **attributes)

    assert answer.code == code
    assert initiator.status(push_id).find("statusquery-result")["code"] == "2004"
    assert core.pushes(to) == []


@pytest.mark.parametrize(
    ("to", "app", "content", "kind", "code"),
    [
        ("WAPPUSH=192.0.2.7/TYPE=IPv4@ppg", "mms.ua", b"x", "text/plain", "2002"),
        ("nonsense", "mms.ua", b"x", "text/plain", "2002"),
        ("sip:a@b.example%0d%0aRoute: <sip:evil>", "mms.ua", b"x", "text/plain", "2002"),
        (ALICE, "mms ua", b"x", "text/plain", "1001"),
        (ALICE, "text.ua", b"x", "image/png", "2006"),
        (ALICE, "text.ua", b"x" * 1001, "text/plain", "2001"),
    ],
)
@pytest.mark.req("PSA-MSG-4")
def test_address_type_and_size_are_checked_before_anything_is_stored(
    initiator: PushInitiator, push_id: str, to: str, app: str, content: bytes, kind: str, code: str
) -> None:
    assert initiator.push(push_id, to, content, app=app, content_type=kind).code == code


@pytest.mark.parametrize(
    ("app", "to", "code"),
    [
        ("mms.ua", ALICE, "1001"),
        ("ulp.ua", ALICE, "2001"),
        ("mms.ua", "sip:alice@elsewhere.example", "2001"),
        ("mms.ua", "tel:+358401234567", "2001"),
    ],
)
@pytest.mark.req("SEC-2")
def test_an_initiator_stays_within_its_applications_and_recipients(
    front: Stack, core: SipPeer, push_id: str, app: str, to: str, code: str
) -> None:
    with PushInitiator(front.http, "narrow", PASSWORD) as narrow:
        assert narrow.push(push_id, to, b"x", app=app).code == code


@pytest.mark.parametrize("attribute", ["push-id", "source-reference", "ppg-notify-requested-to"])
@pytest.mark.parametrize("escape", ["&#13;&#10;", "&#0;", "&#10;"])
def test_control_characters_in_an_attribute_never_get_past_the_border(
    initiator: PushInitiator, core: SipPeer, attribute: str, escape: str
) -> None:
    to = "sip:injected@home1.example"
    attributes = {"push-id": "in@jected", attribute: f"x{escape}Route: &lt;sip:evil&gt;"}
    written = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    operation = f'<push-message {written}><address address-value="{user_address(to)}"/></push-message>'

    answer = initiator.send_parts(
        DOCUMENT.format(operation=operation), [("Content-Type", "text/plain")], b"x"
    )

    assert (answer.http_status, answer.code) == (202, "2000")
    assert core.pushes(to) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic " + base64.b64encode(b"trusted:wrong").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"nobody:x").decode()},
        {"Authorization": "Basic not base64"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic " + "A" * 5000},
    ],
)
@pytest.mark.req("SEC-2")
def test_without_the_right_password_there_is_only_401(front: Stack, headers: dict[str, str]) -> None:
    answer = httpx.post(
        f"{front.http}/pap",
        content=b"<pap/>",
        headers={"Content-Type": "application/xml", **headers},
        trust_env=False,
    )

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("body", "kind", "http_status", "says"),
    [
        (b"{}", "application/json", 415, "Content-Type"),
        (b"", "application/xml", 202, "badmessage-response"),
        (b"x" * 300_000, "application/xml", 413, ""),
        (b"--x--", "multipart/related", 202, "boundary"),
        (b"<pap/>", "application/xml; charset=klingon", 202, "klingon"),
    ],
)
def test_http_itself_is_checked_first(
    initiator: PushInitiator, body: bytes, kind: str, http_status: int, says: str
) -> None:
    answer = initiator.post(body, kind)

    assert answer.http_status == http_status
    assert says in answer.raw_xml.decode()


def test_a_body_of_10_mb_is_refused_without_being_kept(front: Stack, initiator: PushInitiator) -> None:
    answer = initiator.post(b"x" * 10_000_000, "application/xml")

    assert answer.http_status == 413
    assert httpx.get(f"{front.http}/healthz", trust_env=False).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/pap", 405), ("POST", "/nothing", 404)])
def test_other_methods_and_paths(front: Stack, method: str, path: str, status: int) -> None:
    assert httpx.request(method, f"{front.http}{path}", trust_env=False).status_code == status


def test_who_asks_what_may_be_done_with_pap_is_told_to_post(front: Stack) -> None:
    asked = httpx.options(f"{front.http}/pap", trust_env=False)
    wrong = httpx.put(f"{front.http}/pap", trust_env=False)

    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, "OPTIONS, POST", b"")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    assert all(one.headers["x-content-type-options"] == "nosniff" for one in (asked, wrong))


def test_a_body_of_unknown_length_is_read_as_far_as_it_may_be_long(front: Stack) -> None:
    headers = {"Content-Type": "application/xml"}

    def body(size: int) -> Iterator[bytes]:
        for at in range(0, size, 10_000):
            yield b"x" * min(10_000, size - at)

    def status(size: int) -> int:
        return httpx.post(
            f"{front.http}/pap",
            content=body(size),
            headers=headers,
            auth=("trusted", PASSWORD),
            trust_env=False,
        ).status_code

    largest = front.config.api.max_body_bytes
    assert (status(largest), status(largest + 1)) == (202, 413)


def test_bytes_that_are_no_http_do_not_end_the_service(front: Stack) -> None:
    host, _, port = front.http.removeprefix("http://").partition(":")
    for raw in (b"\0\xff" * 1000, b"POST /pap HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100_000):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            try:
                connection.recv(1000)
            except ConnectionResetError:
                continue

    assert httpx.get(f"{front.http}/healthz", trust_env=False).status_code == 200
