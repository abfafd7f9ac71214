"""
Read the XML of a reg event body so that nothing in it can surprise the reader behind.

Anybody may add elements to reginfo, and libxml keeps each name it ever met for as long as the process
lives. So the document goes through expat, which forgets it, and only elements asked for come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from omapush.errors import MalformedXml, shortened

MAX_BYTES: Final = 262_144
MAX_DEPTH: Final = 16
MAX_ATTRIBUTES: Final = 64
MAX_TEXT: Final = 4096
"Characters of one attribute, or of the text of one element."
MAX_NAMESPACE: Final = 256
"Characters of a namespace name: expat copies it for each element that is in it."
MAX_NODES: Final = 20_000
"Elements and attributes together."

# What an exception leaves unread of a chunk still runs through expat, without anyone listening.
_CHUNK: Final = 8192
# Reference ::= EntityRef | CharRef                                             XML 1.0 4.1
_BARE_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")


@dataclass(slots=True)
class Element:
    """One element that was asked for; `name` is the short name that the caller gave it."""

    name: str
    attributes: dict[str, str]
    "Those without a namespace."
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    is_mixed: bool = False
    "Whether elements that nobody asked for were left out of it."

    def text(self) -> str:
        """
        Return the text, white space at its ends taken off and inside made single spaces.

        Raises:
            MalformedXml: an element stands inside the text, or it is too long.
        """
        if self.children or self.is_mixed:
            raise MalformedXml(self.name, "holds an element where only text belongs")
        text = " ".join("".join(self.pieces).split())
        if len(text) > MAX_TEXT:
            raise MalformedXml(self.name, f"longer than {MAX_TEXT} characters")
        return text


def child_of(element: Element | None, name: str) -> Element | None:
    """Return the first child of that name; None when there is none, or no element."""
    children = element.children if element is not None else ()
    return next((child for child in children if child.name == name), None)


def text_of(element: Element | None, name: str) -> str:
    """
    Return the text of that child, empty when there is none.

    Raises:
        MalformedXml: as `Element.text` does.
    """
    child = child_of(element, name)
    return "" if child is None else child.text()


def parse(data: bytes, names: Mapping[str, str]) -> tuple[Element, tuple[str, ...]]:
    """
    Return the tree of the elements in `names`, and what had to be mended to get it.

    `names` maps `namespace name` (one space) to a short name. An element that is not in it is left out
    with all that it holds. Only one flaw is mended, that of an S-CSCF that writes `&` for `&amp;`.

    Raises:
        MalformedXml: not UTF-8, not well formed, a document type, another root, or above a limit.
    """
    text = _decoded(data)
    try:
        return _tree(text, names), ()
    except expat.ExpatError as error:
        if "<!" in text:  # in a comment or in CDATA an & is no flaw, so no mending is safe
            raise _not_well_formed(error) from None
    try:
        mended = _BARE_AMPERSAND.sub("&amp;", text)
        return _tree(mended, names), ("XML: & was not escaped, it is read as itself",)
    except expat.ExpatError as error:
        raise _not_well_formed(error) from None


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise MalformedXml("XML", f"longer than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedXml("XML", "not UTF-8") from None
    if "\0" in text:  # expat would take it for UTF-16, in which a DOCTYPE looks otherwise
        raise MalformedXml("XML", "character U+0000 is not allowed")
    if "<!DOCTYPE" in text:
        raise MalformedXml("XML", "a document type is not allowed")
    return text


def _tree(text: str, names: Mapping[str, str]) -> Element:
    document = _Document(names)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartNamespaceDeclHandler = document.declare
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.add_text
    for at in range(0, len(text), _CHUNK):
        parser.Parse(text[at : at + _CHUNK], False)
    parser.Parse("", True)
    if document.root is None:
        raise MalformedXml("XML", f"the document is {shortened(document.root_name)}")
    return document.root


def _not_well_formed(error: expat.ExpatError) -> MalformedXml:
    return MalformedXml("XML", f"line {error.lineno}: {expat.ErrorString(error.code)}")


class _Document:
    """Builds the tree from expat's events; it does not know the parser, so both are freed at once."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.root: Element | None = None
        self.root_name = ""
        self._names = names
        self._open: list[Element] = []
        self._foreign = 0  # depth inside an element that is left out
        self._nodes = 0

    def declare(self, _prefix: str | None, namespace: str | None) -> None:
        if namespace is not None and len(namespace) > MAX_NAMESPACE:
            raise MalformedXml("XML", f"namespace longer than {MAX_NAMESPACE} characters")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._check_limits(name, attributes)
        self.root_name = self.root_name or name
        known = None if self._foreign else self._names.get(name)
        if known is None:
            if not self._foreign and self._open:
                self._open[-1].is_mixed = True
            self._foreign += 1
            return
        element = Element(known, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        if self._foreign:
            self._foreign -= 1
        else:
            self._open.pop()

    def add_text(self, text: str) -> None:
        if not self._foreign:
            self._open[-1].pieces.append(text)

    def _check_limits(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) + self._foreign >= MAX_DEPTH:
            raise MalformedXml("XML", f"elements deeper than {MAX_DEPTH}")
        if len(attributes) > MAX_ATTRIBUTES:
            raise MalformedXml(_local(name), f"more than {MAX_ATTRIBUTES} attributes")
        self._nodes += 1 + len(attributes)
        if self._nodes > MAX_NODES:
            raise MalformedXml("XML", f"more than {MAX_NODES} elements and attributes")
        for attribute, value in attributes.items():
            if len(value) > MAX_TEXT:
                where = f"{_local(name)}@{_local(attribute)}"
                raise MalformedXml(where, f"longer than {MAX_TEXT} characters")


def _local(name: str) -> str:
    return shortened(name.rpartition(" ")[2])
