"""PAP documents as we write them: read again, they are the same values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from omapush.errors import UnsupportedPapVersion
from omapush.protocol import pap_values as pap
from omapush.protocol.pap_reader import read_control
from omapush.protocol.pap_writer import write

ROOT = Path(__file__).parents[3]
GRAMMAR = etree.RelaxNG(etree.parse(ROOT / "schema" / "pap.rng"))

# A line break or tab in an attribute is read as a space, so only printable characters come back as sent.
PRINTABLE = st.characters(min_codepoint=0x20, exclude_categories=["C", "Zl", "Zp"])
TEXT = st.text(PRINTABLE, max_size=40)
MAYBE_TEXT = st.none() | TEXT
ID = st.text(PRINTABLE, min_size=1, max_size=256)
ADDRESS = st.text(PRINTABLE, min_size=1, max_size=60)
ADDRESSES = st.lists(ADDRESS, max_size=4).map(tuple)
SOME_ADDRESSES = st.lists(ADDRESS, min_size=1, max_size=4).map(tuple)
FIRST, LAST = -62135596800, 253402300799
TIME = st.none() | st.integers(FIRST, LAST)
CODE = st.from_regex(r"[1-5][0-9]{3,4}", fullmatch=True)
STATE = st.sampled_from(pap.MessageState)
METHOD = st.none() | st.sampled_from(pap.DeliveryMethod)
URL = st.none() | st.sampled_from(["https://pi.example/notify?a=1&b='<2>'", "http://[2001:db8::7]:8080/"])


def in_order(push: pap.PushMessage) -> bool:
    before, after = push.deliver_before, push.deliver_after
    return before is None or after is None or before > after


PUSH = st.builds(
    pap.PushMessage,
    ID,
    SOME_ADDRESSES,
    st.none() | ID,
    st.sampled_from(pap.ReplaceMethod),
    TIME,
    TIME,
    MAYBE_TEXT,
    URL,
    st.booleans(),
    st.sampled_from(pap.Priority),
    st.sampled_from(pap.DeliveryMethod),
    MAYBE_TEXT,
    st.booleans(),
    MAYBE_TEXT,
    st.booleans(),
).filter(in_order)
NOTES = st.lists(st.builds(pap.ProgressNote, STATE.map(str), MAYBE_TEXT, TIME), max_size=3).map(tuple)
CANCEL_RESULTS = st.lists(st.builds(pap.CancelResult, CODE, MAYBE_TEXT, ADDRESSES), min_size=1, max_size=3)
STATUS_RESULTS = st.lists(
    st.builds(pap.StatusQueryResult, STATE, CODE, MAYBE_TEXT, ADDRESSES, TIME, METHOD), min_size=1, max_size=3
)
OPERATIONS = st.one_of(
    PUSH,
    st.builds(pap.PushResponse, ID, CODE, MAYBE_TEXT, TIME, MAYBE_TEXT, MAYBE_TEXT, NOTES),
    st.builds(pap.CancelMessage, ID, ADDRESSES),
    st.builds(pap.CancelResponse, ID, CANCEL_RESULTS.map(tuple)),
    st.builds(pap.StatusQuery, ID, ADDRESSES),
    st.builds(pap.StatusQueryResponse, ID, STATUS_RESULTS.map(tuple)),
    st.builds(pap.CcqMessage, ID, MAYBE_TEXT, SOME_ADDRESSES),
    st.builds(pap.CcqResponse, ID, CODE, MAYBE_TEXT, st.none() | ADDRESS),
    st.builds(
        pap.ResultNotification,
        ID,
        ADDRESS,
        STATE,
        CODE,
        MAYBE_TEXT,
        TIME,
        TIME,
        MAYBE_TEXT,
        MAYBE_TEXT,
        METHOD,
    ),
    st.builds(pap.ResultNotificationResponse, ID, CODE, MAYBE_TEXT, st.none() | ADDRESS),
    st.builds(pap.BadMessage, CODE, MAYBE_TEXT, TEXT),
)


@given(OPERATIONS, st.sampled_from(["2.0", "2.1", "2.2"]), MAYBE_TEXT)
def test_what_was_written_reads_as_the_same_operation(
    operation: pap.Operation, version: str, product_name: str | None
) -> None:
    document = read_control(write(operation, version=version, product_name=product_name), "application/xml")

    assert document == pap.PapDocument(operation, product_name, pap.OUR_VERSIONS, pap.OUR_VERSIONS[0])


@given(OPERATIONS)
def test_what_was_written_is_what_the_grammar_allows(operation: pap.Operation) -> None:
    """The grammar is read by another implementation than our reader: no common mistake hides."""
    root = etree.fromstring(write(operation), etree.XMLParser(resolve_entities=False, no_network=True))

    assert GRAMMAR.validate(root), GRAMMAR.error_log


@given(st.text(max_size=60))
def test_characters_that_a_document_cannot_carry_become_spaces(desc: str) -> None:
    document = read_control(write(pap.PushResponse("p", "1001", desc)), "application/xml")

    assert isinstance(document.operation, pap.PushResponse)
    assert document.operation.desc is not None
    assert len(document.operation.desc) == len(desc)
    assert all(ours in (theirs, " ") for ours, theirs in zip(document.operation.desc, desc, strict=True))


def test_a_control_character_or_half_a_character_is_a_space() -> None:
    written = write(pap.BadMessage("2000", "a\r\n\x00\x85b", "<\ud800>\ufffe"))

    assert b'desc="a    b" bad-message-fragment="&lt; &gt; "' in written


@pytest.mark.parametrize(
    ("version", "public_id"),
    [
        ("1.0", b"-//WAPFORUM//DTD PAP 1.0//EN"),
        ("2.0", b"-//WAPFORUM//DTD PAP 2.0//EN"),
        ("2.1", b"-//WAPFORUM//DTD PAP 2.1//EN"),
        ("2.2", b"-//OMA//DTD PAP 2.2//EN"),
    ],
)
def test_each_version_has_its_document_type_and_our_version_list(version: str, public_id: bytes) -> None:
    written = write(pap.CancelMessage("p"), version=version)

    declaration = b'<?xml version="1.0" encoding="UTF-8"?>\n'
    assert written.startswith(declaration + b'<!DOCTYPE pap PUBLIC "' + public_id + b'"')
    assert b'[<?wap-pap-ver supported-versions="2.2,2.1,2.0,1.0"?>]>' in written


def test_a_push_without_wishes_has_no_quality_of_service() -> None:
    written = write(pap.PushMessage("p", ("alice@home1.example",)))

    expected = '<push-message push-id="p"><address address-value="alice@home1.example"/></push-message>'
    assert written.endswith(f"<pap>{expected}</pap>\n".encode())


def test_a_bad_message_always_shows_its_fragment() -> None:
    assert b'<badmessage-response code="2000" bad-message-fragment=""/>' in write(pap.BadMessage("2000"))


@pytest.mark.parametrize("version", ["", "2", "2.3", "3.0", "2.1\n"])
def test_an_unknown_version_is_refused(version: str) -> None:
    with pytest.raises(UnsupportedPapVersion):
        write(pap.CancelMessage("p"), version=version)


def test_a_replacement_cannot_be_said_in_the_first_version() -> None:
    push = pap.PushMessage("p", ("sip:alice@home1.example",), replace_push_id="o")

    with pytest.raises(UnsupportedPapVersion, match="replace-push-id"):
        write(push, version="1.0")
