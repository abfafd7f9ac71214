"""Who may push: patterns of senders, applications and content types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.receiver import Trusted, Whitelist
from omapush.receiver.whitelist import type_fits

LIST = Whitelist(
    (
        Trusted("sip:psa@home1.example", ("mms.ua",), ("image/*", "text/plain")),
        Trusted("sip:*@push.home1.example"),
        Trusted("tel:+1-555-0101", ("ulp.ua",)),
    )
)


@pytest.mark.req("SEC-13")
@pytest.mark.parametrize(
    ("sender", "application", "content_type", "reason"),
    [
        ("sip:psa@home1.example", "mms.ua", "image/png", ""),
        ("SIP:psa@HOME1.example;user=x", "MMS.ua", "text/plain", ""),
        ("sip:psa@home1.example", "", "", ""),
        ("sip:psa@home1.example", "ulp.ua", "image/png", "application"),
        ("sip:psa@home1.example", "mms.ua", "text/html", "content type"),
        ("sip:any.body@push.home1.example", "x.ua", "a/b", ""),
        ("sip:psa@push.home1.example.evil.example", "x.ua", "a/b", "sender"),
        ("sip:evil@evil.example?x=@push.home1.example", "x.ua", "a/b", "sender"),
        ("tel:+15550101", "ulp.ua", "a/b", ""),
        ("sip:stranger@x.example", "mms.ua", "image/png", "sender"),
        ("not a URI", "", "", "sender"),
        ("sip:evil[x]@push.home1.example", "x.ua", "a/b", "sender"),
    ],
)
def test_the_first_thing_that_does_not_fit_is_the_reason(
    sender: str, application: str, content_type: str, reason: str
) -> None:
    found = LIST.why_not((sender,), application, content_type)

    assert found.startswith(reason) if reason else found == ""


def test_one_of_two_identities_is_enough_and_an_empty_list_lets_everybody() -> None:
    assert LIST.why_not(("sip:x@y.example", "tel:+15550101"), "ulp.ua") == ""
    assert Whitelist().why_not(("sip:x@y.example",), "mms.ua", "a/b") == ""


@given(st.text(max_size=40))
def test_any_sender_is_judged(sender: str) -> None:
    assert LIST.why_not((sender,), "mms.ua", "a/b") in {
        "", "sender is not on the whitelist", "application is not on the whitelist for this sender",
        "content type is not on the whitelist for this sender",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "patterns", "fits"),
    [
        ("a/b", ("*/*",), True),
        ("a/b", ("A/B",), True),
        ("a/b", ("a/*",), True),
        ("a/b", ("b/*", "a/c"), False),
    ],
)
def test_media_ranges_fit_as_in_accept(kind: str, patterns: tuple[str, ...], fits: bool) -> None:
    assert type_fits(kind, patterns) == fits
