"""
The elements of a PAP control entity, read by expat, with bounds and without a name that PAP does not have.

What is read here has neither DOCTYPE nor processing instructions any more: `pap_xml` has seen to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, overload
from xml.parsers import expat

from omapush.errors import MalformedPap, shortened

MAX_DEPTH: Final = 5
MAX_ATTRIBUTES: Final = 64
MAX_ATTRIBUTE: Final = 4096
"Characters of one attribute, its name and quotes included."


class Element:
    """One element, its attributes with their references resolved."""

    __slots__ = ("attributes", "children", "has_text", "tag")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element] = []
        self.has_text = False
        "Whether anything but white space and elements stands in it."

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of an attribute, `default` when there is none."""
        return self.attributes.get(name, default)

    def named(self, tag: str) -> Iterator[Element]:
        """Give the children of that name in their order."""
        return (child for child in self.children if child.tag == tag)

    def find(self, tag: str) -> Element | None:
        """Return the first child of that name; None when there is none."""
        return next(self.named(tag), None)

    def written(self) -> str:
        """Return the element as text, as far as PAP lets it hold something, for `bad-message-fragment`."""
        start = self.tag + "".join(f' {name}="{_escaped(text)}"' for name, text in self.attributes.items())
        inside = "".join(child.written() for child in self.children)
        return f"<{start}>{inside}</{self.tag}>" if inside else f"<{start}/>"


def read(text: str, names: frozenset[str], *, lenient: bool, lines_before: int) -> Element:
    """
    Return the root element of `text`, in which `names` are the element and attribute names of PAP.

    An unknown attribute is an error, or left out when `lenient`. `lines_before` the text are those of the
    document that errors name lines of.

    Raises:
        MalformedPap: not well formed, a name that is unknown, or above a limit of this module.
    """
    tree = _Tree(names, lenient=lenient)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.add_text
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        problem = f"line {lines_before + error.lineno}: {expat.ErrorString(error.code)}"
        raise MalformedPap("XML", problem) from None
    except _UnknownElement as unknown:
        at = text.find(f"<{unknown.tag}")
        raise MalformedPap(shortened(unknown.tag), "unknown element", text[at : at + 256]) from None
    return tree.above.children[0]


class _UnknownElement(Exception):
    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class _Tree:
    """Built from expat's events; it does not know the parser, so both are freed at once."""

    def __init__(self, names: frozenset[str], *, lenient: bool) -> None:
        self.above = Element("", {})
        "Holds the root element."
        self._names = names
        self._lenient = lenient
        self._open = [self.above]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag not in self._names:
            raise _UnknownElement(tag)
        if len(self._open) > MAX_DEPTH:
            raise MalformedPap("XML", f"elements deeper than {MAX_DEPTH}")
        if len(attributes) > MAX_ATTRIBUTES:
            raise MalformedPap(tag, f"more than {MAX_ATTRIBUTES} attributes")
        for name, value in attributes.items():
            if len(name) + len(value) > MAX_ATTRIBUTE:
                raise MalformedPap(f"{tag}@{shortened(name)}", f"longer than {MAX_ATTRIBUTE} characters")
            if name not in self._names and not self._lenient:
                shown = f'{name}="{_escaped(value)}"'
                raise MalformedPap(f"{tag}@{shortened(name)}", "unknown attribute", shown)
        if self._lenient:
            attributes = {name: value for name, value in attributes.items() if name in self._names}
        element = Element(tag, attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _tag: str) -> None:
        self._open.pop()

    def add_text(self, text: str) -> None:
        if not text.isspace():
            self._open[-1].has_text = True


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
