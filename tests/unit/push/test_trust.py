"""Which peers belong to the trust domain, where it ends, and what stays inside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.border import IDENTITY, INSIDE_ONLY, of_our_own, removed_on_leaving
from omapush.push.trust import (
    NO_CERTIFICATE,
    Certificate,
    Domain,
    Inside,
    host_of,
    is_trusted,
    leads_inside,
)

pytestmark = pytest.mark.req("SEC-4")

BY_ADDRESS = Domain(("192.0.2.0/24", "2001:db8::/32"), ())
BY_NAME = Domain(("192.0.2.0/24",), ("SCSCF.home1.example", "*.edge.home1.example"))


def named(host: str = "", *, uri: str = "", common: str = "") -> Certificate:
    return Certificate(uri, host, common)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("192.0.2.1", True), ("192.0.3.1", False), ("2001:db8::1", True), ("2001:db9::1", False)],
)
def test_without_names_the_address_decides(address: str, trusted: bool) -> None:
    assert is_trusted(BY_ADDRESS, address, None) is trusted
    assert is_trusted(BY_ADDRESS, address, named("evil.example")) is trusted


@pytest.mark.parametrize(
    ("certificate", "trusted"),
    [
        (named("scscf.home1.example"), True),
        (named("SCSCF.HOME1.EXAMPLE."), True),
        (named(uri="sip:scscf.home1.example"), True),
        (named(common="scscf.home1.example"), True),
        (named("a.edge.home1.example"), True),
        (named("a.b.edge.home1.example"), True),
        (named("edge.home1.example"), False),
        (named("xedge.home1.example"), False),
        (named("scscf.home1.example.evil.example"), False),
        (named("evil.example", common="scscf.home1.example"), False),
        (named("scscf.home1.example", uri="sip:evil.example"), False),
        (NO_CERTIFICATE, False),
    ],
)
def test_with_names_that_of_the_certificate_decides_and_no_address(
    certificate: Certificate, trusted: bool
) -> None:
    """The common name counts only where subjectAltName has none (RFC 5922 7.1)."""
    assert is_trusted(BY_NAME, "192.0.2.1", certificate) is trusted
    assert is_trusted(BY_NAME, "198.51.100.1", certificate) is trusted


def test_with_names_a_link_without_tls_is_still_judged_by_its_address() -> None:
    assert is_trusted(BY_NAME, "192.0.2.1", None)
    assert not is_trusted(BY_NAME, "198.51.100.1", None)


@pytest.mark.parametrize(
    ("uri", "by_address", "by_name"),
    [
        ("sip:192.0.2.7:6060;lr", True, True),
        ("sip:mark@192.0.2.7;lr;s=4", True, True),
        ("sip:198.51.100.7", False, False),
        ("sip:[2001:db8::5]:5060;transport=tcp", True, False),
        ("sip:scscf.home1.example;lr", True, True),
        ("sip:x.edge.home1.example", True, True),
        ("sip:evil.example", True, False),
        ("sip:CORE.example:6060", True, True),
        ("sips:198.51.100.9", True, True),
        ("tel:+15550100", False, False),
        ("no uri", False, False),
        ("", False, False),
    ],
)
def test_a_next_hop_is_inside_by_address_by_name_or_because_configuration_names_it(
    uri: str, by_address: bool, by_name: bool
) -> None:
    hosts = frozenset({"core.example", "198.51.100.9"})

    assert leads_inside(Inside(BY_ADDRESS, hosts), uri) is by_address
    assert leads_inside(Inside(BY_NAME, hosts), uri) is by_name


@given(st.text())
def test_no_text_of_a_peer_is_anything_but_inside_or_not(text: str) -> None:
    assert leads_inside(Inside(BY_NAME, frozenset()), text) in (True, False)
    assert isinstance(host_of(text), str)


@pytest.mark.parametrize(
    ("privacy", "hidden"),
    [
        ("", False),
        ("none", False),
        ("id", True),
        ("ID ; critical", True),
        ("header", True),
        ("user,critical", True),
        ("session", False),
        ("history", False),
        ("id, none", False),
    ],
)
def test_the_identity_leaves_unless_privacy_asks_for_it_to_stay(privacy: str, hidden: bool) -> None:
    removed = removed_on_leaving(privacy)

    assert set(INSIDE_ONLY) <= set(removed)
    assert (IDENTITY in removed) is hidden


def test_of_a_request_of_ours_only_lines_that_stay_inside_are_taken() -> None:
    lines = (
        "Route: <sip:a;lr>\r\nP-Asserted-Identity: <sip:psa@home1.example>\r\nExpires: 5\r\n"
        'p-charging-vector: icid-value="P-Served-User: x"\r\nX-P-Served-User: kept\r\n'
    )

    assert of_our_own(lines) == "Route: <sip:a;lr>\r\nExpires: 5\r\nX-P-Served-User: kept\r\n"
    assert of_our_own("") == ""
