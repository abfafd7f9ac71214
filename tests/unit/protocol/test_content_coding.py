"""Compression undone within bounds, and the wrapped form taken apart."""

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMime, MalformedSip, TooLarge
from omapush.protocol.content_coding import UnknownCoding, decode
from omapush.protocol.wrapped_push import unwrap

BARE = zlib.compressobj(wbits=-15)
DEFLATED = BARE.compress(b"hello") + BARE.flush()


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"hello", ""),
        (b"hello", "identity"),
        (gzip.compress(b"hello", mtime=0), "gzip"),
        (gzip.compress(b"hello", mtime=0), "X-GZIP"),
        (zlib.compress(b"hello"), "deflate"),
        (DEFLATED, "deflate"),
        (gzip.compress(zlib.compress(b"hello"), mtime=0), "deflate, gzip"),
    ],
)
def test_each_coding_is_undone(body: bytes, coding: str) -> None:
    assert decode(body, coding, most_bytes=100) == b"hello"


def test_a_body_that_would_explode_is_refused_before_it_does() -> None:
    bomb = gzip.compress(bytes(50_000_000), compresslevel=9, mtime=0)
    with pytest.raises(TooLarge):
        decode(bomb, "gzip", most_bytes=1000)
    with pytest.raises(TooLarge):
        decode(gzip.compress(bomb, mtime=0), "gzip, gzip", most_bytes=1000)


@pytest.mark.parametrize("coding", ["br", "gzip, br", "gzip, gzip, gzip"])
def test_an_unknown_coding_is_415(coding: str) -> None:
    with pytest.raises(UnknownCoding) as caught:
        decode(b"x", coding, most_bytes=100)
    assert caught.value.sip_status == 415


@pytest.mark.parametrize("body", [b"", b"junk", gzip.compress(b"hello", mtime=0)[:-6]])
def test_a_body_that_is_not_what_it_says_is_a_typed_error(body: bytes) -> None:
    with pytest.raises(MalformedSip, match="Content-Encoding"):
        decode(body, "gzip", most_bytes=100)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "gzip, deflate"]))
def test_any_body_is_decoded_or_a_typed_error(body: bytes, coding: str) -> None:
    with suppress(MalformedSip, TooLarge):
        assert len(decode(body, coding, most_bytes=50)) <= 50


WRAPPED = b"X-Wap-Application-Id: mms.ua\r\nContent-Type: a/b\r\nX-Long: one\r\n two\r\n\r\n\0\r\n\r\nrest"


@pytest.mark.req("PROP-CTRL-2")
def test_control_lines_and_content_come_apart() -> None:
    push = unwrap(WRAPPED)

    assert push.header("content-TYPE") == "a/b"
    assert push.header("x-long") == "one two"
    assert push.header("other") is None
    assert push.content == b"\0\r\n\r\nrest"
    assert unwrap(b"\r\nonly content") == ((), b"only content")


@pytest.mark.parametrize(
    "body", [b"", b"no end", b"no colon\r\n\r\n", b"a: \0\r\n\r\n", b"\xff: a\r\n\r\n", b"a:b\n" * 65 + b"\n"]
)
def test_a_body_that_is_not_wrapped_is_a_typed_error(body: bytes) -> None:
    with pytest.raises(MalformedMime):
        unwrap(body)


@pytest.mark.parametrize("length", range(len(WRAPPED)))
def test_every_beginning_is_read_or_a_typed_error(length: int) -> None:
    with suppress(MalformedMime):
        unwrap(WRAPPED[:length])


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_a_typed_error(body: bytes) -> None:
    with suppress(MalformedMime):
        unwrap(body)
