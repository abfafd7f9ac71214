"""Addresses in headers, and what hides commas and semicolons in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.name_addr import (
    LONGEST_VALUE,
    NameAddr,
    associated_uris,
    first_sip_address,
    parse_list,
    parse_one,
    quote,
    split_quoted,
    unquote,
)

CONTACT = (
    '"Alice, at \\"home\\"" <sip:alice@192.0.2.9:5066;transport=tcp>;expires=3600'
    ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>";+g.oma.pusheventapp="ulp.ua,mms.ua"'
)
HEADER_LIKE = st.text(alphabet='<>";,=\\ \t\r\n:@ sipabexpr*+.0\x00é', max_size=60)


def test_a_contact_falls_into_name_uri_and_header_parameters() -> None:
    contact = parse_one(CONTACT, "Contact")

    assert contact.display_name == 'Alice, at "home"'
    assert contact.uri == "sip:alice@192.0.2.9:5066;transport=tcp"
    assert contact.param("expires") == "3600"
    assert contact.param("+sip.instance") == "<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>"
    assert frozenset({"+sip.instance", "+g.oma.pusheventapp"}) == contact.quoted


def test_a_contact_is_written_as_it_was_read() -> None:
    assert str(parse_one(CONTACT, "Contact")) == CONTACT


def test_a_comma_inside_quotes_or_brackets_does_not_split_the_list() -> None:
    contacts = parse_list(f"{CONTACT}, <sip:a,b@h>,sip:c@h", "Contact")

    assert [each.uri for each in contacts] == [
        "sip:alice@192.0.2.9:5066;transport=tcp",
        "sip:a,b@h",
        "sip:c@h",
    ]


def test_parameters_of_an_address_without_brackets_belong_to_the_header() -> None:
    assert NameAddr("", "sip:alice@h", (("expires", "30"), ("lr", None))) == parse_one(
        "sip:alice@h;expires=30;lr", "Contact"
    )


@pytest.mark.parametrize(
    ("value", "name", "uri"),
    [
        ("sip:a@h ;   tag    = 19", "", "sip:a@h"),
        ('"J Rosenberg \\\\\\""       <sip:a@h>\r\n ;\r\n tag = 9', 'J Rosenberg \\"', "sip:a@h"),
        ("caller<sip:a@h>", "caller", "sip:a@h"),
        ("J. R. Bob~Smith <sip:a@h>", "J. R. Bob~Smith", "sip:a@h"),
        ('""<sip:a@h>', "", "sip:a@h"),
        ('"Müller" <sip:a@h>', "Müller", "sip:a@h"),
        ("< sip:a@h >", "", "sip:a@h"),
        ("<tel:+15550102>", "", "tel:+15550102"),
        ("<urn:service:sos>", "", "urn:service:sos"),
        ("<sip:a@h?Route=%3Csip:x%3E>", "", "sip:a@h?Route=%3Csip:x%3E"),
    ],
)
def test_odd_but_valid_addresses_are_read(value: str, name: str, uri: str) -> None:
    address = parse_one(value, "To")

    assert (name, uri) == (address.display_name, address.uri)


def test_names_are_lower_cased_and_values_are_not() -> None:
    assert parse_one('<sip:a@h>;+G.OMA.PushEventApp="Mms.UA";GR', "Contact").params == (
        ("+g.oma.pusheventapp", "Mms.UA"),
        ("gr", None),
    )


def test_values_that_only_careless_stacks_send_are_read() -> None:
    """Without quotes: a feature tag, and the URN in its brackets."""
    contact = parse_one("<sip:a@h>;+g.oma.pusheventapp=ulp.ua;+sip.instance=<urn:uuid:1>", "Contact")

    assert contact.param("+g.oma.pusheventapp") == "ulp.ua"
    assert contact.param("+sip.instance") == "<urn:uuid:1>"
    assert not contact.quoted


def test_the_first_of_two_equal_names_counts() -> None:
    assert parse_one("<sip:a@h>;expires=1;expires=2", "Contact").param("expires") == "1"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "*",
        "alice",
        "<>",
        "<alice>",
        "<sip:a@h",
        "sip:a@h>",
        '"Mr. J. User <sip:a@h>',
        'Watson "T" <sip:a@h>',
        "Bell, Alexander <sip:a@h>",
        "<sip:a@h> x",
        "<sip:a@h>;",
        "<sip:a@h>;;lr",
        "<sip:a@h>;expires=",
        '<sip:a@h>;x="open',
        "<sip:a@h>,,<sip:b@h>",
        ",<sip:a@h>",
        "<sip:a@h>,",
        "<sip:a @h>",
        "sip:a@h?Route=x",
        '<sip:a@h>;x="\x00"',
        '<sip:a@h>;x="a\r\nb"',
    ],
)
def test_what_is_not_a_list_of_addresses_is_refused(value: str) -> None:
    with pytest.raises(MalformedSip, match=r"^Contact: "):
        parse_list(value, "Contact")


def test_more_addresses_than_the_limit_are_refused() -> None:
    assert len(parse_list("<sip:a@h>,<sip:b@h>", "Route", limit=2)) == 2
    with pytest.raises(MalformedSip, match="more than 2"):
        parse_list("<sip:a@h>,<sip:b@h>,<sip:c@h>", "Route", limit=2)


def test_a_value_longer_than_a_header_line_is_refused() -> None:
    value = "<sip:a@h>;x=" + "a" * LONGEST_VALUE

    for read in (parse_one, parse_list):
        with pytest.raises(MalformedSip, match="longer than 8192"):
            read(value, "Contact")


def test_the_error_repeats_no_more_than_eighty_characters_of_the_input() -> None:
    with pytest.raises(MalformedSip) as refused:
        parse_one("x" * 500, "Contact")

    assert len(refused.value.problem) < 100


def test_semicolons_split_outside_quotes_and_brackets_only() -> None:
    assert split_quoted(' a="x;\\";y" ; <b;c>;', ";", "Event") == ['a="x;\\";y"', "<b;c>", ""]


@given(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f"), max_size=30))
def test_a_quoted_string_gives_back_what_was_quoted(text: str) -> None:
    assert text == unquote(quote(text)[1:-1])
    assert [quote(text), "x"] == split_quoted(f"{quote(text)},x", ",", "Subject")


def test_associated_uris_are_identities_in_canonical_form() -> None:
    assert associated_uris(
        '"Bob, sip:eve@ims.lab" <sip:bob@IMS.lab>, <tel:+1-555-0102>, <sip:bob@ims.lab;user=phone>'
    ) == ("sip:bob@ims.lab", "tel:+15550102")


@pytest.mark.parametrize("value", ["<sip:bob@ims.lab, tel:+15550102>", "<sip:bob@ims.lab,tel:+15550102>"])
def test_associated_uris_in_one_pair_of_brackets_are_still_found(value: str) -> None:
    assert associated_uris(value) == ("sip:bob@ims.lab", "tel:+15550102")


def test_a_name_in_quotes_is_no_identity_even_in_a_broken_list() -> None:
    assert associated_uris('"sip:eve@ims.lab" <sip:bob@ims.lab, urn:x:y>') == ("sip:bob@ims.lab",)


@given(HEADER_LIKE)
def test_associated_uris_never_raise(value: str) -> None:
    assert len(associated_uris(value)) <= 32


@given(HEADER_LIKE | HEADER_LIKE.map("<sip:a@h>;{}".format))
def test_any_text_is_a_list_of_addresses_or_the_typed_error(value: str) -> None:
    try:
        addresses = parse_list(value, "Contact")
    except MalformedSip:
        return
    assert addresses == tuple(parse_one(str(address), "Contact") for address in addresses)


def test_a_contact_cut_anywhere_is_read_or_refused() -> None:
    whole = parse_one(CONTACT, "Contact")
    for end in range(len(CONTACT)):
        try:
            cut = parse_one(CONTACT[:end], "Contact")
        except MalformedSip:
            continue
        assert whole.uri == cut.uri


@pytest.mark.parametrize(
    "value", ['"' * 8000, "<" * 8000, "\\" * 8000, "a " * 4000, ";a" * 4000, '""' * 4000]
)
def test_hostile_repetition_is_refused(value: str) -> None:
    """And soon: a grammar that backtracks into such input would run into the time limit of the tests."""
    with pytest.raises(MalformedSip):
        parse_list(value, "Contact")
    assert associated_uris(value) == ()


@pytest.mark.parametrize("value", ["", "*", ",", "<sip:broken", "tel:+15", "<http://x.example>", "<<sip:>>"])
def test_a_value_may_have_no_sip_address_that_can_be_read(value: str) -> None:
    assert first_sip_address(value) is None


def test_an_odd_display_name_does_not_hide_the_address_nor_its_parameters() -> None:
    address = first_sip_address('"Odd <sip:a@b.example>;expires=7, <sip:c.example>')

    assert address is not None
    assert (address.uri, address.param("expires")) == ("sip:a@b.example", "7")


@given(HEADER_LIKE | st.text(max_size=60))
def test_any_value_has_a_first_sip_address_or_none(value: str) -> None:
    address = first_sip_address(value)

    assert address is None or address.uri.lower().startswith(("sip:", "sips:"))
