"""UAProf documents: the ways RDF can say the same, and what XML should not try."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedXml
from omapush.protocol.uaprof import MOST_VALUES, PushCharacteristics, read, write

ROOT = Path(__file__).parents[3] / "tests" / "corpora"
VALID = ROOT / "valid" / "uaprof"
INVALID = ROOT / "invalid" / "uaprof"
EXPECTED = tomllib.loads((INVALID / "expected.toml").read_text())
SCHEMA = "http://www.wapforum.org/UAPROF/ccppschema-20021113#"

pytestmark = pytest.mark.req("PROP-CAP-4", "SIPPUSH-PSA-S-003")


def profile(inside: str, schema: str = SCHEMA) -> bytes:
    return (
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:prf="{schema}">'
        f"<rdf:Description>{inside}</rdf:Description></rdf:RDF>"
    ).encode()


def test_bags_and_numbers_are_read() -> None:
    assert read((VALID / "bags.rdf").read_bytes()) == PushCharacteristics(
        types=("application/vnd.wap.mms-message", "text/plain", "image/*"),
        charsets=("utf-8",),
        encodings=("gzip", "base64"),
        languages=("en", "fi"),
        applications=("x-wap-application:mms.ua", "x-oma-application:ulp.ua"),
        largest_bytes=1400,
        most_requests=5,
    )


def test_a_typed_node_numbered_members_and_resources_say_the_same() -> None:
    assert read((VALID / "typed-node-and-old-namespace.rdf").read_bytes()) == PushCharacteristics(
        types=("text/vnd.wap.si", "text/vnd.wap.sl"),
        applications=("x-wap-application:wml.ua",),
        largest_bytes=512,
    )


def test_a_default_counts_only_where_nothing_else_is_said() -> None:
    found = read((VALID / "defaults.rdf").read_bytes())

    assert (found.types, found.largest_bytes) == (("text/html",), 2000)


def test_a_bare_list_and_a_property_attribute_are_read() -> None:
    found = read((VALID / "literals-and-attributes.rdf").read_bytes())

    assert (found.types, found.largest_bytes) == (("text/plain", "text/html"), 900)


def test_a_profile_without_push_says_nothing() -> None:
    assert read((VALID / "no-push.rdf").read_bytes()) == PushCharacteristics()


def test_a_property_of_another_vocabulary_is_passed_over() -> None:
    inside = "<prf:Push-Accept>text/plain</prf:Push-Accept>"

    assert read(profile(inside, "http://elsewhere.example/#")) == PushCharacteristics()


@pytest.mark.parametrize("name", EXPECTED)
def test_every_invalid_document_is_refused_by_the_name_of_what_is_wrong(name: str) -> None:
    with pytest.raises(MalformedXml) as caught:
        read((INVALID / name).read_bytes())
    assert str(caught.value).startswith(EXPECTED[name])


def test_too_many_values_are_refused() -> None:
    members = "".join(f"<rdf:li>a/{number}</rdf:li>" for number in range(MOST_VALUES + 1))

    with pytest.raises(MalformedXml, match="Push-Accept: more than"):
        read(profile(f"<prf:Push-Accept><rdf:Bag>{members}</rdf:Bag></prf:Push-Accept>"))


def test_a_value_too_long_is_refused() -> None:
    with pytest.raises(MalformedXml, match="Push-Accept: a value longer"):
        read(profile(f"<prf:Push-Accept>a/{'b' * 300}</prf:Push-Accept>"))


WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-./*+", min_size=1, max_size=20)
BAG = st.none() | st.lists(WORD, max_size=5, unique=True).map(tuple)


@given(st.builds(PushCharacteristics, BAG, BAG, BAG, BAG, BAG, *[st.none() | st.integers(0, 10**9)] * 2))
def test_what_is_written_is_read_back(known: PushCharacteristics) -> None:
    assert read(write(known)) == known


@pytest.mark.parametrize("path", sorted(VALID.glob("*.rdf")), ids=lambda path: path.name)
def test_every_beginning_of_a_document_is_refused(path: Path) -> None:
    data = path.read_bytes().rstrip()
    for length in range(len(data)):
        with pytest.raises(MalformedXml):
            read(data[:length])


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: profile(text)))
def test_any_input_is_read_or_refused(data: bytes) -> None:
    with suppress(MalformedXml):
        assert isinstance(read(data), PushCharacteristics)
