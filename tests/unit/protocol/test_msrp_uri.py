"""MSRP URIs: what is one, what two have in common, and paths of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMsrp
from omapush.protocol.msrp_uri import MOST_URIS_IN_PATH, MsrpUri, parse_path, write_path

FULL = "msrps://bob@host.example:8493/asfd34+=/2;tcp;x=1;y"


def test_a_uri_is_taken_apart_and_written_as_it_was() -> None:
    uri = MsrpUri.parse(FULL)

    assert uri == MsrpUri(
        True, "host.example", 8493, "asfd34+=/2", "tcp", "bob", params=(("x", "1"), ("y", None))
    )
    assert str(uri) == FULL


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("msrp://host.example:8493/a;tcp", "MSRP://HOST.example:8493/a;TCP"),
        ("msrp://host.example:8493/a;tcp", "msrp://alice@host.example:8493/a;tcp;x=y"),
        ("msrp://h%6Fst.example:1/a;tcp", "msrp://host.example:1/a;tcp"),
        ("msrp://[2001:db8:0:0::1]:1/a;tcp", "msrp://[2001:DB8::1]:1/a;tcp"),
        ("msrp://host.example:8493/a;tcp", "msrp://host.example:08493/a;tcp"),
    ],
)
def test_equal_uris(one: str, other: str) -> None:
    assert MsrpUri.parse(one).key == MsrpUri.parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("msrp://h.example:1/a;tcp", "msrps://h.example:1/a;tcp"),
        ("msrp://h.example:1/a;tcp", "msrp://h.example:1/A;tcp"),
        ("msrp://h.example:1/a;tcp", "msrp://h.example:1;tcp"),
        ("msrp://h.example:2855/a;tcp", "msrp://h.example/a;tcp"),
        ("msrp://h.example:1/a;tcp", "msrp://h.example:1/a;sctp"),
        ("msrp://h.example:1/a/./b;tcp", "msrp://h.example:1/a/b;tcp"),
        ("msrp://127.0.0.1:1/a;tcp", "msrp://localhost:1/a;tcp"),
    ],
)
def test_uris_that_differ(one: str, other: str) -> None:
    assert MsrpUri.parse(one).key != MsrpUri.parse(other).key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:a@b",
        "msrp://h.example:1/a",
        "msrp://h.example:1/a;",
        "msrp://h.example:1/;tcp",
        "msrp://192.0.2.1/a;tcp",
        "msrp://[2001:db8::1]/a;tcp",
        "msrp://256.0.2.1:1/a;tcp",
        "msrp://[1::2::3]:1/a;tcp",
        "msrp://h.example:0/a;tcp",
        "msrp://h.example:65536/a;tcp",
        "msrp://h.example:1/a b;tcp",
        "msrp://h.example:1/a;tcp\r\n",
        "msrp://h.example:\u0661/a;tcp",
        "msrp://" + "h" * 600 + ":1/a;tcp",
    ],
)
def test_what_is_no_uri_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(MalformedMsrp) as refused:
        MsrpUri.parse(text, "From-Path")

    assert refused.value.field == "From-Path"


def test_a_path_has_its_next_hop_first() -> None:
    path = parse_path("msrps://relay.example:9000/r;tcp msrp://192.0.2.1:1/a;tcp")

    assert [uri.host for uri in path] == ["relay.example", "192.0.2.1"]
    assert write_path(path) == "msrps://relay.example:9000/r;tcp msrp://192.0.2.1:1/a;tcp"


@pytest.mark.parametrize(
    "value", ["", " ", "msrp://h.example:1/a;tcp ", "msrp://a.example:1/a;tcp  msrp://b:1/a;tcp"]
)
def test_a_path_is_uris_with_one_space_between(value: str) -> None:
    with pytest.raises(MalformedMsrp):
        parse_path(value)


def test_a_path_is_bounded() -> None:
    uri = "msrp://h.example:1/a;tcp"

    assert len(parse_path(" ".join([uri] * MOST_URIS_IN_PATH))) == MOST_URIS_IN_PATH
    with pytest.raises(MalformedMsrp):
        parse_path(" ".join([uri] * (MOST_URIS_IN_PATH + 1)))


def read(text: str) -> MsrpUri | None:
    """The URI, or None when it is refused; any other exception fails the test."""
    try:
        return MsrpUri.parse(text)
    except MalformedMsrp:
        return None


@pytest.mark.parametrize("end", range(len(FULL)))
def test_every_prefix_is_read_or_refused(end: int) -> None:
    uri = read(FULL[:end])

    assert uri is None or FULL.startswith(str(uri))


@given(st.one_of(st.text(), st.text("msrp:/[]%;=@.+a1 ").map(lambda text: f"msrp://{text}")))
def test_any_text_is_read_as_what_it_writes_or_refused(text: str) -> None:
    uri = read(text)

    if uri is not None:
        assert MsrpUri.parse(str(uri)) == uri
        assert uri.key == MsrpUri.parse(str(uri).replace("msrp://", "MSRP://")).key
