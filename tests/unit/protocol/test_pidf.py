"""Presence documents: service capabilities, and what XML should not try."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedXml
from omapush.protocol.pidf import MOST_TUPLES, Service, read

ROOT = Path(__file__).parents[3] / "tests" / "corpora"
VALID = ROOT / "valid" / "pidf"
INVALID = ROOT / "invalid" / "pidf"
EXPECTED = tomllib.loads((INVALID / "expected.toml").read_text())

pytestmark = pytest.mark.req("PROP-CAP-5")


def test_what_each_service_can_do_is_read() -> None:
    push, closed, silent = read((VALID / "servcaps.xml").read_bytes())

    assert push == Service(
        id="push",
        open=True,
        contact="sip:alice@192.0.2.7",
        device="urn:uuid:D27459B7-8213-4395-AA77-ED859A3E5B3A",
        service_id="org.openmobilealliance:Push",
        types=("text/plain", "application/vnd.wap.mms-message"),
        refused=("image/tiff",),
        methods=("MESSAGE", "INVITE"),
    )
    assert (closed.open, closed.types) == (False, ("image/png",))
    assert (silent.open, silent.types, silent.methods) == (True, None, None)


def test_types_as_plain_text_are_read_and_unknown_elements_passed_over() -> None:
    [service] = read((VALID / "type-as-text-and-foreign.xml").read_bytes())

    assert (service.types, service.methods) == (("text/html",), ("MESSAGE",))


@pytest.mark.parametrize("name", EXPECTED)
def test_every_invalid_document_is_refused_by_the_name_of_what_is_wrong(name: str) -> None:
    with pytest.raises(MalformedXml) as caught:
        read((INVALID / name).read_bytes())
    assert str(caught.value).startswith(EXPECTED[name])


def test_another_content_type_is_refused() -> None:
    with pytest.raises(MalformedXml, match="Content-Type"):
        read(b"<presence/>", "text/plain")


def test_too_many_tuples_are_refused() -> None:
    tuples = "".join(f'<tuple id="t{number}"/>' for number in range(MOST_TUPLES + 1))

    with pytest.raises(MalformedXml, match="more than"):
        read(f'<presence xmlns="urn:ietf:params:xml:ns:pidf">{tuples}</presence>'.encode())


@pytest.mark.parametrize("path", sorted(VALID.glob("*.xml")), ids=lambda path: path.name)
def test_every_beginning_of_a_document_is_refused(path: Path) -> None:
    data = path.read_bytes().rstrip()
    for length in range(len(data)):
        with pytest.raises(MalformedXml):
            read(data[:length])


@given(st.binary(max_size=300), st.text(max_size=40) | st.just("application/pidf+xml"))
def test_any_input_is_read_or_refused(data: bytes, content_type: str) -> None:
    with suppress(MalformedXml):
        assert isinstance(read(data, content_type), tuple)
