"""Bodies of third-party REGISTERs: recorded ones, standard ones and broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.name_addr import associated_uris
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.third_party_register import (
    MOST_PROBLEMS,
    EmbeddedContact,
    ThirdPartyBodies,
    embedded_contacts,
    listing,
    read_bodies,
)

CORPORA = Path(__file__).parents[2] / "corpora"
VALID = sorted((CORPORA / "valid/sip").glob("*.sip"))
INVALID = sorted((CORPORA / "invalid/sip").glob("*.sip"))
INSTANCE = "urn:uuid:00000000-0000-1000-8000-000000000001"
XML = "application/3gpp-ims+xml"


def recorded(name: str) -> SipMessage:
    return SipMessage.parse((CORPORA / "valid/sip" / f"{name}.sip").read_bytes())


def bodies_of(name: str) -> ThirdPartyBodies:
    message = recorded(name)
    return read_bodies(message.first("content-type") or "", message.body)


def register(*lines: str) -> bytes:
    return "\r\n".join(["REGISTER sip:home1.example SIP/2.0", *lines, "", ""]).encode()


def ok(*lines: str) -> bytes:
    return "\r\n".join(["SIP/2.0 200 OK", *lines, "", ""]).encode()


def multipart_of(*messages: bytes) -> ThirdPartyBodies:
    parts = b"".join(b"--m1\r\nContent-Type: message/sip\r\n\r\n" + each + b"\r\n" for each in messages)
    return read_bodies('multipart/mixed;boundary="m1"', parts + b"--m1--")


def contacts_of(*lines: str) -> tuple[EmbeddedContact, ...]:
    return embedded_contacts(read_bodies("message/sip", register(*lines)))


def service_info(text: str) -> bytes:
    return f'<ims-3gpp version="1"><service-info>{text}</service-info></ims-3gpp>'.encode()


@pytest.mark.req("PSA-REG-1")
def test_the_embedded_register_is_where_push_applications_are_seen() -> None:
    bodies = bodies_of("first-registration-with-the-ue-register")

    assert bodies.request is not None
    assert (bodies.problems, bodies.response, bodies.service_info) == ((), None, None)
    assert embedded_contacts(bodies) == (
        EmbeddedContact(
            uri="sip:alice@127.0.50.1:5229",
            expires=3600,
            instance=INSTANCE,
            applications=("mms.ua",),
            feature_params=(
                ("+g.oma.pusheventapp", "mms.ua"),
                ("+g.3gpp.smsip", None),
                ("+sip.instance", f"<{INSTANCE}>"),
            ),
            pub_gruu=None,
            q=None,
        ),
    )


@pytest.mark.parametrize(
    ("name", "expires"),
    [
        ("reregistration", 1800),
        ("deregistration-by-the-ue", 0),
        ("registration-of-three-seconds", 3),
        ("implicit-set-in-one-pair-of-brackets", 3600),
        ("expires-0-while-another-contact-stays", 0),
        ("hand-written-folded-and-compact", 60),
        ("hand-written-multipart-of-all-three", 600_000),
    ],
)
def test_the_expiry_is_the_contacts_and_not_that_of_the_request_around_it(name: str, expires: int) -> None:
    assert [expires] == [contact.expires for contact in embedded_contacts(bodies_of(name))]


def test_a_made_up_200_says_nothing_about_contacts() -> None:
    bodies = bodies_of("made-up-200-without-contact")

    assert bodies.response is not None
    assert bodies.response.status == 200
    assert (bodies.problems, embedded_contacts(bodies), bodies.wildcard) == ((), (), False)


def test_service_info_may_be_all_there_is() -> None:
    assert ThirdPartyBodies(service_info="mmsc=1") == bodies_of("service-info-only")


def test_credentials_of_the_ue_do_not_survive() -> None:
    assert b"\r\nAuthorization: Digest" in recorded("ue-register-with-digest-credentials").body

    bodies = bodies_of("ue-register-with-digest-credentials")

    assert bodies.request is not None
    assert bodies.request.first("authorization") is None
    assert "Digest" not in repr(bodies)
    assert len(embedded_contacts(bodies)) == 1


@pytest.mark.parametrize(
    "line", ["PROXY-authorization: Digest secret", "Authorization :\r\n Digest\r\n secret"]
)
def test_no_spelling_of_credentials_survives_in_either_message(line: str) -> None:
    assert "secret" not in repr(multipart_of(register(line), ok(line)))


def test_a_broken_line_of_credentials_does_not_reach_the_log() -> None:
    (problem,) = read_bodies("message/sip", register("Authorization Digest secret")).problems

    assert "secret" not in problem


def test_a_multipart_carries_all_three_in_any_order() -> None:
    bodies = bodies_of("hand-written-multipart-of-all-three")

    assert bodies.request is not None
    assert bodies.response is not None
    assert (bodies.service_info, bodies.problems) == ("push=gold", ())
    (contact,) = embedded_contacts(bodies)
    assert contact.applications == ("ulp.ua", "mms.ua")
    assert contact.pub_gruu == "sip:alice@home1.example;gr=urn:uuid:00000000-0000-1000-8000-aabbccddeeff"


def test_a_multipart_inside_a_multipart_is_read_but_none_inside_that() -> None:
    part = b"Content-Type: message/sip\r\n\r\n" + register("X: y")
    for depth, is_read in ((1, True), (2, True), (3, False)):
        body = part
        for level in range(depth):
            mark = b"m%d" % level
            outer = b"Content-Type: multipart/mixed;boundary=" + mark + b"\r\n\r\n"
            body = outer + b"--" + mark + b"\r\n" + body + b"\r\n--" + mark + b"--"
        content_type = f"multipart/mixed;boundary=m{depth - 1}"
        bodies = read_bodies(content_type, body.partition(b"\r\n\r\n")[2])
        assert (bodies.request is not None, not bodies.problems) == (is_read, is_read), depth


def test_odd_spelling_changes_nothing() -> None:
    (contact,) = embedded_contacts(bodies_of("hand-written-folded-and-compact"))

    assert contact.uri == "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@192.0.2.9"
    assert contact.applications == ("mms.ua", "ulp.ua")


def test_no_body_is_no_problem() -> None:
    assert ThirdPartyBodies() == read_bodies("", b"") == read_bodies("message/sip", b"")


def test_the_malformed_p_associated_uri_of_a_recorded_register_is_read() -> None:
    value = recorded("implicit-set-in-one-pair-of-brackets").first("p-associated-uri")

    assert associated_uris(value or "") == ("sip:bob@ims.lab", "tel:+15550102")


def test_a_third_party_register_inside_the_body_is_a_request_like_any_other() -> None:
    inner = recorded("first-registration-with-the-ue-register")
    data = (CORPORA / "valid/sip/first-registration-with-the-ue-register.sip").read_bytes()

    bodies = read_bodies("message/sip", data)

    assert bodies.request == inner
    assert [contact.uri for contact in embedded_contacts(bodies)] == ["sip:127.0.50.1:6060"]


def test_the_contacts_own_expiry_goes_before_the_expires_header() -> None:
    contacts = contacts_of(
        "Expires: 60", "Contact: <sip:a@h>;expires=30, <sip:b@h>", "m: <sip:c@h>;expires=soon"
    )

    assert [contact.expires for contact in contacts] == [30, 60, 60]


def test_an_expiry_that_nobody_said_is_none() -> None:
    assert [contact.expires for contact in contacts_of("Contact: <sip:a@h>")] == [None]


@pytest.mark.parametrize(
    ("written", "read"), [("4294967295", 4294967295), ("99999999999", 4294967295), ("-1", None)]
)
def test_an_expiry_fits_the_number_that_rfc_3261_gives_it(written: str, read: int | None) -> None:
    assert [read] == [contact.expires for contact in contacts_of("Contact: <sip:a@h>", f"Expires: {written}")]


@pytest.mark.parametrize(
    ("q", "read"),
    [("0.5", 0.5), ("1", 1.0), ("1.000", 1.0), ("0", 0.0), ("1.5", None), ("nan", None), ("\u0661", None)],
)
def test_a_q_value_lies_between_0_and_1(q: str, read: float | None) -> None:
    assert [read] == [contact.q for contact in contacts_of(f"Contact: <sip:a@h>;q={q}")]


def test_a_wildcard_is_a_flag_and_no_contact() -> None:
    bodies = read_bodies("message/sip", register("Contact: *", "Expires: 0"))

    assert bodies.wildcard
    assert (embedded_contacts(bodies), bodies.problems) == ((), ())


def test_the_200_wins_for_expiry_and_gruu_and_the_register_for_features() -> None:
    bodies = multipart_of(
        register(
            'Contact: <sip:a@h.example>;expires=900;q=0.1;+g.oma.pusheventapp="mms.ua"', "Expires: 1000"
        ),
        ok(
            "Contact: <sip:a@H.EXAMPLE>"
            ';expires=300;q=0.2;+sip.instance="<urn:x>";pub-gruu="sip:a@h.example;gr=x"'
        ),
    )

    assert embedded_contacts(bodies) == (
        EmbeddedContact(
            uri="sip:a@h.example",
            expires=300,
            instance="urn:x",
            applications=("mms.ua",),
            feature_params=(("+g.oma.pusheventapp", "mms.ua"),),
            pub_gruu="sip:a@h.example;gr=x",
            q=0.2,
        ),
    )


def test_contacts_that_only_one_of_the_messages_names_are_reported_too() -> None:
    bodies = multipart_of(
        register("Contact: <sip:gone@h>;expires=0", "Expires: 1000"),
        ok('Contact: <sip:other@h>;+g.oma.pusheventapp="ulp.ua"', "Expires: 70"),
    )

    assert [
        (contact.uri, contact.expires, contact.applications, contact.echoed)
        for contact in embedded_contacts(bodies)
    ] == [("sip:gone@h", 0, (), False), ("sip:other@h", 70, ("ulp.ua",), True)]


TO = "To: <sip:alice@home1.example>;tag=r"
MINE = 'Contact: <sip:a@192.0.2.1>;+sip.instance="<urn:uuid:1>"'
OTHERS = 'Contact: <sip:b@192.0.2.1>;+sip.instance="<urn:uuid:2>"'


@pytest.mark.parametrize(
    ("asked", "granted", "found"),
    [
        ([MINE], [TO, MINE], "all"),
        ([MINE], [TO, MINE, OTHERS], "others"),
        ([MINE], ["t: Alice <SIP:alice@HOME1.example>", MINE, OTHERS], "others"),
        (["Contact: <sip:a@192.0.2.1>;expires=0"], [TO, "Contact: <sip:b@192.0.2.2>"], "others"),
        ([MINE], [TO], ""),
        ([MINE], [TO, MINE, OTHERS + ";expires=0"], ""),
        ([MINE], [TO, MINE, OTHERS, "Contact: <<"], ""),
        ([MINE], ["To: <sip:bob@home1.example>", MINE, OTHERS], ""),
        ([MINE], ["To: nobody", MINE, OTHERS], ""),
        # another address of the same device: no proof that there are others'
        ([MINE], [TO, MINE, MINE.replace("192.0.2.1", "192.0.2.7")], "all"),
        ([MINE], [TO, MINE, "Contact: <sip:a@192.0.2.1:5062>"], "all"),
        ([MINE], [TO, *[f"Contact: <sip:{n}@192.0.2.{n}>" for n in range(33)]], ""),
    ],
)
def test_a_200_lists_all_bindings_only_where_it_shows_that_it_does(
    asked: list[str], granted: list[str], found: str
) -> None:
    """RFC 3261 10.3; some S-CSCFs make a 200 up of what was asked for."""
    bodies = multipart_of(register(*asked), ok(*granted))

    assert listing(bodies, ("sip:alice@home1.example", "tel:+1555")) == found


def test_without_the_200_there_is_no_list_and_without_the_register_two_devices_are_one() -> None:
    identities = ("sip:alice@home1.example",)
    assert listing(multipart_of(register(MINE, OTHERS)), identities) == ""
    assert listing(multipart_of(ok(TO, MINE)), identities) == "all"
    assert listing(multipart_of(ok(TO, MINE, OTHERS)), identities) == "others"
    assert not any(one.echoed for one in embedded_contacts(multipart_of(ok(TO, MINE, OTHERS))))


def test_the_case_of_the_user_part_tells_contacts_apart() -> None:
    bodies = multipart_of(register("Contact: <sip:a@h>;expires=9"), ok("Contact: <sip:A@h>;expires=5"))

    assert [(each.uri, each.expires) for each in embedded_contacts(bodies)] == [
        ("sip:a@h", 9),
        ("sip:A@h", 5),
    ]


@pytest.mark.parametrize("gruu", ["x", "sip:a@h;gr=x> evil", "http://h/"])
def test_a_gruu_that_no_request_could_go_to_is_left_out(gruu: str) -> None:
    assert [contact.pub_gruu for contact in contacts_of(f'Contact: <sip:a@h>;pub-gruu="{gruu}"')] == [None]


def test_one_unreadable_contact_does_not_hide_the_others() -> None:
    bodies = read_bodies("message/sip", register("Contact: <sip:a@h>, nonsense, <sip:b@h>", 'Contact: "open'))

    assert [contact.uri for contact in embedded_contacts(bodies)] == ["sip:a@h", "sip:b@h"]
    assert bodies.problems == ("Contact: no address: nonsense", 'Contact: quote or bracket not closed: "open')


def test_contacts_and_problems_are_bounded() -> None:
    many = read_bodies("message/sip", register("Contact: " + ",".join(f"<sip:{n}@h>" for n in range(33))))
    bad = read_bodies("message/sip", register("Contact: " + "," * 200))

    assert len(embedded_contacts(many)) == 32
    assert many.problems == ("Contact: more than 32, the rest is left out",)
    assert len(bad.problems) == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("content_type", "body", "problem"),
    [
        ("", b"x", "Content-Type: none is not expected here"),
        ("text/plain", b"x", "Content-Type: text/plain is not expected here"),
        ("message/sip", b"x", "message/sip: ends in the middle of a line"),
        ("message/sip", b"MESSAGE sip:h SIP/2.0\r\n\r\n", "message/sip: MESSAGE where a REGISTER belongs"),
        ("message/sip", b"SIP/2.0 401 No\r\n\r\n", "message/sip: status 401 where a 200 belongs"),
        ("message/sip", b"x" * 65_537, "message/sip: longer than 65536 bytes"),
        ("multipart/mixed", b"--x", "Content-Type;boundary: missing"),
        (XML, b"", None),
        (XML, b"nothing", "ims-3gpp: not well-formed, and no service-info to be found"),
        (XML, b"\xff\xfe<", "ims-3gpp: not UTF-8"),
        (XML, b"<html/>", "ims-3gpp: the document is html"),
        (XML, b'<x:ims-3gpp xmlns:x="urn:x"/>', "ims-3gpp: the document is {urn:x}ims-3gpp"),
        (XML, b"<ims-3gpp>" + b" " * 16_384, "ims-3gpp: longer than 16384 bytes"),
        (XML, b"<ims-3gpp><service-info>open", "ims-3gpp: not well-formed, and no service-info to be found"),
    ],
)
def test_what_cannot_be_read_is_told_and_harms_nothing(
    content_type: str, body: bytes, problem: str | None
) -> None:
    assert ThirdPartyBodies(problems=(problem,) if problem else ()) == read_bodies(content_type, body)


def test_a_second_request_and_an_unknown_part_do_not_hide_the_first() -> None:
    bodies = multipart_of(register("Contact: <sip:a@h>"), register("Contact: <sip:b@h>"), b"")

    assert [contact.uri for contact in embedded_contacts(bodies)] == ["sip:a@h"]
    assert len(bodies.problems) == 2
    assert bodies.problems[0] == "message/sip: more than one request"


@pytest.mark.parametrize("content_type", [f'{XML};sv="1"', XML.upper(), f" {XML} ; schemaversion=1"])
def test_parameters_and_case_of_the_media_type_do_not_matter(content_type: str) -> None:
    assert read_bodies(content_type, service_info("push=gold")).service_info == "push=gold"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a&amp;b &lt;c&gt; &#65;", "a&b <c> A"),
        ("<![CDATA[a<b]]>", "a<b"),
        ("a<b & c", "a<b & c"),
        ("a & b &amp; c", "a & b &amp; c"),
        ("<push><level>gold</level></push>", "<push><level>gold</level></push>"),
        ("&unknown;", "&unknown;"),
        ("a</service-info>b & c", "a</service-info>b & c"),
        ("", ""),
        ("a<!-- no -->b", "ab"),
    ],
)
def test_service_info_is_recovered_when_nobody_escaped_it(written: str, read: str) -> None:
    assert ThirdPartyBodies(service_info=read) == read_bodies(XML, service_info(written))


@pytest.mark.parametrize(
    "declaration", ["<?xml version='1.0'?>\n", '<?xml version="1.0" encoding="UTF-8"?>', "\ufeff"]
)
def test_an_xml_declaration_may_come_first(declaration: str) -> None:
    for text in ("é", "é & x"):
        body = declaration.encode() + service_info(text) + b"\r\n"
        assert read_bodies(XML, body).service_info == text


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE ims-3gpp [<!ENTITY a "aaaa">]>',
        '<!DOCTYPE ims-3gpp SYSTEM "http://127.0.0.1/x.dtd">',
        '<?xml version="1.0"?><!doctype x>',
    ],
)
def test_a_document_type_is_refused(head: str) -> None:
    bodies = read_bodies(XML, head.encode() + service_info("&a;"))

    assert ThirdPartyBodies(problems=("ims-3gpp: a document type is not allowed",)) == bodies


def test_the_other_choice_of_the_schema_is_no_service_info() -> None:
    body = b"<ims-3gpp><alternative-service><type/><reason>x</reason></alternative-service></ims-3gpp>"

    assert ThirdPartyBodies() == read_bodies(XML, body)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_embedded_message_is_one_problem(path: Path) -> None:
    bodies = read_bodies("message/sip", path.read_bytes())

    assert (bodies.request, bodies.response, len(bodies.problems)) == (None, None, 1)
    assert "alice" not in bodies.problems[0]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_body_cut_anywhere_raises_nothing_and_invents_nothing(path: Path) -> None:
    message = SipMessage.parse(path.read_bytes())
    content_type = message.first("content-type") or ""
    known = {contact.uri for contact in embedded_contacts(read_bodies(content_type, message.body))}
    for end in range(len(message.body)):
        contacts = embedded_contacts(read_bodies(content_type, message.body[:end]))
        assert {contact.uri for contact in contacts} <= known


@given(
    st.sampled_from(
        ["message/sip", XML, "multipart/mixed;boundary=b", "multipart/mixed", "text/plain", "", "é;"]
    ),
    st.binary(max_size=60)
    | st.binary(max_size=60).map(lambda noise: register().strip() + b"\r\nm:" + noise + b"\r\n\r\n")
    | st.binary(max_size=60).map(
        lambda noise: b"<ims-3gpp><service-info>" + noise + b"</service-info></ims-3gpp>"
    )
    | st.binary(max_size=60).map(
        lambda noise: b"--b\r\nContent-Type: message/sip\r\n\r\n" + noise + b"\r\n--b--"
    ),
)
def test_nothing_that_a_network_can_send_raises(content_type: str, body: bytes) -> None:
    bodies = read_bodies(content_type, body)
    embedded_contacts(bodies)
    read = (bodies.request, bodies.response, bodies.service_info)
    assert bodies.problems or not body or any(part is not None for part in read) or b"ims-3gpp" in body


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=30))
def test_escaped_service_info_comes_back_as_it_was(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    bodies = read_bodies(XML, service_info(escaped))

    assert ThirdPartyBodies(service_info=text) == bodies
