"""Registration information as the reg event package tells it (RFC 3680 5, RFC 5628)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from omapush.errors import MalformedMime, MalformedXml, shortened
from omapush.protocol import reginfo_xml
from omapush.protocol.multipart import media_type
from omapush.protocol.reginfo_xml import Element
from omapush.protocol.sip_uri import LONGEST_URI, Params

REGINFO_TYPE: Final = "application/reginfo+xml"
MOST_PROBLEMS: Final = 8
"Problems that are told of one document; more would only repeat them."

_NAMESPACES: Final = {
    "urn:ietf:params:xml:ns:reginfo": (
        "reginfo", "registration", "contact", "uri", "display-name", "unknown-param",
    ),
    "urn:ietf:params:xml:ns:gruuinfo": ("pub-gruu", "temp-gruu"),
}  # fmt: skip
NAMES: Final = {f"{namespace} {name}": name for namespace, names in _NAMESPACES.items() for name in names}
"The elements that are read, by namespace and name."
_CHARSETS: Final = frozenset({"utf-8", "us-ascii"})
_REGISTRATION_STATES: Final = ("init", "active", "terminated")
_CONTACT_STATES: Final = ("active", "terminated")
_NEEDED_BY_EVENT: Final = {"shortened": "expires", "probation": "retry-after"}
"What an event says nothing without (RFC 3680 5.1)."

# nonNegativeInteger, unsignedLong                        RFC 3680 5.4
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_LARGEST: Final = 2**32 - 1
# qvalue                                                  RFC 3261 25.1
_QVALUE: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# token                                                   RFC 3261 25.1
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,256}")
# absoluteURI, as far as a target needs it                RFC 3261 25.1
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:[^\s<>\"\x00-\x20\x7f-\x9f]++")


@dataclass(frozen=True, slots=True)
class ContactElement:
    """One contact of a registration."""

    id: str
    "Stable in theory; a Kamailio S-CSCF writes a memory address, and 0x1 when the UE leaves."
    state: str
    "`active` or `terminated`."
    event: str
    "What led to the state; a word that RFC 3680 does not have is kept as it is."
    expires: int | None
    "Seconds, at most 2^32-1."
    retry_after: int | None
    "Seconds, at most 2^32-1."
    uri: str
    q: float | None
    "As said: a Kamailio S-CSCF says 0.0 of a contact that was registered without q."
    callid: str
    "Empty when absent."
    cseq: int | None
    display_name: str
    "Empty when absent."
    params: Params
    """
    Contact parameters that are not attributes, in their order: names in lower case, None for a flag. Values
    are without their quotes, like those of a `NameAddr`, whether or not the sender wrote quotes; the `<>` of
    a string stay.
    """
    pub_gruu: str | None
    temp_gruu: str | None


@dataclass(frozen=True, slots=True)
class RegistrationElement:
    """What the document says of one address of record."""

    aor: str
    "As written; not in canonical form."
    id: str
    state: str
    "`init`, `active` or `terminated`."
    contacts: tuple[ContactElement, ...]


@dataclass(frozen=True, slots=True)
class RegInfo:
    """One reg event document."""

    version: int
    full: bool
    "Full state, that replaces all that the subscription told before; else partial."
    registrations: tuple[RegistrationElement, ...]
    problems: tuple[str, ...] = ()
    "What was read in spite of a flaw or left out, for the log; empty is the normal case."


def read(data: bytes, content_type: str = REGINFO_TYPE) -> RegInfo:
    """
    Return what a reg event body says (PSA-REG-2).

    Elements and attributes of other namespaces, and elements in a place where they mean nothing, are passed
    over. A contact that cannot be read fails the whole document: left out of full state it would
    look gone.

    Raises:
        MalformedXml: naming the element or `element@attribute`, or `Content-Type`.
    """
    _check_content_type(content_type)
    root, mended = reginfo_xml.parse(data, NAMES)
    if root.name != "reginfo":
        raise MalformedXml("XML", f"the document is {root.name}")
    version = _number(root, "version")
    if version is None:
        raise MalformedXml("reginfo@version", "missing")
    if version > _LARGEST:
        raise MalformedXml("reginfo@version", f"above {_LARGEST}")
    full = _word(root, "state", ("full", "partial")) == "full"
    problems = list(mended)
    registrations = [_registration(element, problems) for element in _children(root, "registration")]
    return RegInfo(version, full, tuple(registrations), tuple(problems[:MOST_PROBLEMS]))


def _check_content_type(content_type: str) -> None:
    try:
        kind = media_type(content_type, "Content-Type")
    except MalformedMime as error:
        raise MalformedXml(error.field, error.problem) from None
    if kind.essence != REGINFO_TYPE:
        raise MalformedXml("Content-Type", f"{shortened(kind.essence)} is not {REGINFO_TYPE}")
    charset = kind.param("charset")
    if charset is not None and charset.lower() not in _CHARSETS:
        raise MalformedXml("Content-Type", f"charset {shortened(charset)} is not utf-8")


def _registration(element: Element, problems: list[str]) -> RegistrationElement:
    contacts = [_contact(child, problems) for child in _children(element, "contact")]
    return RegistrationElement(
        aor=_uri(_required(element, "aor"), "registration@aor"),
        id=_required(element, "id"),
        state=_word(element, "state", _REGISTRATION_STATES),
        contacts=tuple(contacts),
    )


def _contact(element: Element, problems: list[str]) -> ContactElement:
    event = _required(element, "event")
    needed = _NEEDED_BY_EVENT.get(event)
    if needed is not None and needed not in element.attributes:
        problems.append(f"contact@{needed}: missing, although the event is {event}")
    return ContactElement(
        id=_required(element, "id"),
        state=_word(element, "state", _CONTACT_STATES),
        event=event,
        expires=_bounded(element, "expires"),
        retry_after=_bounded(element, "retry-after"),
        uri=_contact_uri(element),
        q=_qvalue(element.attributes.get("q"), problems),
        callid=element.attributes.get("callid", ""),
        cseq=_bounded(element, "cseq"),
        display_name=next((child.text() for child in _children(element, "display-name")), ""),
        params=_params(element, problems),
        pub_gruu=_gruu(element, "pub-gruu", problems),
        temp_gruu=_gruu(element, "temp-gruu", problems),
    )


def _contact_uri(contact: Element) -> str:
    found = [child.text() for child in _children(contact, "uri")]
    if len(found) != 1:
        raise MalformedXml("contact", f"{len(found)} uri elements where one belongs")
    return _uri(found[0], "uri")


def _params(contact: Element, problems: list[str]) -> Params:
    params = []
    for child in _children(contact, "unknown-param"):
        name = _required(child, "name").strip().lower()
        if _TOKEN.fullmatch(name):
            params.append((name, _param_value(child.text())))
        else:
            problems.append(f"unknown-param@name: not a token: {shortened(name)}")
    return tuple(params)


def _param_value(text: str) -> str | None:
    """Senders copy the value with the quotes that it had in the header, or without: both are seen."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text or None


def _gruu(contact: Element, name: str, problems: list[str]) -> str | None:
    for child in _children(contact, name):
        try:
            return _uri(_required(child, "uri").strip(), f"{name}@uri")
        except MalformedXml as error:
            problems.append(str(error))
    return None


def _children(element: Element, name: str) -> Iterable[Element]:
    return (child for child in element.children if child.name == name)


def _required(element: Element, attribute: str) -> str:
    value = element.attributes.get(attribute)
    if not value:
        raise MalformedXml(f"{element.name}@{attribute}", "missing" if value is None else "empty")
    return value


def _word(element: Element, attribute: str, allowed: tuple[str, ...]) -> str:
    value = _required(element, attribute)
    if value not in allowed:
        problem = f"{shortened(value)} is not one of {', '.join(allowed)}"
        raise MalformedXml(f"{element.name}@{attribute}", problem)
    return value


def _number(element: Element, attribute: str) -> int | None:
    value = element.attributes.get(attribute)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise MalformedXml(f"{element.name}@{attribute}", f"not a number: {shortened(value)}")
    return int(value)


def _bounded(element: Element, attribute: str) -> int | None:
    number = _number(element, attribute)
    return None if number is None else min(number, _LARGEST)


def _qvalue(text: str | None, problems: list[str]) -> float | None:
    if text is None:
        return None
    if not _QVALUE.fullmatch(text):
        problems.append(f"contact@q: not a qvalue: {shortened(text)}")
        return None
    return float(text)


def _uri(text: str, field: str) -> str:
    if len(text) > LONGEST_URI:
        raise MalformedXml(field, f"longer than {LONGEST_URI} characters")
    if not _URI.fullmatch(text):
        raise MalformedXml(field, f"not an URI: {shortened(text)}")
    return text
