"""
What a device says of itself in a User Agent Profile: its PushCharacteristics (PROP-CAP-4).

A profile is RDF, and RDF says the same thing in many ways. The properties that are read here exist in one
component only, so they are found wherever they stand; those inside of defaults count when nothing else says
anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from omapush.errors import MalformedXml, shortened
from omapush.protocol import reginfo_xml
from omapush.protocol.reginfo_xml import Element

UAPROF_TYPE: Final = "application/xml"
MOST_VALUES: Final = 512
"Values of one property."
LONGEST_VALUE: Final = 256
"Characters of one value."

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SCHEMA: Final = "http://www.openmobilealliance.org/tech/profiles/UAPROF/ccppschema-20021212#"
# Each edition of the vocabulary has a namespace of its own, and vendors misspell the host's path.
_VOCABULARY: Final = re.compile(
    r"https?://www\.(?:wapforum|openmobilealliance)\.org/(?:[A-Za-z]{1,16}/){0,3}ccppschema-[0-9]{8}#"
)
_BAGS: Final = {
    "Push-Accept": "types",
    "Push-Accept-Charset": "charsets",
    "Push-Accept-Encoding": "encodings",
    "Push-Accept-Language": "languages",
    "Push-Accept-AppID": "applications",
}
_NUMBERS: Final = {"Push-MsgSize": "largest_bytes", "Push-MaxPushReq": "most_requests"}
_PROPERTIES: Final = {**_BAGS, **_NUMBERS}
_DEFAULTS: Final = frozenset({"Defaults", "defaults"})
_STRUCTURE: Final = frozenset({"component", "PushCharacteristics", "HardwarePlatform", "SoftwarePlatform"})
_RDF_NAMES: Final = frozenset({"RDF", "Description", "Bag", "Seq", "Alt", "li"})
_CONTAINERS: Final = frozenset({"Bag", "Seq", "Alt"})
# rdf:_1, rdf:_2 ...                                      RDF/XML 2.15
_MEMBER: Final = re.compile(r"li|_[1-9][0-9]{0,3}")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")


class PushCharacteristics(NamedTuple):
    """What a device takes; None: it does not say."""

    types: tuple[str, ...] | None = None
    "Content types, in lower case, parameters left out; may hold `*/*` and `image/*`."
    charsets: tuple[str, ...] | None = None
    encodings: tuple[str, ...] | None = None
    "Content-Encoding tokens, or transfer encodings such as base64, in lower case."
    languages: tuple[str, ...] | None = None
    applications: tuple[str, ...] | None = None
    "Push application ids as written."
    largest_bytes: int | None = None
    "Largest push message."
    most_requests: int | None = None
    "Pushes that may be outstanding at once."


class _Names(Mapping[str, str]):
    """The names that are read, in whichever edition's namespace; others are left out as foreign."""

    def __getitem__(self, key: str) -> str:
        namespace, _, name = key.rpartition(" ")
        if namespace == _RDF and (name in _RDF_NAMES or _MEMBER.fullmatch(name)):
            return name
        known = name in _PROPERTIES or name in _DEFAULTS or name in _STRUCTURE
        if known and _VOCABULARY.fullmatch(namespace):
            return name
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NAMES: Final = _Names()


def read(data: bytes) -> PushCharacteristics:
    """
    Return the PushCharacteristics in a profile; all None when it has no such component.

    Raises:
        MalformedXml: no RDF, a document type, above a limit, or a property that is none.
    """
    root, _ = reginfo_xml.parse(data, _NAMES)
    if root.name != "RDF":
        raise MalformedXml("XML", f"the document is {root.name}, not rdf:RDF")
    stated: dict[str, tuple[str, ...]] = {}
    defaults: dict[str, tuple[str, ...]] = {}
    _collect(root, stated, defaults, in_defaults=False)
    values = {**defaults, **stated}
    return PushCharacteristics(
        types=_lower(values.get("Push-Accept"), cut=";"),
        charsets=_lower(values.get("Push-Accept-Charset")),
        encodings=_lower(values.get("Push-Accept-Encoding")),
        languages=_lower(values.get("Push-Accept-Language")),
        applications=values.get("Push-Accept-AppID"),
        largest_bytes=_number("Push-MsgSize", values.get("Push-MsgSize")),
        most_requests=_number("Push-MaxPushReq", values.get("Push-MaxPushReq")),
    )


def _collect(
    element: Element,
    stated: dict[str, tuple[str, ...]],
    defaults: dict[str, tuple[str, ...]],
    *,
    in_defaults: bool,
) -> None:
    found = defaults if in_defaults else stated
    for key, value in element.attributes.items():  # property attributes, RDF/XML 2.5
        namespace, _, name = key.rpartition(" ")
        if name in _PROPERTIES and _VOCABULARY.fullmatch(namespace):
            _add(found, name, _split(name, value))
    for child in element.children:
        if child.name in _PROPERTIES:
            _add(found, child.name, _values(child))
        else:
            _collect(child, stated, defaults, in_defaults=in_defaults or child.name in _DEFAULTS)


def _add(found: dict[str, tuple[str, ...]], name: str, values: tuple[str, ...]) -> None:
    together = tuple(dict.fromkeys((*found.get(name, ()), *values)))
    if len(together) > MOST_VALUES:
        raise MalformedXml(name, f"more than {MOST_VALUES} values")
    found[name] = together


def _values(prop: Element) -> tuple[str, ...]:
    """The members of a container, or the text itself when a vendor left the container out."""
    members = [
        member
        for container in prop.children
        if container.name in _CONTAINERS
        for member in container.children
        if _MEMBER.fullmatch(member.name)
    ]
    if not prop.children:
        return _split(prop.name, _literal(prop))
    return tuple(value for member in members for value in _split(prop.name, _literal(member)))


def _literal(element: Element) -> str:
    return element.attributes.get(f"{_RDF} resource") or element.text()


def _split(name: str, text: str) -> tuple[str, ...]:
    """Commas separate values, for some vendors put a whole list into one member."""
    values = tuple(value for piece in text.split(",") if (value := piece.strip()))
    for value in values:
        if len(value) > LONGEST_VALUE:
            raise MalformedXml(name, f"a value longer than {LONGEST_VALUE} characters")
    return values


def _lower(values: tuple[str, ...] | None, *, cut: str = "") -> tuple[str, ...] | None:
    if values is None:
        return None
    plain = (value.split(cut)[0] if cut else value for value in values)
    return tuple(dict.fromkeys(value.strip().lower() for value in plain))


def _number(name: str, values: tuple[str, ...] | None) -> int | None:
    if not values:
        return None
    if not _NUMBER.fullmatch(values[0]):
        raise MalformedXml(name, f"not a number: {shortened(values[0])}")
    return int(values[0])


def write(known: PushCharacteristics) -> bytes:
    """Return a profile that says what is known, in UTF-8; what is not known is left out."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<rdf:RDF xmlns:rdf="{_RDF}" xmlns:prf="{_SCHEMA}">',
        ' <rdf:Description rdf:ID="Profile"><prf:component><rdf:Description rdf:ID="PushCharacteristics">',
        f'  <rdf:type rdf:resource="{_SCHEMA}PushCharacteristics"/>',
        *_bags(known),
        *_sizes(known),
        " </rdf:Description></prf:component></rdf:Description>",
        "</rdf:RDF>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _bags(known: PushCharacteristics) -> Iterable[str]:
    for name, field in _BAGS.items():
        values: tuple[str, ...] | None = getattr(known, field)
        if values is not None:
            members = "".join(f"<rdf:li>{escape(value)}</rdf:li>" for value in values)
            yield f"  <prf:{name}><rdf:Bag>{members}</rdf:Bag></prf:{name}>"


def _sizes(known: PushCharacteristics) -> Iterable[str]:
    for name, field in _NUMBERS.items():
        number: int | None = getattr(known, field)
        if number is not None:
            yield f"  <prf:{name}>{number}</prf:{name}>"
