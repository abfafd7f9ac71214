"""Digest answers, against the examples of the RFCs."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.digest import authorization, parse_challenge, strongest, unchallenged

FULL = 'Digest realm="a\\"b", nonce="n1",qop="auth,auth-int", algorithm=SHA-256, opaque="o", stale=TRUE'


def test_a_challenge_is_read_with_quotes_and_lists() -> None:
    challenge = parse_challenge(FULL)

    assert challenge is not None
    assert (challenge.realm, challenge.nonce, challenge.qop, challenge.opaque) == ('a"b', "n1", True, "o")
    assert challenge.stale
    assert not challenge.is_aka


@pytest.mark.parametrize(
    "value",
    [
        'Basic realm="x"',
        'Digest realm="x", nonce="y", algorithm=SHA-999',
        'Digest realm="x", nonce="y", qop="auth-int"',
        "nonsense",
    ],
)
def test_what_cannot_be_answered_is_no_challenge(value: str) -> None:
    assert parse_challenge(value) is None


@pytest.mark.parametrize(
    "value", ['Digest realm="x"', "Digest nonce", 'Digest realm="x, nonce="y"', "Digest ,"]
)
def test_a_broken_challenge_is_a_typed_error(value: str) -> None:
    with pytest.raises(MalformedSip, match="WWW-Authenticate"):
        parse_challenge(value)


def test_the_stronger_of_two_hashes_is_taken_and_aka_only_with_a_sim() -> None:
    values = [
        f'Digest realm="r", nonce="{name}", algorithm={name}' for name in ("MD5", "SHA-256", "AKAv1-MD5")
    ]

    without, sim = strongest(values, aka=False), strongest(values, aka=True)
    assert without is not None
    assert sim is not None
    assert (without.nonce, sim.nonce) == ("SHA-256", "AKAv1-MD5")
    assert strongest(values[:1], aka=True) is None


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616_comes_out(algorithm: str, response: str) -> None:
    challenge = parse_challenge(
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
    )
    assert challenge is not None
    value = authorization(
        challenge,
        username="Mufasa",
        password=b"Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        count=1,
    )

    assert f'response="{response}"' in value
    assert "nc=00000001" in value


def test_without_qop_the_old_form_is_used() -> None:
    challenge = parse_challenge('Digest realm="atlanta.com", nonce="84a4cc6f3082121f32b42a2187831a9e"')
    assert challenge is not None
    value = authorization(
        challenge, username="alice", password=b"x", method="REGISTER", uri="sip:a", cnonce="c", count=1
    )

    assert "cnonce" not in value
    assert "nc=" not in value


def test_synchronisation_and_first_register_name_the_user() -> None:
    challenge = parse_challenge('Digest realm="r", nonce="n", algorithm=AKAv1-MD5, qop="auth"')
    assert challenge is not None
    value = authorization(
        challenge,
        username="u",
        password=b"",
        method="REGISTER",
        uri="sip:r",
        cnonce="c",
        count=1,
        auts="QUJD",
    )

    assert value.endswith('auts="QUJD"')
    assert 'nonce="", uri="sip:r", response=""' in unchallenged("u", "r", "sip:r")


@pytest.mark.parametrize("length", range(len(FULL)))
def test_every_beginning_is_read_or_a_typed_error(length: int) -> None:
    with suppress(MalformedSip):
        parse_challenge(FULL[:length])


@given(st.text(max_size=80) | st.text(alphabet='Digest realm="x",nonc\\', max_size=80))
def test_any_text_is_read_or_a_typed_error(value: str) -> None:
    with suppress(MalformedSip):
        parse_challenge(value)
