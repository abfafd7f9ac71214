"""A third-party REGISTER read into a report, and the headers of its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.push.registrar import ThirdPartyRegister, answer_headers, read_report
from omapush.push.registration import LARGEST_EXPIRY_S

pytestmark = pytest.mark.req("PSA-REG-1")

REQUEST = ThirdPartyRegister(
    to="sip:alice@home1.example",
    from_uri="sip:s-cscf.example:6060",
    contact="<sip:contact.example:6060>",
    expires="720",
    path="<sip:p.example;lr>",
    associated="<sip:alice@home1.example>, <tel:+1555>",
    charging_vector='icid-value="1";orig-ioi="Type 3v.example"',
    charging_functions="ccf=192.0.2.1",
    content_type="",
    body=b"",
)


def test_headers_become_the_report() -> None:
    report = read_report(REQUEST, 5)

    assert (report.aor, report.expires_s, report.at_ms) == ("sip:alice@home1.example", 720, 5)
    assert (report.s_cscf, report.path) == ("sip:contact.example:6060", "<sip:p.example;lr>")
    assert report.associated == ("sip:alice@home1.example", "tel:+1555")
    assert (report.contacts, report.problems) == ((), ())


@pytest.mark.parametrize("contact", ["", "*", "<sip:broken", ","])
def test_without_a_readable_contact_from_names_the_s_cscf(contact: str) -> None:
    assert read_report(REQUEST._replace(contact=contact), 5).s_cscf == "sip:s-cscf.example:6060"


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:first.example>, <sip:second.example>",
        '"unclosed <sip:first.example>',
        "S-CSCF @ home <sip:first.example>;expires=9",
        "<sip:broken, <sip:first.example>",
        "<tel:+1555>, <sip:first.example>",
    ],
)
def test_the_first_readable_contact_names_the_s_cscf(contact: str) -> None:
    assert read_report(REQUEST._replace(contact=contact), 5).s_cscf == "sip:first.example"


@pytest.mark.parametrize(
    ("value", "answered", "stored"),
    [
        ("", "0", 0),
        (" 7 ", "7", 7),
        ("0", "0", 0),
        ("007", "007", 7),
        ("4294967295", "4294967295", LARGEST_EXPIRY_S),
        ("99999999999999", "99999999999999", LARGEST_EXPIRY_S),
    ],
)
def test_expires_is_answered_digit_by_digit_and_bounded_where_it_is_kept(
    value: str, answered: str, stored: int
) -> None:
    request = REQUEST._replace(expires=value)

    assert read_report(request, 5).expires_s == stored
    assert dict(answer_headers(request, "home1.example"))["Expires"] == answered


def test_without_an_expires_header_the_parameter_of_contact_counts() -> None:
    request = REQUEST._replace(expires="", contact="<sip:contact.example>;expires=77")

    assert read_report(request, 5).expires_s == 77
    assert dict(answer_headers(request, "home1.example"))["Expires"] == "77"
    assert read_report(request._replace(expires="8"), 5).expires_s == 8
    assert read_report(request._replace(contact="<sip:contact.example>;expires=soon"), 5).expires_s == 0


@pytest.mark.parametrize("value", ["soon", "-1", "1 2", "1.5", "9" * 33, "٣"])
def test_a_malformed_expires_is_the_peers_fault(value: str) -> None:
    with pytest.raises(MalformedSip, match="Expires"):
        read_report(REQUEST._replace(expires=value), 5)


def test_the_answer_has_our_operator_and_never_a_made_up_vector() -> None:
    vector = dict(answer_headers(REQUEST, "home1.example"))["P-Charging-Vector"]
    assert 'icid-value="1"' in vector
    assert "home1.example" in vector.partition("term-ioi=")[2]

    assert [name for name, _ in answer_headers(REQUEST._replace(charging_vector=""), "h")] == ["Expires"]


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.binary(), st.text())
def test_any_words_of_a_peer_make_a_report_or_the_typed_error(
    to: str, contact: str, expires: str, associated: str, content_type: str, body: bytes, vector: str
) -> None:
    request = REQUEST._replace(
        to=to,
        contact=contact,
        expires=expires,
        associated=associated,
        content_type=content_type,
        body=body,
        charging_vector=vector,
    )
    try:
        report = read_report(request, 5)
        headers = answer_headers(request, "home1.example")
    except MalformedSip:
        return
    assert report.aor
    assert all("\r" not in value and "\n" not in value for _, value in headers)


@pytest.mark.parametrize(
    "content_type", ["message/sip", "multipart/mixed;boundary=b", "application/3gpp-ims+xml"]
)
@given(body=st.binary(max_size=300))
def test_any_body_makes_a_report(content_type: str, body: bytes) -> None:
    report = read_report(REQUEST._replace(content_type=content_type, body=body), 5)

    assert report.expires_s == 720
