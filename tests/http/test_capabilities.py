"""ccq and pushes that come with capabilities, over HTTP, answered from what is stored."""

from __future__ import annotations

import re
from typing import Any

import pytest

from omapush import clock
from omapush.protocol import pap_values as pap
from omapush.protocol.pap_reader import read
from omapush.protocol.uaprof import PushCharacteristics, write
from omapush.protocol.uaprof import read as read_profile
from omapush.push import profile_document
from omapush.push.capabilities import Facts
from omapush.store import capabilities, profiles
from tests.fakes.initiator import DOCUMENT, PapAnswer, PushInitiator
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack

URL = "http://uaprof.maker.example/http.rdf"
KNOWN = PushCharacteristics(
    types=("text/plain",), applications=("x-wap-application:mms.ua",), largest_bytes=500
)

pytestmark = pytest.mark.req("PROP-CAP-5", "SIPPUSH-PSA-S-003")


@pytest.fixture
def aor(push_id: str) -> str:
    """A user that no test has used."""
    return f"sip:cap{push_id.partition('@')[0]}@home1.example"


def learn(front: Stack, aor: str, **more: Any) -> None:
    now = clock.now_ms()
    facts = Facts("urn:uuid:a", "uaprof", now, now + 600_000)._replace(**more)
    capabilities.learn(front.store, {aor: [facts]}, now)


def remember_profile(front: Stack, document: bytes) -> None:
    now = clock.now_ms()
    profile = profile_document.fetched(URL, document, read_profile(document), now)
    profiles.settle(front.store, profile, now, kept_s=600)


def ask(initiator: PushInitiator, *addresses: str, app: str = "") -> PapAnswer:
    inside = "".join(f'<address address-value="{address}"/>' for address in addresses)
    app_id = f' app-id="{app}"' if app else ""
    operation = f'<ccq-message query-id="q1"{app_id}>{inside}</ccq-message>'
    return initiator.post(DOCUMENT.format(operation=operation).encode(), "application/xml")


def profile_in(answer: PapAnswer) -> bytes:
    """The RDF that came with a ccq-response."""
    boundary = re.match(rb"--([^\r\n]+)\r\n", answer.raw_xml)
    assert boundary is not None, answer.raw_xml
    submission = read(f'multipart/related; boundary="{boundary[1].decode()}"', answer.raw_xml)
    assert isinstance(submission.document.operation, pap.CcqResponse)
    assert submission.document.operation.code == "1000"
    assert submission.capabilities is not None
    return submission.capabilities.body


def test_a_query_is_answered_with_the_devices_own_document(
    front: Stack, initiator: PushInitiator, aor: str
) -> None:
    document = write(KNOWN) + b"<!-- as it came -->"
    remember_profile(front, document)
    learn(front, aor, profile_url=URL)

    assert profile_in(ask(initiator, aor)) == document


def test_without_a_document_what_is_known_is_written_as_one(
    front: Stack, initiator: PushInitiator, aor: str
) -> None:
    learn(front, aor, types=("text/plain",), largest_bytes=9)

    assert read_profile(profile_in(ask(initiator, aor))) == PushCharacteristics(
        types=("text/plain",), largest_bytes=9
    )


def test_a_query_for_an_application_that_no_device_has_is_3008(
    front: Stack, initiator: PushInitiator, aor: str
) -> None:
    learn(front, aor, types=("text/plain",), applications=("x-wap-application:mms.ua",))

    assert profile_in(ask(initiator, aor, app="x-wap-application:mms.ua"))
    assert ask(initiator, aor, app="x-oma-application:ulp.ua").code == "3008"


def test_queries_that_cannot_be_answered_say_why(front: Stack, initiator: PushInitiator, aor: str) -> None:
    assert ask(initiator, aor).code == "2003"
    assert ask(initiator, "WAPPUSH=192.0.2.7/TYPE=IPv4@ppg.home1.example").code == "2002"
    assert ask(initiator, aor, "sip:b@home1.example").code == "3005"
    with PushInitiator(front.http, "narrow", PASSWORD) as narrow:
        assert ask(narrow, "sip:somebody@elsewhere.example").code == "2001"


def push(
    initiator: PushInitiator, push_id: str, to: list[str], rdf: bytes, *, kind: str = "text/plain"
) -> PapAnswer:
    addresses = "".join(f'<address address-value="{one}"/>' for one in to)
    control = DOCUMENT.format(operation=f'<push-message push-id="{push_id}">{addresses}</push-message>')
    parts = (("application/xml", control.encode()), (kind, b"hello"), ("application/xml", rdf))
    body = b"".join(b"--b1\r\nContent-Type: %s\r\n\r\n%s\r\n" % (kind.encode(), text) for kind, text in parts)
    return initiator.post(body + b"--b1--\r\n", 'multipart/related; boundary=b1; type="application/xml"')


def test_a_push_whose_capabilities_fit_is_taken(
    front: Stack, initiator: PushInitiator, core: SipPeer, push_id: str, aor: str
) -> None:
    learn(front, aor, types=("text/plain",), largest_bytes=500)

    assert push(initiator, push_id, [aor], write(PushCharacteristics(types=("text/plain",)))).code == "1001"
    core.wait_for_push(aor)


@pytest.mark.parametrize(
    ("assumed", "kind", "code"),
    [
        (PushCharacteristics(types=("text/plain", "image/png")), "text/plain", "2005"),
        (PushCharacteristics(largest_bytes=501), "text/plain", "2005"),
        (PushCharacteristics(), "image/png", "2006"),
    ],
)
def test_a_push_that_does_not_fit_is_refused_and_not_sent(
    front: Stack,
    initiator: PushInitiator,
    core: SipPeer,
    push_id: str,
    aor: str,
    assumed: PushCharacteristics,
    kind: str,
    code: str,
) -> None:
    learn(front, aor, types=("text/plain",), largest_bytes=500)

    assert push(initiator, push_id, [aor], write(assumed), kind=kind).code == code
    assert core.pushes(aor) == []


def test_of_several_recipients_those_that_fit_get_it(
    front: Stack, initiator: PushInitiator, core: SipPeer, push_id: str, aor: str
) -> None:
    learn(front, aor, types=("image/png",))
    other = aor.replace("cap", "other")

    answer = push(initiator, push_id, [aor, other], write(PushCharacteristics(types=("text/plain",))))

    assert answer.code == "1001"
    core.wait_for_push(other)
    assert core.pushes(aor) == []
    assert b'code="2005"' in initiator.status(push_id, aor).raw_xml


def test_capabilities_that_cannot_be_read_are_2000(initiator: PushInitiator, push_id: str, aor: str) -> None:
    assert push(initiator, push_id, [aor], b"<rdf/>").code == "2000"
