"""The XML below PAP: what the parser behind it never gets to see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedPap, UnsupportedPapVersion
from omapush.protocol import pap_xml
from omapush.protocol.pap_xml import Doctype, PapXml, version_key

NAMES = frozenset({"pap", "push-message", "push-id", "address", "address-value"})
ROOT = b'<pap><push-message push-id="1"/></pap>'


def parse(data: bytes, charset: str | None = None) -> PapXml:
    return pap_xml.parse(data, charset, NAMES)


def doctype(public_id: str, subset: str = "") -> bytes:
    return f'<!DOCTYPE pap PUBLIC "{public_id}" "x.dtd"{subset}>'.encode() + ROOT


@pytest.mark.parametrize(
    ("public_id", "version"),
    [
        ("-//WAPFORUM//DTD PAP 1.0//EN", "1.0"),
        ("-//WAPFORUM//DTD PAP//EN", "1.0"),
        ("-//WAPFORUM//DTD PAP 2.0//EN", "2.0"),
        ("-//WAPFORUM//DTD  PAP\n2.1//EN", "2.1"),
        ("-//OMA//DTD PAP 2.1//EN", "2.1"),
        ("-//OMA//DTD PAP 2.2//EN", "2.2"),
        ("-//OMA//DTD PAP 2.10//EN", "2.10"),
    ],
)
def test_the_public_id_names_the_version(public_id: str, version: str) -> None:
    assert parse(doctype(public_id)).doctype == Doctype(version)


def test_the_version_list_of_the_sender_is_kept_as_written() -> None:
    subset = ' [ <!-- ours --> <?wap-pap-ver supported-versions="2.1, 2.0,1.*"?> ]'

    assert parse(doctype("-//OMA//DTD PAP 2.1//EN", subset)).doctype.supported == ("2.1", "2.0", "1.*")


def test_no_doctype_is_no_fault() -> None:
    assert parse(ROOT).doctype == Doctype()


def test_a_major_version_after_ours_is_a_version_problem_and_not_a_malformed_document() -> None:
    with pytest.raises(UnsupportedPapVersion, match=r"PAP 3\.0"):
        parse(doctype("-//OMA//DTD PAP 3.0//EN"))


@pytest.mark.parametrize(
    ("facts", "newer"),
    [
        (Doctype(), False),
        (Doctype("2.2"), False),
        (Doctype("2.10"), True),
        (Doctype("2.1", ("2.3", "2.1")), False),
        (Doctype(None, ("2.3", "2.*")), True),
        (Doctype(None, ("2.*",)), False),
    ],
)
def test_the_public_id_decides_how_new_a_document_is_and_the_list_only_without_one(
    facts: Doctype, newer: bool
) -> None:
    assert facts.is_newer is newer


def test_versions_compare_as_numbers() -> None:
    assert version_key("2.10") > version_key("2.9") > version_key("1.0")


def test_the_xml_library_gets_neither_doctype_nor_comment() -> None:
    root = parse(b"<!--a-->" + doctype("-//OMA//DTD PAP 2.1//EN") + b"<!--b-->").root

    assert root.written().encode() == ROOT


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("<pap push-id='ä'/>".encode(), None),
        ("<pap push-id='ä'/>".encode("utf-8-sig"), "iso-8859-1"),
        ("<pap push-id='ä'/>".encode("latin-1"), "ISO-8859-1"),
        ("<?xml version='1.0' encoding='utf-8'?><pap push-id='ä'/>".encode("latin-1"), "ISO-8859-1"),
        ("<?xml version='1.0' encoding='windows-1252'?><pap push-id='ä'/>".encode("cp1252"), None),
        ("<pap push-id='ä'/>".encode("utf-16"), None),
        ("<pap push-id='ä'/>".encode("utf-16"), "utf-8"),
        ("<pap push-id='ä'/>".encode("utf-16-be"), "UTF-16"),
        ("<pap push-id='ä'/>".encode("utf-16-le"), "utf-16le"),
    ],
)
def test_the_charset_is_that_of_the_mark_else_the_parameter_else_the_declaration(
    data: bytes, charset: str | None
) -> None:
    assert parse(data, charset).root.get("push-id") == "ä"


@pytest.mark.parametrize("charset", ["utf-7", "utf-32", "cp037", "idna", "zlib", "", "x" * 500])
def test_another_charset_is_refused_by_its_name(charset: str) -> None:
    with pytest.raises(MalformedPap, match=r"^charset: .*is not supported$"):
        parse(ROOT, charset)


def test_an_error_in_the_document_names_the_line_of_the_whole_document() -> None:
    with pytest.raises(MalformedPap, match=r"^XML: line 5: "):
        parse(b"<?xml version='1.0'?>\n<!DOCTYPE pap>\n<pap>\n \t\n<push-message></pap>")


@pytest.mark.parametrize(
    ("document", "says", "fragment"),
    [
        (b"<pap><!--x--><x a='1'>b</x></pap>", "x: unknown element", "<x a='1'>b</x></pap>"),
        (b"<pap x='&lt;1'/>", "pap@x: unknown attribute", 'x="&lt;1"'),
        (b"<pap>a=\"<x b='c'/>\"</pap>", "x: unknown element", "<x b='c'/>\"</pap>"),
        (b"<pap xmlns:x='y'/>", "pap@xmlns:x: unknown attribute", 'xmlns:x="y"'),
    ],
)
def test_a_name_that_pap_does_not_have_is_shown(document: bytes, says: str, fragment: str) -> None:
    with pytest.raises(MalformedPap) as caught:
        parse(document)

    assert (str(caught.value), caught.value.fragment) == (says, fragment)


def test_text_is_seen_wherever_it_stands() -> None:
    root = parse(b"<pap>\n<push-message> \t</push-message>x</pap>").root

    assert (root.has_text, root.children[0].has_text) == (True, False)


def test_an_element_is_written_as_it_was_read() -> None:
    message = '<push-message push-id="&quot;&lt;&amp;\'"><address address-value="ä"/></push-message>'

    assert parse(f"<pap>{message}</pap>".encode()).root.children[0].written() == message


@pytest.mark.parametrize(
    "unknown", ["", " a='{0}' b='{0}'", "".join(f" a{number}='1'" for number in range(64))]
)
def test_bounds_hold_for_attributes_that_are_left_out_too(unknown: str) -> None:
    start = doctype("-//OMA//DTD PAP 2.3//EN").removesuffix(ROOT)
    for text, is_taken in (("x" * 4_000, True), ("x" * 4_096, not unknown or "a1" in unknown)):
        document = start + f"<pap push-id='1'{unknown.format(text)}/>".encode()
        if is_taken and "a1" not in unknown:
            assert parse(document).root.attributes == {"push-id": "1"}
        else:
            with pytest.raises(MalformedPap, match=r"longer than 4096 characters|more than 64 attributes"):
                parse(document)


def test_unknown_attributes_of_a_newer_version_are_left_out_and_all_else_stays() -> None:
    document = doctype("-//OMA//DTD PAP 2.3//EN").replace(b"push-id", b"a='\xc3\xa4' xml:b='>' push-id")

    root = parse(document.replace(b"<pap>", b"<pap><!-- x='y' -->")).root

    assert root.children[0].attributes == {"push-id": "1"}


# A pattern that tries every place again would need longer than this for 64 KiB; ours need milliseconds.
@pytest.mark.timeout(2)
@pytest.mark.parametrize(
    "opening", ["<!DOCTYPE pap [", "<!--", "<?xml ", "<pap ", "a=", "' ", "<![CDATA[", '="', "<!"]
)
def test_a_repeated_opening_costs_no_more_than_the_document_is_long(opening: str) -> None:
    with pytest.raises(MalformedPap):
        parse(b"<pap>" + (opening * 65_000)[:65_000].encode())


@pytest.mark.timeout(2)
@pytest.mark.parametrize("filler", ["a", " ", "\n", "-", "<", '"', "a ", "a=' "])
def test_a_long_run_of_one_character_costs_no_more_than_the_document_is_long(filler: str) -> None:
    for start in (b"", b"<?xml version='1.0'", b"<!DOCTYPE pap ", b"<!DOCTYPE pap [<!--", b"<pap ", b"<pap>"):
        with pytest.raises(MalformedPap):
            parse(start + (filler * 65_000)[:65_000].encode())


def test_a_document_of_64_kib_is_the_longest() -> None:
    assert parse(ROOT + b" " * (pap_xml.MAX_BYTES - len(ROOT)))
    with pytest.raises(MalformedPap, match="longer than 65536 bytes"):
        parse(ROOT + b" " * (pap_xml.MAX_BYTES - len(ROOT) + 1))


PIECES = [
    "<pap>",
    "</pap>",
    "<!DOCTYPE pap",
    " [",
    "]",
    ">",
    "<!--",
    "-->",
    "<?xml version='1.0'",
    "?>",
    "<push-message ",
    "/>",
    "push-id='1' ",
    " PUBLIC '-//OMA//DTD PAP 2.1//EN'",
    "<!ENTITY a 'b'",
    "&a;",
    "&#1;",
    "\ufeff",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join).map(str.encode) | st.binary(max_size=80))
def test_any_bytes_are_a_tree_or_the_typed_error(data: bytes) -> None:
    try:
        tree = parse(data)
    except MalformedPap:
        return
    assert tree.root.tag in NAMES
