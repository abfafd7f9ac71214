"""The usual REGISTER read at a glance: as the general parser reads it, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omapush.protocol.sip_message import SipMessage
from omapush.protocol.third_party_register import ThirdPartyBodies, embedded_contacts, read_bodies
from omapush.protocol.usual_register import LONGEST, usual_contact

pytestmark = pytest.mark.req("PSA-REG-1")

CORPORA = Path(__file__).parents[2] / "corpora"
VALID = sorted((CORPORA / "valid/sip").glob("*.sip"))
DEVICE = (
    '<sip:alice@192.0.2.9>;+g.oma.pusheventapp="mms.ua,ulp.ua";+sip.instance="<urn:uuid:1>";+g.3gpp.smsip'
)
USUAL = (
    "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1",
    "From: <sip:alice@home1.example>;tag=1",
    "Call-ID: 1@192.0.2.9",
    "CSeq: 1 REGISTER",
    f"Contact: {DEVICE}",
    "Authorization: Digest username=alice",
    "Expires: 3600",
    "Content-Length: 0",
)


def register(*lines: str, end: str = "\r\n") -> bytes:
    return "\r\n".join(("REGISTER sip:home1.example SIP/2.0", *lines, end)).encode()


def with_contact(value: str) -> bytes:
    return register(*USUAL[:4], f"Contact: {value}", *USUAL[5:])


def is_as_the_general_parser_has_it(body: bytes) -> bool:
    """Whether it is read at all; what is read must be all there is to be told of the body."""
    contact = usual_contact(body)
    if contact is None:
        return False
    bodies = read_bodies("message/sip", body)
    assert embedded_contacts(bodies) == (contact,)
    rest = ThirdPartyBodies(bodies.request, asked=bodies.asked)
    assert bodies == rest, "a problem, a response or a wildcard"
    return True


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_recorded_bodies_are_read_alike_wherever_they_are_cut(path: Path) -> None:
    body = SipMessage.parse(path.read_bytes()).body
    for end in range(len(body) + 1):
        is_as_the_general_parser_has_it(body[:end])


@pytest.mark.parametrize(
    "name",
    [
        "first-registration-with-the-ue-register",
        "reregistration",
        "deregistration-by-the-ue",
        "ue-register-with-digest-credentials",
        "expires-0-while-another-contact-stays",
    ],
)
def test_what_a_real_s_cscf_sends_is_usual(name: str) -> None:
    message = SipMessage.parse((CORPORA / f"valid/sip/{name}.sip").read_bytes())

    assert is_as_the_general_parser_has_it(message.body)


@pytest.mark.parametrize(
    "body",
    [
        register(*USUAL),
        register(*USUAL, end=""),
        register(*reversed(USUAL)),
        register(*USUAL[:6]),
        register("Expires: 5", *USUAL),
        register("Event: x", "Supported:", *USUAL),
        with_contact("<sip:a@h>"),
        with_contact("<sip:a@h>  "),
        with_contact("<sips:a@h>;expires=7;q=0.5"),
        with_contact('<sip:a@h>;+sip.instance="<>"'),
        with_contact('<sip:a@h>;+sip.instance="<<urn:x>>"'),
        with_contact("<sip:a@h>;+sip.instance=<urn:x>"),
        with_contact('<sip:a@h>;pub-gruu="sip:a@h;gr=x";expires=soon'),
        with_contact('<sip:a@h>;audio;+audio;methods="MESSAGE,INVITE";+sip.instance="<urn:x>";q=7'),
    ],
)
def test_a_contact_that_nothing_speaks_against_is_read(body: bytes) -> None:
    assert is_as_the_general_parser_has_it(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n" + register(*USUAL),
        register(*USUAL).replace(b"\r\n", b"\n"),
        register(*USUAL).replace(b"REGISTER sip", b"MESSAGE sip"),
        register(*USUAL, end="\r\n\r\nmore"),
        register(*USUAL[:4]),
        register(*USUAL, f"Contact: {DEVICE}"),
        register(*USUAL, "CONTACT: <sip:b@h>"),
        register(*USUAL, "m: <sip:b@h>"),
        register(*USUAL, " folded"),
        register(*USUAL, "No colon"),
        register(*USUAL, "", "Contact: <sip:b@h>"),
        register(*USUAL[:6], "Expires: soon"),
        register(*USUAL[:6], "EXPIRES: 5"),
        register(*USUAL[:6], "Expires: 4294967296"),
        register(*USUAL, "Subject: caf\u00e9"),
        register(*USUAL, "Subject: a\rb"),
        register(*USUAL, "Subject: a\0b"),
        register(*USUAL, "Subject: a\tb"),
        register(*USUAL, "Subject: " + "x" * LONGEST),
        register(*USUAL).replace(b"sip:home1", b"sip:\r\nVia:home1"),
        with_contact("<sip:a@\r\nVia: h>"),
        with_contact("*"),
        with_contact("<sip:a@h>, <sip:b@h>"),
        with_contact('"A" <sip:a@h>'),
        with_contact("<tel:+1555>"),
        with_contact("<sip:a@h>;"),
        with_contact('<sip:a@h>;x="open'),
        with_contact('<sip:a@h>;+sip.instance="<urn:x>";+sip.instance="<urn:y>"'),
        with_contact('<sip:a@h>;+SIP.instance="<urn:x>";+sip.instance="<urn:y>"'),
        with_contact('<sip:a@h>;+sip.instance="<urn:\\">;q=1;x="<y>"'),
        with_contact('<sip:a@h>;x="a;+sip.instance="<urn:x>"'),
    ],
)
def test_what_is_unusual_is_left_to_the_general_parser(body: bytes) -> None:
    assert usual_contact(body) is None


PIECES = st.sampled_from(
    [
        *(";", "=", '"', "<", ">", ",", "\\", " ", "\t", "\r\n", "\r\n ", "*", ":", "x", "7", "\0", "\u00e9"),
        *("Contact: ", "Expires: ", "m: ", "contact:", "CSeq: ", "Cc: ", "Event: ", "Ee: "),
        *(';+sip.instance="<', '>"', "urn:x", ";expires=", ";q=0.5", ";+g.oma.pusheventapp=", '"mms.ua"'),
        *("<sip:a@h>", "<sips:b@h;p>", ";audio", ";+audio", ";pub-gruu=", '"sip:a@h;gr"'),
    ]
)
NOISE = st.lists(PIECES, max_size=12).map("".join)


@example('<sip:a@h>;x="\\;+sip.instance="<urn:x>"')
@example('<sip:a@h>;x="\\";+sip.instance="<urn:x>"')
@example('<sip:a@h>;+sip.instance="<urn:x>";x="\\";+sip.instance="<urn:x>"')
@given(NOISE)
def test_any_contact_is_read_alike_or_left_alone(value: str) -> None:
    is_as_the_general_parser_has_it(with_contact(value))
    is_as_the_general_parser_has_it(with_contact(f"<sip:a@h>{value}"))
    is_as_the_general_parser_has_it(with_contact(f'<sip:a@h>;+sip.instance="<{value}>"'))


@given(st.lists(st.sampled_from(USUAL) | NOISE, max_size=14), st.sampled_from(["", "\r\n", "\r\n\r\n", "x"]))
def test_any_message_is_read_alike_or_left_alone(lines: list[str], end: str) -> None:
    is_as_the_general_parser_has_it(register(*lines, end=end))


@given(st.lists(st.text("0123456789abcdef-:.<>;=", max_size=40), min_size=2, max_size=3))
def test_devices_of_one_model_are_told_apart(instances: list[str]) -> None:
    for instance in instances:
        value = f'<sip:a@h>;audio;+sip.instance="<{instance}>";+g.3gpp.smsip'
        contact = usual_contact(with_contact(value))
        assert contact is not None
        assert contact.instance == instance
        assert is_as_the_general_parser_has_it(with_contact(value))
