"""Recipient addresses of PAP and the SIP targets they stand for."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedAddress
from omapush.protocol.wappush_address import LONGEST_ADDRESS, recipient


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("WAPPUSH=+358401234567/TYPE=PLMN@ppg.home1.example", "tel:+358401234567"),
        ("/WAPPUSH=+358401234567/TYPE=PLMN@ppg.home1.example", "tel:+358401234567"),
        ("wappush=+358-40-123.4567/type=plmn@ppg.home1.example", "tel:+358401234567"),
        ("WAPPUSH=%2B358401234567/TYPE=PLMN@ppg", "tel:+358401234567"),
        ("WAPPUSH=+358401234567/TYPE=PLMN", "tel:+358401234567"),
        ("WAPPUSH=alice%40home1.example/TYPE=USER@ppg.home1.example", "sip:alice@home1.example"),
        ("WAPPUSH=alice%40home1.example/TYPE=USER", "sip:alice@home1.example"),
        ("WAPPUSH=alice%40home1.example/APP=1/X=y/TYPE=USER@ppg", "sip:alice@home1.example"),
        ("WAPPUSH=sip%3Aalice%40home1.example%3Blr/TYPE=USER@ppg", "sip:alice@home1.example;lr"),
        ("WAPPUSH=tel%3A+358401234567/TYPE=USER@ppg", "tel:+358401234567"),
        ("SIP:alice@home1.example", "sip:alice@home1.example"),
        ("sips:alice@home1.example:5061", "sips:alice@home1.example:5061"),
        ("sip:+358401234567@home1.example;user=phone", "sip:+358401234567@home1.example;user=phone"),
        ("tel:+358-40-1234567", "tel:+358401234567"),
        ("tel:1234;phone-context=home1.example", "tel:1234;phone-context=home1.example"),
        ("alice.b+c@home1.example", "sip:alice.b+c@home1.example"),
    ],
)
def test_each_form_stands_for_a_sip_target(address: str, target: str) -> None:
    assert recipient(address) == target


def test_a_user_without_domain_belongs_to_the_default_domain() -> None:
    address = "WAPPUSH=alice/TYPE=USER@ppg"

    assert recipient(address, default_domain="home1.example") == "sip:alice@home1.example"
    with pytest.raises(MalformedAddress, match="domain is missing"):
        recipient(address)


def test_a_number_becomes_a_sip_uri_for_a_core_that_knows_no_tel_uris() -> None:
    target = recipient("WAPPUSH=+358401234567/TYPE=PLMN@ppg", phone_domain="home1.example")

    assert target == "sip:+358401234567@home1.example;user=phone"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("WAPPUSH=a%3C%22%3E%20b%40home1.example/TYPE=USER@ppg", "sip:a%3C%22%3E%20b@home1.example"),
        ("WAPPUSH=a%3Fb%40home1.example/TYPE=USER@ppg", "sip:a%3Fb@home1.example"),
        ("WAPPUSH=a%40b%40home1.example/TYPE=USER@ppg", "sip:a%40b@home1.example"),
        ("WAPPUSH=%C3%A4%40home1.example/TYPE=USER@ppg", "sip:%C3%A4@home1.example"),
        ("WAPPUSH=a%253Cb%40home1.example/TYPE=USER@ppg", "sip:a%253Cb@home1.example"),
    ],
)
def test_a_specifier_is_unescaped_once_and_escaped_again_for_sip(address: str, target: str) -> None:
    assert recipient(address) == target


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("WAPPUSH=192.0.2.7/TYPE=IPv4@ppg", "IPv4 address is not reachable by SIP"),
        ("WAPPUSH=2001:db8:0:0:0:0:0:7/TYPE=IPv6@ppg", "IPv6 address is not reachable by SIP"),
        ("WAPPUSH=358401234567/TYPE=GSM_MSISDN@ppg", "GSM_MSISDN bearer address is not reachable"),
        ("WAPPUSH=358401234567/TYPE=PLMN@ppg", r"not \+ and 1 to 15 digits"),
        ("WAPPUSH=+1234567890123456/TYPE=PLMN@ppg", r"not \+ and 1 to 15 digits"),
        ("WAPPUSH=+/TYPE=PLMN@ppg", r"not \+ and 1 to 15 digits"),
        ("WAPPUSH=+%D9%A3/TYPE=PLMN@ppg", r"not \+ and 1 to 15 digits"),
        ("WAPPUSH=alice@home1.example/TYPE=USER", "after the last @"),
        ("WAPPUSH=alice@home1.example/TYPE=USER@ppg", "must be escaped"),
        ("WAPPUSH=alice%40home1.example/TYPE=USER@", "after the last @"),
        ("WAPPUSH=alice%40home1.example/TYPE=USER@ppg_1", "after the last @"),
        ("WAPPUSH=alice%40home1.example@ppg", "not WAPPUSH=.../TYPE="),
        ("WAPPUSH=alice%40home1.example/TYPE=@ppg", "not WAPPUSH=.../TYPE="),
        ("WAPPUSH=alice%40home1.example/TYPE=PLMN/TYPE=USER@ppg", "more than one TYPE"),
        ("WAPPUSH=/TYPE=USER@ppg", "must be escaped"),
        ("WAPPUSH=alice%4/TYPE=USER@ppg", "incomplete %-escape"),
        ("WAPPUSH=alice%FF%40home1.example/TYPE=USER@ppg", "not UTF-8"),
        ("WAPPUSH=alice%0D%0ARoute:x%40home1.example/TYPE=USER@ppg", "control character"),
        ("WAPPUSH=alice%C2%85%40home1.example/TYPE=USER@ppg", "control character"),
        ("WAPPUSH=%40home1.example/TYPE=USER@ppg", "user or domain is missing"),
        ("WAPPUSH=alice%40/TYPE=USER@ppg", "user or domain is missing"),
        ("WAPPUSH=alice%40home1.example%3E/TYPE=USER@ppg", "not a sip"),
        ("WAPPUSH=sip%3Aalice%40home1.example%3FRoute=x/TYPE=USER@ppg", "header fields"),
        ("WAPPUSH=\u00e4%40home1.example/TYPE=USER@ppg", "must be escaped"),
        ("APPUSH=alice/TYPE=USER@ppg.home1.example", "neither a WAPPUSH address"),
        ("", "neither a WAPPUSH address"),
        ("alice", "neither a WAPPUSH address"),
        ("+358401234567", "neither a WAPPUSH address"),
        ("mailto:alice@home1.example", "neither a WAPPUSH address"),
        ("<sip:alice@home1.example>", "neither a WAPPUSH address"),
        ("sip:alice@home1.example>", "not a sip"),
        ('sip:"alice"@home1.example', "not a sip"),
        ("sip:alice@home1.example\r\nRoute: x", "not a sip"),
        ("sip:alice%0d%0aRoute@home1.example", "control character"),
        ("sip:alice@home1.example;x=%0a", "control character"),
        ("sip:alice@home1.example?Route=x", "header fields"),
        ("sip:alice?Route=x@home1.example", "header fields"),
        ("sip:alice:secret@home1.example", "password"),
        ("tel:alice", "not a sip"),
        ("sip:" + "a" * LONGEST_ADDRESS + "@home1.example", "longer than 512"),
    ],
)
def test_what_sip_cannot_reach_is_refused_with_the_reason(address: str, reason: str) -> None:
    with pytest.raises(MalformedAddress, match=reason) as caught:
        recipient(address)
    assert caught.value.pap_code == "2002"


USERS = st.text(st.sampled_from("aZ09-_.!~*'()&=+$,;/"), min_size=1, max_size=12)
ESCAPES = ["a", "%20", "%3C", "%40", "%25", "%C3%A4", "%61", "sip%3A"]
ESCAPED_USERS = st.lists(st.sampled_from(ESCAPES), min_size=1, max_size=12).map("".join)
PARAMS = st.sampled_from(["", ";transport=tcp", ":5080", ";user=phone", ";gr=a%20b"])


@given(st.sampled_from(["sip", "sips"]), USERS | ESCAPED_USERS, PARAMS)
def test_a_whole_uri_may_be_the_user_of_an_address(scheme: str, user: str, params: str) -> None:
    uri = f"{scheme}:{user}@home1.example{params}"

    assert recipient(f"WAPPUSH={quote(uri, safe='')}/TYPE=USER@ppg.home1.example") == uri


PIECES = ["WAPPUSH=", "/TYPE=", "USER", "PLMN", "@", "%40", "%0A", "+1", "a", "/", "sip:", "<"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_a_safe_target_or_the_typed_error(address: str) -> None:
    try:
        target = recipient(address, default_domain="home1.example")
    except MalformedAddress:
        return
    assert target.startswith(("sip:", "sips:", "tel:"))
    assert target.isascii()
    assert not set(target) & set('<>"? \r\n\t\\')
