"""SIP, SIPS and tel URIs, and the canonical form of a public identity."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol import sip_uri
from omapush.protocol.sip_uri import (
    LONGEST_URI,
    SipUri,
    address_of_record,
    as_request_uri,
    host_and_port,
    is_loose,
    loose,
    reached_at,
)

VALID = (
    "sip:alice@home1.example",
    "sips:alice@home1.example:5061;transport=tcp;lr",
    "sip:alice:secret@home1.example;maddr=192.0.2.1?Event=reg&Subject=a%20b",
    "sip:[2001:db8::9]:5066;transport=tcp",
    "sip:192.0.2.9",
    "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wd~_too.(doesn't-it)@example.com",
    "sip:user;par=u%40example.net@example.com",
    "sip:null-%00-null@example.com",
    "sip:+15550102;phone-context=home1.example@gw.home1.example;user=phone",
    "tel:+1-555-0102",
    "tel:7042;phone-context=home1.example",
)
URI_LIKE = st.text(alphabet="sipte:@;=?&%[].+-_*'()abz019AF <>\"\\,\x00é٣", max_size=40)


@pytest.mark.parametrize("text", VALID)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert text == str(SipUri.parse(text))


def test_a_uri_falls_into_its_parts() -> None:
    uri = SipUri.parse("SIP:alice@Home1.example:5061;LR;Transport=tcp?Event=reg")

    assert (uri.scheme, uri.user, uri.host, uri.port) == ("sip", "alice", "Home1.example", 5061)
    assert uri.params == (("lr", None), ("transport", "tcp"))
    assert uri.headers == "Event=reg"
    assert tuple(uri.param(name) for name in ("transport", "lr", "ttl")) == ("tcp", None, None)


def test_a_semicolon_before_the_at_sign_belongs_to_the_user() -> None:
    uri = SipUri.parse("sip:user;par=u%40example.net@example.com;lr")

    assert uri.user == "user;par=u%40example.net"
    assert uri.params == (("lr", None),)


def test_an_ipv6_address_keeps_its_brackets_and_loses_no_colon_to_the_port() -> None:
    uri = SipUri.parse("sip:alice@[2001:db8::9]:5066")

    assert (uri.host, uri.port) == ("[2001:db8::9]", 5066)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice@home1.example",
        "mailto:alice@home1.example",
        "sip:",
        "sip:@home1.example",
        "sip:alice@",
        "sip:alice@home1.example:",
        "sip:alice@home1.example:0",
        "sip:alice@home1.example:65536",
        "sip:alice@home1.example;",
        "sip:alice@home1.example;=tcp",
        "sip:alice@home1.example?",
        "sip:alice@home1.example ",
        "sip:alice@home1.example\r\nRoute: <sip:x>",
        "<sip:alice@home1.example>",
        "sip:al ice@home1.example",
        "sip:al%4@home1.example",
        "sip:alice@@home1.example",
        "sip:alice@home1..example",
        "sip:alice@[2001:db8::9",
        "sip:alice@[1::2::3]",
        "sip:alice@1.2.3",
        "sip:ali\u0663ce@home1.example",
        "sip:alice@home1.example:5\u0660",
        "tel:",
        "tel:call-me",
    ],
)
def test_what_is_not_a_uri_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(MalformedSip) as refused:
        SipUri.parse(text, "To")

    assert refused.value.field == "To"


def test_a_uri_longer_than_any_we_could_send_to_is_refused() -> None:
    longest = "sip:" + "a" * (LONGEST_URI - len("sip:@h.example")) + "@h.example"

    assert SipUri.parse(longest).host == "h.example"
    with pytest.raises(MalformedSip, match="longer than 1024"):
        SipUri.parse("sip:a" + longest[4:])


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("sip:alice@home1.example", "sip:alice@home1.example"),
        ("SIP:alice@HOME1.Example.", "sip:alice@home1.example"),
        ("sip:Alice@home1.example", "sip:Alice@home1.example"),
        ("sip:%61lice%7e@home1.example", "sip:alice~@home1.example"),
        ("sip:a%3blice%00@home1.example", "sip:a%3Blice%00@home1.example"),
        ("sip:alice:secret@home1.example", "sip:alice@home1.example"),
        ("sip:alice@home1.example:5060;transport=tcp?Event=reg", "sip:alice@home1.example:5060"),
        ("sip:+15550102@home1.example;user=phone", "sip:+15550102@home1.example"),
        ("sips:alice@home1.example", "sips:alice@home1.example"),
        ("sip:alice@[2001:DB8::9]", "sip:alice@[2001:db8::9]"),
        ("sip:alice@[2001:0db8:0:0::0009]:5061", "sip:alice@[2001:db8::9]:5061"),
        ("sip:[::ffff:192.0.2.9]", "sip:[::ffff:c000:209]"),
        ("sip:psa.home1.example", "sip:psa.home1.example"),
        ("TEL:+1-(555).01-02", "tel:+15550102"),
        ("tel:+15550102;ext=7", "tel:+15550102"),
        ("tel:70-42;phone-context=Home1.example", "tel:7042;phone-context=home1.example"),
    ],
)
def test_every_spelling_of_a_public_identity_gives_one_address_of_record(
    written: str, canonical: str
) -> None:
    assert canonical == address_of_record(written)
    assert canonical == address_of_record(canonical)


@pytest.mark.parametrize("text", ["tel:7042", "tel:+-", "tel:+15a", "http://home1.example", "*"])
def test_what_identifies_nobody_is_no_address_of_record(text: str) -> None:
    with pytest.raises(MalformedSip, match=r"^P-Asserted-Identity: "):
        address_of_record(text, "P-Asserted-Identity")


@given(URI_LIKE | URI_LIKE.map("sip:{}".format) | URI_LIKE.map("tel:+1{}".format) | st.text(max_size=20))
@example("sip:a%2525@b")
def test_any_text_gives_a_stable_identity_or_the_typed_error(text: str) -> None:
    try:
        canonical = address_of_record(text)
    except MalformedSip:
        return
    assert canonical == address_of_record(canonical)


@given(URI_LIKE.map("sip:{}".format))
def test_what_was_read_is_read_again_from_what_is_written(text: str) -> None:
    try:
        uri = SipUri.parse(text)
    except MalformedSip:
        return
    assert uri == SipUri.parse(str(uri))


@pytest.mark.parametrize("text", VALID)
def test_a_uri_cut_anywhere_is_read_or_refused(text: str) -> None:
    for end in range(len(text)):
        try:
            uri = SipUri.parse(text[:end])
        except MalformedSip:
            continue
        assert text[:end] == str(uri)


@given(st.from_regex(sip_uri._OWN_FORM, fullmatch=True))
def test_an_identity_in_our_own_form_is_one_and_stays_as_it_is(text: str) -> None:
    uri = SipUri.parse(text)

    assert address_of_record(text) == text == f"{uri.scheme}:{uri.user}@{uri.host}"
    assert (uri.host.lower().removesuffix("."), uri.port, uri.params) == (uri.host, None, ())


@pytest.mark.parametrize(
    ("written", "usable"),
    [
        ("sip:a@h:5061;transport=tcp;lr", "sip:a@h:5061;transport=tcp;lr"),
        ("sip:a@h?Subject=x", "sip:a@h"),
        ("sip:a@h;transport=tcp?Subject=x&Route=%3Csip:r%3E", "sip:a@h;transport=tcp"),
        ("sip:a@h;METHOD=INVITE;transport=tcp", "sip:a@h;transport=tcp"),
        ("sip:a@h;lr;method=INVITE?x=y", "sip:a@h;lr"),
        ("sip:a@h;methods=x;y=method", "sip:a@h;methods=x;y=method"),
        ("sip:a;method=b?c@h;method=d?e=f", "sip:a;method=b?c@h"),
        ("sip:h;method=REFER", "sip:h"),
        ("sip:h?x=y", "sip:h"),
    ],
)
def test_what_no_request_uri_may_have_is_taken_out_of_a_contact(written: str, usable: str) -> None:
    """RFC 3261 19.1.1; what stands in the user part is the user's."""
    assert as_request_uri(written) == usable
    assert as_request_uri(usable) == usable


@pytest.mark.parametrize(
    ("uri", "made"),
    [
        ("sip:s", "sip:s;lr"),
        ("sip:s;lr", "sip:s;lr"),
        ("sip:s;lr=on", "sip:s;lr=on"),
        ("sip:s;LR", "sip:s;LR"),
        ("sip:s;lrx", "sip:s;lrx;lr"),
        ("sip:a;lr@s", "sip:a;lr@s;lr"),
        ("sip:s?x=y", "sip:s;lr"),
    ],
)
def test_a_route_is_made_loose_once(uri: str, made: str) -> None:
    assert loose(uri) == made
    assert is_loose(made)
    assert is_loose(uri) == (uri == made)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sip:a@Host:5060;x=y", "host:5060"),
        ("sip:host?x=y", "host"),
        ("sip:[2001:DB8:0::1]:5060;lr", "[2001:db8::1]:5060"),
        ("sip:a@[no-address]:5060", "[no-address]:5060"),
    ],
)
def test_two_spellings_of_a_place_are_one(uri: str, place: str) -> None:
    assert host_and_port(uri) == place


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("sip:a@h:5061;transport=tcp", "sip:a@h:5061;transport=tcp"),
        ("sip:a@h:5061;transport=tcp;MADDR=192.0.2.7;ttl=1?x=y", "sip:192.0.2.7:5061;transport=tcp"),
        ("sips:h;maddr=[2001:db8::1];lr", "sips:[2001:db8::1];lr"),
        ("sip:a;maddr=b@h", "sip:a;maddr=b@h"),
        ("sip:h;maddr", "sip:h;maddr"),
        ("sip:h;maddr=", "sip:h;maddr="),
    ],
)
def test_maddr_says_where_a_request_is_sent(uri: str, server: str) -> None:
    assert reached_at(uri) == server


@given(URI_LIKE)
@example("sip:a@h;method=x;method=y?z")
def test_what_stays_is_fit_for_a_request_uri(text: str) -> None:
    usable = as_request_uri(text)

    assert as_request_uri(usable) == usable
    assert usable.startswith(text.partition("@")[0] if "@" in text else "")
    try:
        uri = SipUri.parse(text)
    except MalformedSip:
        return
    left = SipUri.parse(usable)
    assert (left.user, left.host, left.port, left.headers) == (uri.user, uri.host, uri.port, "")
    assert left.params == tuple(one for one in uri.params if one[0] != "method")
