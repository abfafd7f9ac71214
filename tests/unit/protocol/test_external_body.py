"""A link in place of content: written, read back, and refused when it cannot be followed."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMime
from omapush.protocol import external_body
from omapush.protocol.external_body import ExternalBody

INNER = (("Content-Type", "image/png"), ("Content-Disposition", "render"), ("Content-ID", "<p1@x.example>"))
EXPIRES = int(datetime(2029, 12, 31, 10, tzinfo=UTC).timestamp() * 1000)
LINK = ExternalBody("https://content.home1.example/content/1f", EXPIRES, 234_422, bytes(range(20)), INNER)
# As others write it: other order, no blank after a semicolon, a hash of another writer.
FOREIGN = (
    'message/external-body; access-type="URL";\t expiration="Mon, 31 Dec 2029 10:00:00 GMT"; size=234422;'
    ' URL="https://content.home1.example/p/1f";hash=2FD4E1C67A2D28FCED849EE1BB76E7391B93EB12'
)
BODY = b"Content-Type: image/png\r\nContent-Disposition: render\r\n\r\n"


def test_a_link_is_read_back_as_it_was_written() -> None:
    content_type, body = external_body.write(LINK)

    assert content_type == (
        'message/external-body; access-type="URL"; expiration="Mon, 31 Dec 2029 10:00:00 GMT"; '
        'URL="https://content.home1.example/content/1f"; size=234422; '
        "hash=000102030405060708090A0B0C0D0E0F10111213"
    )
    assert body == (
        b"Content-Type: image/png\r\nContent-Disposition: render\r\nContent-ID: <p1@x.example>\r\n\r\n"
    )
    assert external_body.read(content_type, body) == LINK


def test_a_link_of_another_writer_is_understood() -> None:
    link = external_body.read(FOREIGN, BODY)

    assert (link.url, link.expires_ms, link.size) == ("https://content.home1.example/p/1f", EXPIRES, 234_422)
    assert link.sha1.hex() == "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
    assert link.header("content-type") == "image/png"
    assert link.header("Content-ID") == ""


def test_size_hash_and_inner_headers_may_be_absent_and_a_long_url_may_be_folded() -> None:
    folded = (
        'message/external-body;access-type=url;expiration="Mon, 31 Dec 2029 10:00:00 GMT";URL="http://a/ b"'
    )

    assert external_body.read(folded, b"") == ExternalBody("http://a/b", EXPIRES, None, b"", ())
    assert external_body.read(folded, b"\r\n").headers == ()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("message/external-body", "message/partial"), "Content-Type of the link"),
        (('access-type="URL"', 'access-type="ANON-FTP"'), ";access-type"),
        (('access-type="URL";', ""), ";access-type"),
        (('URL="https://content.home1.example/p/1f"', 'URL="/p/1f"'), ";URL"),
        (('URL="https://content.home1.example/p/1f";', ""), ";URL"),
        (('expiration="Mon, 31 Dec 2029 10:00:00 GMT";', ""), ";expiration"),
        (("10:00:00 GMT", "10:00:00 CET"), ";expiration"),
        (("31 Dec", "31 Feb"), ";expiration"),
        (("size=234422", "size=-1"), ";size"),
        (("size=234422", f"size={'9' * 16}"), ";size"),
        (("hash=2FD4", "hash="), ";hash"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_parameter(change: tuple[str, str], field: str) -> None:
    with pytest.raises(MalformedMime) as refused:
        external_body.read(FOREIGN.replace(*change), BODY)
    assert field in refused.value.field


@pytest.mark.parametrize("url", ['https://x/"', "https://x/\r\nRoute: y", "x", "https://x/ y"])
def test_a_url_that_would_break_the_header_is_not_written(url: str) -> None:
    with pytest.raises(MalformedMime):
        external_body.write(LINK._replace(url=url))


def test_an_inner_header_that_would_break_the_block_is_not_written() -> None:
    with pytest.raises(MalformedMime):
        external_body.write(LINK._replace(headers=(("Content-Type", "a/b\r\n\r\nx"),)))


@given(st.text(max_size=300), st.binary(max_size=300))
def test_any_text_is_read_or_refused(content_type: str, body: bytes) -> None:
    with suppress(MalformedMime):
        external_body.read(f"message/external-body;{content_type}", body)


@pytest.mark.parametrize("cut", range(len(FOREIGN)))
def test_a_link_that_is_cut_off_is_never_another_link(cut: int) -> None:
    try:
        link = external_body.read(FOREIGN[:cut], BODY)
    except MalformedMime:
        return
    assert link._replace(sha1=b"") == external_body.read(FOREIGN, BODY)._replace(sha1=b"")


@given(
    st.integers(0, 4_000_000_000).map(lambda s: s * 1000),
    st.none() | st.integers(0, 10**14),
    st.binary(min_size=20, max_size=20) | st.just(b""),
)
def test_every_link_survives_the_way(expires_ms: int, size: int | None, sha1: bytes) -> None:
    link = LINK._replace(expires_ms=expires_ms, size=size, sha1=sha1)

    assert external_body.read(*external_body.write(link)) == link
