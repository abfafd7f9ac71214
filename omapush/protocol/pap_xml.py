"""
Read the XML of a PAP control entity so that nothing in it can surprise the parser behind.

PAP documents normally have a DOCTYPE, and a DOCTYPE is where XML is attacked. So the part before the
root element is read here, character by character, and cut away: the XML library never sees a DTD.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from omapush.errors import MalformedPap, UnsupportedPapVersion, shortened
from omapush.protocol import pap_tree
from omapush.protocol.pap_tree import Element
from omapush.protocol.pap_values import OUR_VERSIONS

MAX_BYTES: Final = 65_536
MAX_VERSIONS: Final = 32

_CODECS: Final = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii",
    "iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252",
    "utf-16": "utf-16-be", "utf-16be": "utf-16-be", "utf-16le": "utf-16-le",
}  # fmt: skip
"Charset name to codec; UTF-16 without a byte order mark is big-endian (RFC 2781 4.3)."
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
_ENCODING: Final = re.compile(rb"""<\?xml[^>]{0,80}?\sencoding\s{0,9}=\s{0,9}["']([!-~]{1,40}?)["']""")

# S ::= (#x20 | #x9 | #xD | #xA)+                                              XML 1.0 2.3
_S: Final = r"[ \t\r\n]"
# Char, without the control characters that XML 1.0 2.2 discourages
_NOT_A_CHAR: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Comment ::= '<!--' ((Char - '-') | ('-' (Char - '-')))* '-->'                XML 1.0 2.5
_COMMENT: Final = re.compile(r"<!--(?:[^-]|-[^-])*-->")
_BETWEEN: Final = re.compile(rf"(?:{_S}++|{_COMMENT.pattern})*")
# XMLDecl ::= '<?xml' VersionInfo EncodingDecl? SDDecl? S? '?>'                XML 1.0 2.8
_DECLARATION: Final = re.compile(
    rf"""<\?xml{_S}+version{_S}*={_S}*["']1\.[0-9]["']"""
    rf"""(?:{_S}+encoding{_S}*={_S}*["'][A-Za-z][A-Za-z0-9._\-]{{0,39}}["'])?"""
    rf"""(?:{_S}+standalone{_S}*={_S}*["'](?:yes|no)["'])?{_S}*\?>"""
)
# doctypedecl ::= '<!DOCTYPE' S Name (S ExternalID)? S? ('[' intSubset ']' S?)? '>'   XML 1.0 2.8
_LITERAL: Final = r"""(?:"[^"<>]{0,256}"|'[^'<>]{0,256}')"""
_DOCTYPE: Final = re.compile(
    rf"<!DOCTYPE{_S}+pap"
    rf"(?:{_S}+(?:PUBLIC{_S}+(?P<public>{_LITERAL})(?:{_S}+{_LITERAL})?|SYSTEM{_S}+{_LITERAL}))?{_S}*+(?P<end>[\[>])"
)
_SUBSET_END: Final = re.compile(rf"\]{_S}*+>")
_PUBLIC_ID: Final = re.compile(r"-//(?:WAPFORUM|OMA)//DTD PAP(?: ([0-9]{1,2}\.[0-9]{1,2}))?//EN")
_VERSION_LIST: Final = re.compile(
    rf"""<\?wap-pap-ver{_S}+supported-versions{_S}*={_S}*["']([0-9.,* ]{{1,256}})["']{_S}*\?>"""
)
_VERSION: Final = re.compile(r"[0-9]{1,2}\.(?:[0-9]{1,2}|\*)")


@dataclass(frozen=True, slots=True)
class Doctype:
    """What stands before the root element."""

    version: str | None = None
    "PAP version that the public id names."
    supported: tuple[str, ...] = ()
    "The `wap-pap-ver` list of the sender."

    @property
    def document_version(self) -> tuple[int, int]:
        """Version by which to read the document: of its public id, else the newest listed, else ours."""
        if self.version is not None:
            return version_key(self.version)
        listed = [version_key(version) for version in self.supported if not version.endswith("*")]
        return max(listed, default=version_key(OUR_VERSIONS[0]))

    @property
    def is_newer(self) -> bool:
        """Whether the document may hold attributes that came after our newest version."""
        return self.document_version > version_key(OUR_VERSIONS[0])


@dataclass(frozen=True, slots=True)
class PapXml:
    """A well-formed control entity."""

    root: Element
    doctype: Doctype


def version_key(version: str) -> tuple[int, int]:
    """Return `major.minor` as two numbers, so that versions compare."""
    major, minor = version.split(".")
    return int(major), int(minor)


def parse(data: bytes, charset: str | None, names: frozenset[str], max_bytes: int = MAX_BYTES) -> PapXml:
    """
    Return the tree of a control entity without comments, and the facts of its DOCTYPE.

    `names` are the element and attribute names of PAP. An unknown attribute is an error, or left out
    when the document is of a newer version than ours. A byte order mark wins over `charset`, and
    that over the XML declaration.

    Raises:
        MalformedPap: not well formed, above a limit of this module, or anything but white space,
            comments and `wap-pap-ver` around and inside the DOCTYPE.
        UnsupportedPapVersion: the public id is of a major version after ours.
    """
    text = _decoded(data, charset, max_bytes)
    doctype, start = _prolog(text)
    body = text[start:]
    _refuse_foreign_markup(body)
    lines_before = text.count("\n", 0, start)
    root = pap_tree.read(body, names, lenient=doctype.is_newer, lines_before=lines_before)
    return PapXml(root, doctype)


def _decoded(data: bytes, charset: str | None, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise MalformedPap("control entity", f"longer than {max_bytes} bytes")
    codec, mark = _codec(data, charset)
    try:
        text = data[mark:].decode(codec)
    except UnicodeDecodeError:
        raise MalformedPap("charset", f"the document is not {codec}") from None
    if not text.isprintable() and (bad := _NOT_A_CHAR.search(text)):
        raise MalformedPap("XML", f"character U+{ord(bad[0]):04X} is not allowed")
    return text


def _codec(data: bytes, charset: str | None) -> tuple[str, int]:
    """The codec of a document, and how many bytes its byte order mark has."""
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return codec, len(mark)
    if charset is None:
        declared = _ENCODING.match(data)
        charset = declared[1].decode() if declared else "utf-8"
    try:
        return _CODECS[charset.lower()], 0
    except KeyError:
        raise MalformedPap("charset", f"{shortened(charset)} is not supported") from None


def _prolog(text: str) -> tuple[Doctype, int]:
    """What the part before the root element says, and where the root element begins."""
    at = 0
    if declaration := _DECLARATION.match(text):
        at = declaration.end()
    doctype, at = _doctype(text, _end_of(_BETWEEN, text, at))
    at = _end_of(_BETWEEN, text, at)
    if not text.startswith("<", at) or text.startswith(("<!", "<?"), at):
        raise MalformedPap(
            "XML", "the root element is missing, or something before it is not allowed", text[at : at + 256]
        )
    return doctype, at


def _doctype(text: str, at: int) -> tuple[Doctype, int]:
    if not text.startswith("<!DOCTYPE", at):
        return Doctype(), at
    opening = _DOCTYPE.match(text, at)
    if opening is None:
        raise MalformedPap("DOCTYPE", "not that of PAP", text[at : at + 256])
    version = _public_version(opening["public"])
    if opening["end"] == ">":
        return Doctype(version), opening.end()
    supported, at = _internal_subset(text, opening.end())
    return Doctype(version, supported), at


def _public_version(literal: str | None) -> str | None:
    if literal is None:
        return None
    known = _PUBLIC_ID.fullmatch(" ".join(literal[1:-1].split()))
    if known is None:
        raise MalformedPap("DOCTYPE", f"unknown public id {shortened(literal)}")
    version: str = known[1] or "1.0"
    if version_key(version)[0] not in (1, 2):
        raise UnsupportedPapVersion("DOCTYPE", f"PAP {version} is not one of {', '.join(OUR_VERSIONS)}")
    return version


def _internal_subset(text: str, at: int) -> tuple[tuple[str, ...], int]:
    supported: tuple[str, ...] = ()
    at = _end_of(_BETWEEN, text, at)
    while listing := _VERSION_LIST.match(text, at):
        supported += tuple(version.strip() for version in listing[1].split(","))
        at = _end_of(_BETWEEN, text, listing.end())
    if len(supported) > MAX_VERSIONS or not all(map(_VERSION.fullmatch, supported)):
        problem = f"not 1 to {MAX_VERSIONS} versions: {shortened(','.join(supported))!r}"
        raise MalformedPap("wap-pap-ver", problem)
    end = _SUBSET_END.match(text, at)
    if end is None:
        raise MalformedPap("DOCTYPE", "only wap-pap-ver may stand inside it", text[at : at + 256])
    return supported, end.end()


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _refuse_foreign_markup(body: str) -> None:
    if "<!" not in body and "<?" not in body:
        return
    rest = _COMMENT.sub("", body)
    for opening in ("<!", "<?"):
        at = rest.find(opening)
        if at >= 0:
            raise MalformedPap("XML", f"{rest[at : at + 9]!r} has no place in PAP", rest[at : at + 256])
