"""Which MESSAGE is for a hosted application, and what its application is told (PRA-GEN-2, PRA-MSG-1..4)."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.config import Hosted, Routing
from omapush.push.hosted import Arrived, HostedPush, admit, application_of, is_originating
from omapush.push.inbound import Answer
from omapush.push.values import target

NOW_MS = 1_800_000_000_000
ALICE = "sip:alice@as.example"
ORDER = Routing().order
TABLES = {
    "mms.ua": Hosted(),
    "ulp.ua": Hosted(recipients=("sip:*@as.example",), request_uris=("sip:location@as.example",)),
    "typed.ua": Hosted(content_types=("text/plain",)),
}
ARRIVED = Arrived(
    request_uri=ALICE,
    asserted="<sip:psa@home1.example>",
    accept_contact="*;+g.oma.pusheventapp=mms.ua",
    content_type="text/plain",
    content_encoding="",
    expires="",
    date="",
    require="",
    push_id="",
    call_id="c@psa",
    cseq=10,
    from_tag="t",
    length=5,
    body=b"hello",
)
WRAPPED = b"Content-Type: image/png\r\nX-Wap-Content-URI: u\r\nX-Odd: 1\r\n\r\n\0png"


def given_to(uri: str, accept_contact: str) -> str:
    return application_of(uri, accept_contact, ORDER, TABLES)


def admitted(terms: Hosted | None = None, **values: object) -> HostedPush | Answer:
    arrived = ARRIVED._replace(**values)  # type: ignore[arg-type]
    if "body" in values and "length" not in values:
        arrived = arrived._replace(length=len(arrived.body))
    return admit(arrived, "mms.ua", terms or Hosted(), NOW_MS)


def pushed(terms: Hosted | None = None, **values: object) -> HostedPush:
    push = admitted(terms, **values)
    assert isinstance(push, HostedPush), push
    return push


def refused(terms: Hosted | None = None, **values: object) -> Answer:
    answer = admitted(terms, **values)
    assert isinstance(answer, Answer), answer
    return answer


@pytest.mark.req("PRA-GEN-2", "PRA-MSG-2")
@pytest.mark.parametrize(
    ("uri", "accept_contact", "application"),
    [
        (ALICE, '*;+g.oma.pusheventapp="mms.ua"', "mms.ua"),
        (ALICE, '*;+g.oma.pusheventapp="MMS.UA";require;explicit', "mms.ua"),
        (ALICE, '*;+g.oma.pusheventapp="x.ua,ulp.ua"', "ulp.ua"),
        (ALICE, '*;audio, *;+g.oma.pusheventapp="mms.ua"', "mms.ua"),
        ("sip:bob@home1.example", '*;+g.oma.pusheventapp="ulp.ua"', ""),
        ("tel:+15550100", '*;+g.oma.pusheventapp="mms.ua"', "mms.ua"),
        ("sip:location@AS.example;user=phone", "", "ulp.ua"),
        ("sip:location@as.example", "*;audio", "ulp.ua"),
        ("sip:location@as.example", '*;+g.oma.pusheventapp="x.ua"', ""),
        (ALICE, "", ""),
        (ALICE, '*;+g.oma.pusheventapp="!mms.ua"', ""),
        (ALICE, '*;+g.oma.pusheventapp="x.ua";require;explicit', ""),
        (ALICE, '*;"', ""),
        ("urn:service:sos", '*;+g.oma.pusheventapp="mms.ua"', ""),
        ("", '*;+g.oma.pusheventapp="mms.ua"', ""),
    ],
)
def test_the_feature_tag_or_an_identity_of_the_application_decides(
    uri: str, accept_contact: str, application: str
) -> None:
    assert given_to(uri, accept_contact) == application


def test_a_clue_that_routing_does_not_ask_decides_nothing() -> None:
    assert application_of("sip:location@as.example", "", ("accept-contact",), TABLES) == ""
    assert application_of(ALICE, ARRIVED.accept_contact, ("request-uri", "content-type"), TABLES) == ""


@given(st.text(max_size=60), st.text(max_size=60))
def test_matching_never_raises(uri: str, accept_contact: str) -> None:
    assert given_to(uri, accept_contact) in ("", *TABLES)
    assert given_to(ALICE, f'*;+g.oma.pusheventapp="{accept_contact}"') in ("", *TABLES)


@pytest.mark.parametrize(
    ("served", "originating"),
    [
        ("<sip:a@b>;sescase=orig;regstate=reg", True),
        ("<sip:a@b>;regstate=reg; SESCASE=ORIG", True),
        ("<sip:a@b>;sescase=term", False),
        ("<sip:a@b;sescase=orig>", False),
        ("", False),
    ],
)
def test_served_user_tells_whose_criteria_brought_it(served: str, originating: bool) -> None:
    assert is_originating(served) is originating


@pytest.mark.req("PRA-MSG-3", "PROP-CTRL-2")
def test_a_native_push_becomes_a_record_with_all_that_came() -> None:
    push = pushed(push_id="p.0", expires="60", fields=(("Priority", "urgent"), ("Subject", "")))

    assert (push.content, push.content_type, push.wrapped) == (b"hello", "text/plain", False)
    assert (push.application, push.sender, push.recipient) == ("mms.ua", "sip:psa@home1.example", ALICE)
    assert (push.push_id, push.fields, push.method) == ("p.0", (("priority", "urgent"),), "MESSAGE")
    assert (push.valid_until_ms, push.received_ms) == (NOW_MS + 60_000, NOW_MS)
    assert push.id.startswith(target(ALICE))
    assert len(push.id) == 32


@pytest.mark.req("PROP-CTRL-1", "PROP-CTRL-2")
@pytest.mark.parametrize(
    ("body", "coding"),
    [(WRAPPED, ""), (gzip.compress(WRAPPED, mtime=0), "gzip"), (gzip.compress(WRAPPED, mtime=0), "x-gzip")],
)
def test_a_wrapped_push_becomes_the_same_record(body: bytes, coding: str) -> None:
    push = pushed(body=body, content_type="application/vnd.oma.push", content_encoding=coding)

    assert (push.content, push.content_type, push.wrapped) == (b"\0png", "image/png", True)
    assert (push.content_uri, push.initiator_uri) == ("u", "")
    assert dict(push.fields)["x-odd"] == "1"
    assert "content-type" not in dict(push.fields)


def test_content_encoded_inside_the_wrapping_is_decoded_too() -> None:
    inner = b"Content-Type: text/x\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"inside", mtime=0)

    assert pushed(body=inner, content_type="application/vnd.oma.push").content == b"inside"


@pytest.mark.req("PRA-MSG-1")
@pytest.mark.parametrize(
    "asserted",
    [
        "",
        "nobody",
        "<mailto:a@b>",
        "<sip:a@b>, <sip:c@d>",
        "<sip:a@b>, <tel:+1>, <tel:+2>",
        '"open <sip:a@b>',
        "<sip:a@b>,",
    ],
)
def test_without_one_identity_that_the_core_asserts_it_is_403(asserted: str) -> None:
    assert refused(asserted=asserted).status == 403


@pytest.mark.parametrize(
    ("asserted", "sender"),
    [
        ("<sip:PSA@Home1.example;x=y>", "sip:PSA@Home1.example;x=y"),
        ("sip:psa@home1.example", "sip:psa@home1.example"),
        ("<sip:a@other.example>, <tel:+1-555>", "tel:+1-555"),
        ("<sip:a@other.example>", ""),
    ],
)
def test_the_whitelist_is_over_the_canonical_identity(asserted: str, sender: str) -> None:
    terms = Hosted(senders=("sip:*@home1.example", "tel:+1555"))
    answer = admitted(terms, asserted=asserted)

    assert answer.sender == sender if isinstance(answer, HostedPush) else (answer.status, sender) == (403, "")


@pytest.mark.req("PRA-MSG-4")
@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"content_type": "image/png"}, 415),
        ({"content_type": ""}, 400),
        ({"content_type": "nonsense"}, 400),
        ({"content_encoding": "br"}, 415),
        ({"content_encoding": "gzip"}, 400),
        ({"body": b"123456789"}, 413),
        ({"body": gzip.compress(b"x" * 100_000, mtime=0), "content_encoding": "gzip"}, 413),
        ({"length": 70_000}, 413),
        ({"require": "pref, foo"}, 420),
        ({"body": b"x", "content_type": "application/vnd.oma.push"}, 400),
        ({"expires": "60", "date": "Sat, 01 Jan 2000 00:00:00 GMT"}, 480),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_code_for_it(values: dict[str, object], status: int) -> None:
    terms = Hosted(content_types=("text/*",), max_bytes=8 if status in (413,) else 1_000)
    answer = refused(terms, **values)

    assert answer.status == status
    assert ("Accept" in dict(answer.headers)) == (values.get("content_type") == "image/png")


@pytest.mark.parametrize(
    ("expires", "date", "until"),
    [
        ("", "", 0),
        ("0", "", 0),
        ("soon", "", 0),
        ("60", "yesterday GMT", NOW_MS + 60_000),
        ("99999999999999999999", "", NOW_MS + 2**31 * 1000),
        ("600", "Fri, 15 Jan 2027 08:00:00 GMT", NOW_MS + 600_000),
    ],
)
def test_validity_is_date_and_expires(expires: str, date: str, until: int) -> None:
    assert pushed(expires=expires, date=date).valid_until_ms == until


@pytest.mark.req("PROP-CTRL-4")
def test_a_repeated_request_has_the_same_id_and_another_has_not() -> None:
    first = pushed()
    assert pushed(asserted="<sip:other@x>").id == first.id
    others = [
        pushed(call_id="d@psa"),
        pushed(cseq=11),
        pushed(from_tag="u"),
        pushed(request_uri="sip:bob@x"),
    ]
    assert len({first.id, *(one.id for one in others)}) == 5
    named = pushed(push_id="p")
    assert pushed(push_id="p", call_id="d@psa").seen_push == named.seen_push != pushed(push_id="q").seen_push
    assert pushed(push_id="p", asserted="<sip:other@x>").seen_push != named.seen_push
    assert first.seen_push == ""


@given(
    st.sampled_from(["text/plain", "application/vnd.oma.push", "a", "", 'a/b;c="d']),
    st.sampled_from(["", "gzip", "deflate", "gzip,gzip", "x"]),
    st.binary(max_size=200),
    st.text(max_size=30),
)
def test_whatever_comes_is_a_push_or_an_answer_fit_for_the_wire(
    content_type: str, coding: str, body: bytes, words: str
) -> None:
    answer = admitted(
        Hosted(),
        content_type=content_type,
        content_encoding=coding,
        body=body,
        push_id=words,
        fields=(("Subject", words),),
        asserted=f"<sip:psa@home1.example>;x={words}" if words else ARRIVED.asserted,
    )

    if isinstance(answer, HostedPush):
        assert len(answer.content) <= 65_536
        assert all(value.isprintable() for _, value in answer.fields)
    else:
        assert answer.status in (400, 403, 413, 415)
        assert all(value.isprintable() and value.isascii() for _, value in answer.headers)


@given(st.integers(0, len(WRAPPED)))
def test_a_wrapped_push_cut_anywhere_is_taken_or_refused(cut: int) -> None:
    answer = admitted(body=WRAPPED[:cut], content_type="application/vnd.oma.push")

    assert isinstance(answer, HostedPush) == (b"\r\n\r\n" in WRAPPED[:cut])
