"""Reg event bodies: the corpus, both quotings, GRUUs, and what XML should not try."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from omapush.errors import MalformedXml
from omapush.protocol import reginfo_xml
from omapush.protocol.reginfo import MOST_PROBLEMS, NAMES, ContactElement, RegInfo, read

ROOT = Path(__file__).parents[3]
VALID = ROOT / "tests" / "corpora" / "valid" / "reginfo"
INVALID = ROOT / "tests" / "corpora" / "invalid" / "reginfo"
GRAMMAR = etree.RelaxNG(etree.parse(ROOT / "schema" / "reginfo.rng"))
EXPECTED = tomllib.loads((INVALID / "expected.toml").read_text())
MENDED = "ampersand-not-escaped.xml"
INSTANCE = "<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>"
DOCUMENTS = sorted(VALID.glob("*.xml"))

pytestmark = pytest.mark.req("PSA-REG-2")


def corpus(name: str) -> RegInfo:
    return read((VALID / f"{name}.xml").read_bytes())


def contacts(info: RegInfo) -> list[ContactElement]:
    return [contact for registration in info.registrations for contact in registration.contacts]


def document(inside: str, attributes: str = 'id="76" state="active" event="registered"') -> bytes:
    return (
        '<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="0" state="full">'
        '<registration aor="sip:alice@home1.example" id="a7" state="active">'
        f"<contact {attributes}>{inside}</contact></registration></reginfo>"
    ).encode()


def with_uri(inside: str = "") -> bytes:
    return document(f"<uri>sip:alice@192.0.2.9</uri>{inside}")


def params(text: str) -> tuple[tuple[str, str | None], ...]:
    [contact] = contacts(read(with_uri(f'<unknown-param name="+x">{text}</unknown-param>')))
    return contact.params


def grammar_accepts(data: bytes) -> bool:
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return False
    return bool(GRAMMAR.validate(root))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_valid_document_is_read_and_the_grammar_accepts_it(path: Path) -> None:
    info = read(path.read_bytes())

    assert grammar_accepts(path.read_bytes()) is (path.name != MENDED)
    assert bool(info.problems) is (path.name == MENDED)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_invalid_document_is_refused_by_the_name_of_what_is_wrong(name: str) -> None:
    with pytest.raises(MalformedXml) as caught:
        read((INVALID / name).read_bytes())
    assert str(caught.value).startswith(EXPECTED[name]["says"])


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected["rng"]])
def test_the_grammar_refuses_what_a_grammar_can_tell(name: str) -> None:
    assert not grammar_accepts((INVALID / name).read_bytes())


def test_every_expectation_has_its_document() -> None:
    assert {path.name for path in INVALID.glob("*.xml")} == set(EXPECTED)


def test_grammar_and_reader_know_the_same_elements() -> None:
    tree = etree.parse(ROOT / "schema" / "reginfo.rng")
    names = {element.get("name") for element in tree.iter("{*}element")} - {None}

    assert names == set(NAMES.values())


def test_a_recorded_first_notify_starts_at_any_version_and_names_the_device() -> None:
    info = corpus("recorded-one-contact")
    [registration] = info.registrations
    [contact] = registration.contacts

    assert (info.version, info.full, registration.aor, registration.state) == (
        2, True, "sip:alice@ims.lab", "active",
    )  # fmt: skip
    assert (contact.uri, contact.event, contact.expires, contact.q) == (
        "sip:alice@127.0.50.1:5229", "registered", 3599, 0.0,
    )  # fmt: skip
    assert contact.params == (
        ("+sip.instance", "<urn:uuid:00000000-0000-1000-8000-000000000001>"),
        ("+g.3gpp.smsip", None),
    )


def test_every_identity_of_an_implicit_set_has_its_registration() -> None:
    info = corpus("recorded-implicit-set")

    assert [registration.aor for registration in info.registrations] == ["sip:bob@ims.lab", "tel:+15550102"]
    assert {contact.uri for contact in contacts(info)} == {"sip:bob@127.0.50.1:5999"}


def test_a_registration_may_end_without_naming_any_contact() -> None:
    [registration] = corpus("recorded-nobody-left").registrations

    assert (registration.state, registration.contacts) == ("terminated", ())


def test_a_core_that_reports_push_tags_is_read_like_any_other() -> None:
    assert ("+g.oma.pusheventapp", "mms.ua") in contacts(corpus("recorded-with-push-tag"))[0].params


def test_every_attribute_and_element_is_read() -> None:
    info = corpus("every-attribute-and-element")

    assert (info.version, info.full) == (1, False)
    assert contacts(info) == [
        ContactElement(
            id="76",
            state="active",
            event="shortened",
            expires=600,
            retry_after=5,
            uri="sip:alice@192.0.2.9:5066;transport=tcp",
            q=0.8,
            callid="1j9FpLxk3uxtm8tn@192.0.2.9",
            cseq=17,
            display_name="Alice of Home",
            params=(("+g.oma.pusheventapp", "ulp.ua,mms.ua"), ("+sip.instance", INSTANCE), ("audio", None)),
            pub_gruu=None,
            temp_gruu=None,
        )
    ]


def test_values_with_and_without_the_quotes_of_the_header_are_the_same() -> None:
    quoted = contacts(corpus("every-attribute-and-element"))[0].params

    assert contacts(corpus("quotes-left-out"))[0].params == quoted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" \n ", None),
        ('""', ""),
        ('"', '"'),
        ("&quot;ulp.ua&quot;", "ulp.ua"),
        ('\n "ulp.ua" ', "ulp.ua"),
        ('"&lt;A \\" B&gt;"', '<A \\" B>'),
        ("&lt;A&gt;", "<A>"),
        ('"#&gt;=4"', "#>=4"),
        ("<![CDATA[<A>]]>", "<A>"),
    ],
)
def test_one_pair_of_quotes_is_taken_off_a_parameter(text: str, value: str | None) -> None:
    assert params(text) == (("+x", value),)


def test_a_parameter_whose_name_no_header_could_have_is_left_out_and_told() -> None:
    info = read(with_uri('<unknown-param name="a b">1</unknown-param><unknown-param name="c"/>'))

    assert contacts(info)[0].params == (("c", None),)
    assert info.problems == ("unknown-param@name: not a token: a b",)


def test_gruus_reach_one_device() -> None:
    [contact] = contacts(corpus("gruus"))

    assert contact.pub_gruu == f"sip:alice@home1.example;gr={INSTANCE[1:-1]}"
    assert contact.temp_gruu == "sip:tgruu.7hs==jd7vnzga5w7fajsc7@home1.example;gr"


def test_a_gruu_that_is_no_uri_is_left_out_and_told() -> None:
    gruu = '<g:pub-gruu xmlns:g="urn:ietf:params:xml:ns:gruuinfo" uri="alice"/>'

    info = read(with_uri(gruu))

    assert contacts(info)[0].pub_gruu is None
    assert info.problems == ("pub-gruu@uri: not an URI: alice",)


def test_an_unknown_event_word_is_kept() -> None:
    events = [contact.event for contact in contacts(corpus("every-contact-event"))]

    assert events[-1] == "teleported"
    assert len(events) == 10


@pytest.mark.parametrize(
    ("event", "attribute"), [("shortened", "expires"), ("probation", "retry-after")], ids=["expires", "retry"]
)
def test_an_event_without_the_time_it_needs_is_read_and_told(event: str, attribute: str) -> None:
    info = read(document("<uri>sip:a@h</uri>", f'id="1" state="active" event="{event}"'))

    assert info.problems == (f"contact@{attribute}: missing, although the event is {event}",)


def test_times_are_cut_to_what_sip_can_say() -> None:
    attributes = f'id="1" state="active" event="registered" expires="{2**32}" cseq="{10**20 - 1}"'

    [contact] = contacts(read(document("<uri>sip:a@h</uri>", attributes)))

    assert (contact.expires, contact.cseq) == (2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("q", ["2", "0.5555", "1.1", "", "high"])
def test_a_q_that_is_none_is_left_out_and_told(q: str) -> None:
    info = read(document("<uri>sip:a@h</uri>", f'id="1" state="active" event="registered" q="{q}"'))

    assert contacts(info)[0].q is None
    assert info.problems[0].startswith("contact@q: not a qvalue")


def test_problems_are_told_a_few_times_only() -> None:
    info = read(with_uri('<unknown-param name="a b"/>' * 50))

    assert len(info.problems) == MOST_PROBLEMS


@pytest.mark.parametrize(
    "name", ["foreign-everywhere", "look-alikes-of-another-namespace", "namespace-redefined-below"]
)
def test_what_is_of_another_namespace_adds_and_changes_nothing(name: str) -> None:
    info = corpus(name)

    assert info.version != 77
    assert [(contact.uri, contact.state) for contact in contacts(info)] == [("sip:alice@192.0.2.9", "active")]
    assert contacts(info)[0].params == ()
    assert contacts(info)[0].pub_gruu is None


def test_elements_of_ours_mean_nothing_inside_foreign_ones_or_in_the_wrong_place() -> None:
    uri = "<uri>sip:mallory@192.0.2.66</uri>"
    foreign = f'<x xmlns="urn:x"><contact xmlns="urn:ietf:params:xml:ns:reginfo">{uri}</contact></x>'

    info = read(with_uri(f'{foreign}<registration aor="sip:m@h" id="9" state="active"/>'))

    assert [contact.uri for contact in contacts(info)] == ["sip:alice@192.0.2.9"]
    assert len(info.registrations) == 1


def test_a_comment_inside_a_value_is_no_part_of_it_and_cdata_is() -> None:
    [contact] = contacts(corpus("comments-cdata-and-instructions"))

    assert contact.uri == "sip:alice@192.0.2.9?a=1&b=2"


def test_an_ampersand_that_was_not_escaped_is_read_as_itself_and_told() -> None:
    info = corpus("ampersand-not-escaped")

    assert contacts(info)[0].uri == "sip:alice@192.0.2.9?subject=a&priority=urgent&x=1&lt=2"
    assert info.problems == ("XML: & was not escaped, it is read as itself",)


def test_an_entity_that_nobody_declared_is_plain_text() -> None:
    assert contacts(read(document("<uri>sip:a@h?x=&xxe;</uri>")))[0].uri == "sip:a@h?x=&xxe;"


def test_a_second_flaw_beside_the_ampersand_is_not_mended() -> None:
    with pytest.raises(MalformedXml, match="mismatched tag"):
        read(document("<uri>sip:a@h?a&b</uri><display-name>"))


def test_an_element_that_nobody_asked_for_leaves_no_trace_in_libxml() -> None:
    """expat reads the document, so a peer cannot fill our memory with names."""
    assert not hasattr(reginfo_xml, "etree")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/reginfo+xml",
        "Application/RegInfo+XML ; charset=UTF-8",
        'application/reginfo+xml;charset="us-ascii"',
    ],
)
def test_the_content_type_may_be_written_in_any_case_and_with_a_charset(content_type: str) -> None:
    assert read(with_uri(), content_type).version == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "x",
        "application/pidf+xml",
        "application/reginfo+xml;charset=utf-16",
        "application/reginfo+xml;a=1;a=2",
    ],
)
def test_another_content_type_is_refused_unread(content_type: str) -> None:
    with pytest.raises(MalformedXml, match=r"^Content-Type: "):
        read(with_uri(), content_type)


def test_a_long_document_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(MalformedXml, match="longer than 262144 bytes"):
        read(with_uri() + b" " * reginfo_xml.MAX_BYTES)


@pytest.mark.parametrize("element", ["<a/>", '<a b=""/>', "<contact/>"])
def test_elements_and_attributes_are_counted(element: str) -> None:
    with pytest.raises(MalformedXml, match="more than 20000 elements and attributes"):
        read(with_uri(f'<x xmlns="urn:x">{element * 20_000}</x>'))


def test_a_text_that_is_too_long_is_refused_where_it_stands() -> None:
    with pytest.raises(MalformedXml, match=r"^display-name: longer than 4096"):
        read(with_uri(f"<display-name>{'a' * 4097}</display-name>"))


def largest(inside: str) -> RegInfo:
    """Read a document with `inside` that is filled up to the largest size."""
    data = with_uri(inside)
    return read(data + b" " * (reginfo_xml.MAX_BYTES - len(data)))


@pytest.mark.parametrize(
    "inside",
    [
        f"<display-name>{'a' * 4096}</display-name>",
        f'<x xmlns="urn:x" a="{"a" * 4096}"/>',
        "<x xmlns='urn:x' " + " ".join(f"a{number}=''" for number in range(64)) + "/>",
        f'<x xmlns="{"x" * 256}"/>',
        f'<x xmlns="urn:x">{"<a/>" * (20_000 - 13)}</x>',
        '<x xmlns="urn:x">' + "<a>" * 12 + "</a>" * 12 + "</x>",
    ],
    ids=["text", "attribute", "attributes", "namespace", "nodes", "depth"],
)
def test_what_just_keeps_a_limit_is_read(inside: str) -> None:
    assert contacts(largest(inside))[0].uri == "sip:alice@192.0.2.9"


def test_a_uri_of_the_largest_length_is_read() -> None:
    uri = "sip:" + "a" * 1020

    assert contacts(read(document(f"<uri>{uri}</uri>")))[0].uri == uri


def test_white_space_between_elements_is_not_counted_as_text() -> None:
    assert read(with_uri("\n" * 5000)).problems == ()


def test_a_value_cut_in_pieces_by_the_parser_is_whole() -> None:
    """expat hands text over in pieces: at each entity, and where a chunk ends."""
    name = "&amp;a" * 2000

    [contact] = contacts(read(with_uri(" " * 8000 + f"<display-name>{name}</display-name>")))

    assert contact.display_name == "&a" * 2000


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_cut_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes().rstrip()

    for end in range(len(data)):
        with pytest.raises(MalformedXml):
            read(data[:end])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(MalformedXml):
        read(data)


@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_document_with_other_bytes_somewhere_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    original = path.read_bytes()
    at = data.draw(st.integers(0, len(original)))
    length = data.draw(st.integers(0, 8))
    other = data.draw(st.binary(max_size=8) | st.sampled_from([b"&", b"<", b'"', b"&#1;", b"</", b"]]>"]))

    try:
        info = read(original[:at] + other + original[at + length :])
    except MalformedXml:
        return
    assert 0 <= info.version < 2**32
    assert all(" " not in contact.uri for contact in contacts(info))
