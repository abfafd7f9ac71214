"""A trace shows no credentials, and no content unless that is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.redaction import redact

HEAD = (
    b"MESSAGE sip:bob@home1.example SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"%s"
    b"Content-Type: text/plain\r\n"
    b"Content-Length: 6\r\n\r\n"
)
SECRETS = [
    b'Authorization: Digest username="bob", response="hidden"\r\n',
    b"AUTHORIZATION:hidden\r\n",
    b'authorization \t: Digest username="bob",\r\n response="hidden"\r\n\tmore="hidden"\r\n',
    b'Proxy-Authorization: Basic hidden\n qop="hidden"\n',
    b'Authentication-Info: rspauth="hidden"\r\n',
    b'Proxy-Authentication-Info: rspauth="hidden"\r\n',
    b"X: 1\rAuthorization: hidden\r\n",
    b"Authorization: a\rhidden\r\n",
    b"From: <sip:bob:hidden@home1.example>\r\n",
    b"Contact: SIPS:bob:hidden@192.0.2.7\r\n",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("content", [True, False])
def test_credentials_are_never_shown(secret: bytes, content: bool) -> None:
    shown = redact(HEAD % secret + b"hello!", content=content).shown

    assert b"hidden" not in shown
    assert b"\nContent-Type: text/plain\r\n" in shown
    assert b"branch=z9hG4bK1" in shown


@pytest.mark.parametrize(
    "line",
    [
        b"WWW-Authenticate: Digest nonce=shown\r\n",
        b"X-Authorization: shown\r\n",
        b"Contact: <sip:bob@192.0.2.7:5060;x=shown>\r\n",
        b"Route: <sip:192.0.2.9:6060;lr>, <sip:shown@192.0.2.9:6060>\r\n",
        b"Subject: sip:a: shown@b\r\n",
    ],
)
def test_what_is_no_secret_stays_as_it_is(line: bytes) -> None:
    assert redact(HEAD % line, content=False).shown == HEAD % line


def test_content_is_left_out_but_for_its_length() -> None:
    found = redact(HEAD % b"" + b"hello!", content=False)

    assert (found.shown, found.left_out) == (HEAD % b"", 6)
    assert found.whole == HEAD % b"" + b"......"


def test_content_is_shown_where_that_is_wanted() -> None:
    found = redact(HEAD % b"" + b"hello!", content=True)

    assert (found.shown, found.left_out) == (HEAD % b"" + b"hello!", 0)
    assert found.whole == found.shown


@pytest.mark.parametrize("name", [b"Content-Type: ", b"c:", b"CONTENT-TYPE :\t"])
@pytest.mark.parametrize("kind", [b"application/sdp", b"Message/SipFrag;version=2.0"])
def test_what_says_how_content_travels_is_shown(name: bytes, kind: bytes) -> None:
    message = b"INVITE sip:b SIP/2.0\r\n" + name + kind + b"\r\n\r\nv=0\r\na=path:msrp://a;tcp\r\n"

    assert redact(message, content=False).whole == message


def test_keys_in_a_description_are_not_shown() -> None:
    message = (
        b"SIP/2.0 200 OK\r\nc: application/sdp\r\n\r\nv=0\r\nk=clear:hidden\r\na=crypto:1 x inline:hidden\r\n"
    )

    assert b"hidden" not in redact(message, content=False).shown
    assert redact(message, content=False).shown.endswith(b"k=left-out\r\na=crypto:left-out\r\n")


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_keep_their_order_and_length_but_for_secrets(message: bytes, content: bool) -> None:
    found = redact(message, content=content)

    assert found.left_out >= 0
    assert len(found.whole) <= len(message) or b"left-out" in found.shown
    if content and b"uth" not in message.lower() and b"sip" not in message.lower():
        assert found.whole == message


@pytest.mark.parametrize("end", range(len(HEAD % SECRETS[2])))
def test_a_message_that_is_cut_shows_no_credentials_either(end: int) -> None:
    assert b"hidden" not in redact((HEAD % SECRETS[2])[:end], content=True).shown
