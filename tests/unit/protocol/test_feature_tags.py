"""Feature tags of contacts, Accept-Contact, and application ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMime, MalformedSip
from omapush.protocol.feature_tags import (
    PUSH_TAG,
    accept_contact,
    application_id_of_ari,
    ari_of_application_id,
    feature_params,
    push_applications,
)
from omapush.protocol.name_addr import NameAddr, parse_list, parse_one

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";"), min_size=1)


def contact(params: str) -> NameAddr:
    return parse_one(f"<sip:alice@192.0.2.9>{params}", "Contact")


@pytest.mark.req("PROP-ARI-1", "PROP-ARI-2")
@pytest.mark.parametrize(
    ("params", "applications"),
    [
        (';+g.oma.pusheventapp="mms.ua"', ("mms.ua",)),
        (';+g.oma.pusheventapp="ulp.ua,mms.ua"', ("ulp.ua", "mms.ua")),
        (';+g.oma.pusheventapp=" ULP.ua , mms.ua,ulp.UA,, "', ("ulp.ua", "mms.ua")),
        (';+G.OMA.PushEventApp="mms.ua"', ("mms.ua",)),
        (";+g.oma.pusheventapp=mms.ua", ("mms.ua",)),
        (';g.oma.pusheventapp="mms.ua"', ("mms.ua",)),
        (';+g.oma.pusheventappp="mms.ua"', ("mms.ua",)),
        (';g.oma.pusheventappp="mms.ua";+g.oma.pusheventapp="ulp.ua,mms.ua"', ("mms.ua", "ulp.ua")),
        (';+g.oma.pusheventapp="cpm%3aua"', ("cpm%3Aua",)),
        (';+g.oma.pusheventapp="!mms.ua,#=4,<mms.ua>,a:b,ulp.ua"', ("ulp.ua",)),
        (";+g.oma.pusheventapp", ()),
        (';+g.oma.pusheventapp=""', ()),
        (';+g.oma.pusheventapps="mms.ua";methods="MESSAGE"', ()),
        ("", ()),
    ],
)
def test_a_contact_tells_its_push_applications(params: str, applications: tuple[str, ...]) -> None:
    assert applications == push_applications(contact(params))


def test_a_push_tag_inside_the_uri_is_no_feature_of_the_contact() -> None:
    assert push_applications(parse_one("<sip:a@h;+g.oma.pusheventapp=mms.ua>", "Contact")) == ()


def test_base_tags_are_naked_and_every_other_feature_has_a_plus() -> None:
    written = contact(';expires=60;audio;methods="INVITE,MESSAGE";+x="#>=4";q=0.5;g.oma.pusheventapp="a";+y')

    assert feature_params(written) == (
        ("audio", None),
        ("methods", "INVITE,MESSAGE"),
        ("+x", "#>=4"),
        ("+y", None),
    )


def test_a_feature_written_twice_counts_once_and_the_base_form_wins() -> None:
    assert feature_params(contact(';+x=1;+audio;+x=2;audio="FALSE"')) == (("+x", "1"), ("audio", "FALSE"))


@pytest.mark.parametrize("written", [";message", ";+sip.message", ";+sip.message;message=FALSE"])
def test_the_tag_of_message_media_is_read_naked_as_well(written: str) -> None:
    """RFC 4569; it is none of the base tags, and devices write it as if it were."""
    assert feature_params(contact(written)) == (("+sip.message", None),)


def test_feature_values_keep_their_case() -> None:
    """Strings in <> are compared with case."""
    assert feature_params(contact(';+sip.instance="<urn:uuid:AB>"')) == (("+sip.instance", "<urn:uuid:AB>"),)


@pytest.mark.req("PSA-MSG-2", "PROP-ARI-5")
def test_accept_contact_is_bare_unless_strict() -> None:
    assert accept_contact("mms.ua", strict=False) == '*;+g.oma.pusheventapp="mms.ua"'
    assert accept_contact("mms.ua", strict=True) == '*;+g.oma.pusheventapp="mms.ua";require;explicit'


@pytest.mark.parametrize("ari", ["", "cpm:ua", "a b", 'a"', "a\r\nRoute: <sip:x>", "é", "!mms.ua", "a" * 257])
def test_accept_contact_takes_nothing_that_is_not_a_token(ari: str) -> None:
    with pytest.raises(MalformedSip, match=r"^Accept-Contact: "):
        accept_contact(ari, strict=True)


@pytest.mark.req("PROP-ARI-3", "PROP-ARI-4", "PROP-ARI-7")
@pytest.mark.parametrize(
    ("application_id", "ari"),
    [
        ("x-wap-application:mms.ua", "mms.ua"),
        ("X-WAP-Application:MMS.UA", "mms.ua"),
        ("x-oma-application:ulp.ua", "ulp.ua"),
        ("ulp.ua", "ulp.ua"),
        (" mms.ua ;app-encoding=4", "mms.ua"),
        ("x-wap-application:*", "*"),
        ("x-oma-application:cpm:ua", "cpm%3Aua"),
        ("urn:Example:App", "urn%3Aexample%3Aapp"),
        ("urn%3aexample", "urn%3Aexample"),
        ("100%", "100%25"),
        ("café", "caf%C3%A9"),
        ("", "wml.ua"),
        (" ;app-encoding=2", "wml.ua"),
        ("x-wap-application:", "wml.ua"),
        ("4", "mms.ua"),
        ("0x0a", "wv.ua"),
        ("0X10", "ulp.ua"),
        ("16", "ulp.ua"),
        ("0", "*"),
        ("0x15", "cpm%3Aua"),
        ("0x8002", "0x8002"),
        ("x-wap-application:4", "4"),
    ],
)
def test_an_application_id_becomes_the_ari_that_a_tag_can_hold(application_id: str, ari: str) -> None:
    assert ari == ari_of_application_id(application_id)


@pytest.mark.req("PROP-ARI-3", "PROP-ARI-7")
@pytest.mark.parametrize(
    ("ari", "application_id"),
    [
        ("mms.ua", "x-wap-application:mms.ua"),
        ("vms.ua", "x-wap-application:vms.ua"),
        ("*", "x-wap-application:*"),
        ("ulp.ua", "x-oma-application:ulp.ua"),
        ("cpm%3Aua", "x-oma-application:cpm:ua"),
        ("urn%3Aexample%3Aapp", "urn:example:app"),
    ],
)
def test_an_ari_becomes_the_application_id_that_pap_knows(ari: str, application_id: str) -> None:
    assert application_id == application_id_of_ari(ari)


@pytest.mark.parametrize("text", ["a" * 257, "é" * 200])
def test_an_application_id_that_fits_no_tag_is_refused(text: str) -> None:
    with pytest.raises(MalformedMime, match=r"^X-Wap-Application-Id: longer than 256"):
        ari_of_application_id(text)


@given(st.text(max_size=25))
def test_any_application_id_gives_an_ari_that_comes_back_from_a_contact(text: str) -> None:
    """What the PSA asks for and what a device registered must be equal texts."""
    ari = ari_of_application_id(text)

    (asked,) = parse_list(accept_contact(ari, strict=True).replace("*", "<sip:a@h>", 1), "Accept-Contact")
    assert (ari,) == push_applications(asked)


@given(PRINTABLE.filter(lambda text: "application:" not in text.lower()))
def test_an_ari_and_its_application_id_name_the_same_application(text: str) -> None:
    ari = ari_of_application_id(text[:60])

    assert ari == ari_of_application_id(application_id_of_ari(ari))


def test_the_tag_is_the_registered_name_with_a_plus() -> None:
    assert PUSH_TAG == "+g.oma.pusheventapp"
