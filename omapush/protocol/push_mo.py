"""
The Push Management Object: which senders a device trusts, as a document of OMA device management.

Senders are below `PushWL/TrustedPPG`, each with its address, the applications that it may push to, and of
each application the content types. The tree is written in the form of OMA DM TNDS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from omapush.errors import MalformedMime, MalformedXml, shortened
from omapush.protocol import reginfo_xml
from omapush.protocol.feature_tags import application_id_of_ari, ari_of_application_id
from omapush.protocol.reginfo_xml import Element, child_of, text_of

PUSH_MO_TYPE: Final = "application/vnd.syncml.dmtnds+xml"
PUSH_MO: Final = "urn:oma:mo:oma-push:1.1"
"By which the object is known, wherever in the tree of a device it stands."
MOST_SENDERS: Final = 256
MOST_APPLICATIONS: Final = 256
"Of one sender; and so many content types of one application."

_NAMESPACE: Final = "syncml:dmddf1.2"
_ELEMENTS: Final = ("MgmtTree", "Node", "NodeName", "Value", "RTProperties", "Type", "DDFName")
_NAMES: Final = {f"{space}{name}": name for space in ("", f"{_NAMESPACE} ") for name in _ELEMENTS}
_LONGEST_NAME: Final = 200
_URN: Final = "urn:"
# type/subtype, either of them may be *                   RFC 3261 25.1 media-range
_RANGE_PART: Final = r"(?:\*|[a-z0-9!#$%&'+.^_`|~\-]{1,127})"
_MEDIA_RANGE: Final = re.compile(f"{_RANGE_PART}/{_RANGE_PART}")
# anything printable without spaces, `*` and `?` among it
_ADDRESS: Final = re.compile(r"[\x21-\x7e]{1,512}")


class TrustedApplication(NamedTuple):
    """What a sender may push to one application."""

    name: str = ""
    "Application resource identifier; empty: any application."
    content_types: tuple[str, ...] = ()
    "`type/subtype` or `type/*`, in lower case; empty: all."


class TrustedSender(NamedTuple):
    """A sender and what it may push."""

    address: str
    "Its identity, a SIP or tel URI; `*` and `?` as in a pattern."
    applications: tuple[TrustedApplication, ...] = ()
    "Empty: all."


class _Node(NamedTuple):
    name: str
    value: str
    kind: str
    "DDFName of its type."
    children: tuple[_Node, ...]

    def leaf(self, name: str) -> str:
        """The value of the leaf of that name, in any case of letters; empty without one."""
        return next((one.value for one in self.children if one.name.lower() == name), "")

    def inner(self) -> tuple[_Node, ...]:
        """The nodes below it that stand for one thing each, whatever they are called."""
        return tuple(one for one in self.children if one.children and one.name.lower() != "ext")


def read(data: bytes) -> tuple[TrustedSender, ...]:
    """
    Return the senders of a Push Management Object, in its order.

    What else a device keeps there is passed over.

    Raises:
        MalformedXml: no such document or object in it, a document type, a sender without address, or above a
            limit.
    """
    root, _ = reginfo_xml.parse(data, _NAMES)
    if root.name != "MgmtTree":
        raise MalformedXml("XML", f"the document is {root.name}, not MgmtTree")
    tops = [_node(child) for child in root.children if child.name == "Node"]
    found = next((one for top in tops for one in _within(top) if one.kind.lower() == PUSH_MO), None)
    if found is None:
        raise MalformedXml("DDFName", f"no node of the type {PUSH_MO}")
    senders = tuple(
        node
        for whitelist in _named(found, "pushwl")
        for trusted in _named(whitelist, "trustedppg")
        for node in trusted.inner()
    )
    if len(senders) > MOST_SENDERS:
        raise MalformedXml("TrustedPPG", f"more than {MOST_SENDERS} senders")
    return tuple(_sender(node) for node in senders)


def _within(node: _Node) -> Iterator[_Node]:
    yield node
    for child in node.children:
        yield from _within(child)


def _named(node: _Node, name: str) -> Iterator[_Node]:
    return (child for child in node.children if child.name.lower() == name)


def _node(element: Element) -> _Node:
    properties = child_of(element, "RTProperties")
    kind = child_of(properties, "Type")
    children = tuple(_node(child) for child in element.children if child.name == "Node")
    return _Node(text_of(element, "NodeName"), text_of(element, "Value"), text_of(kind, "DDFName"), children)


def _sender(node: _Node) -> TrustedSender:
    address = node.leaf("addr")
    if not _ADDRESS.fullmatch(address):
        raise MalformedXml("Addr", f"no address: {shortened(address)}" if address else "missing")
    applications = node.inner()
    if len(applications) > MOST_APPLICATIONS:
        raise MalformedXml("AppId", f"more than {MOST_APPLICATIONS} applications of one sender")
    return TrustedSender(address, tuple(_application(one) for one in applications))


def _application(node: _Node) -> TrustedApplication:
    text = node.leaf("appid")
    try:
        name = ari_of_application_id(text[len(_URN) :] if text[:4].lower() == _URN else text) if text else ""
    except MalformedMime as error:
        raise MalformedXml("AppId", error.problem) from None
    if len(name) > _LONGEST_NAME:
        raise MalformedXml("AppId", f"longer than {_LONGEST_NAME} characters")
    types = tuple(one.leaf("contenttype").lower() for one in node.inner())
    if len(types) > MOST_APPLICATIONS:
        raise MalformedXml("ContentType", f"more than {MOST_APPLICATIONS} of one application")
    for one in types:
        if not _MEDIA_RANGE.fullmatch(one):
            raise MalformedXml("ContentType", f"not a content type: {shortened(one)}" if one else "missing")
    return TrustedApplication(name, types)


def write(senders: Iterable[TrustedSender]) -> bytes:
    """Return the document, in UTF-8, that a device with these senders is given."""
    inner = "".join(_written_sender(number, one) for number, one in enumerate(senders, 1))
    tree = _interior("Push", _interior("PushWL", _interior("TrustedPPG", inner)), PUSH_MO)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<MgmtTree xmlns="{_NAMESPACE}">\n<VerDTD>1.2</VerDTD>\n{tree}</MgmtTree>\n'
    ).encode()


def _written_sender(number: int, sender: TrustedSender) -> str:
    applications = "".join(_written_application(*one) for one in enumerate(sender.applications, 1))
    return _interior(f"s{number}", _leaf("Addr", sender.address) + _leaf("AddrType", "URI") + applications)


def _written_application(number: int, application: TrustedApplication) -> str:
    numbered = enumerate(application.content_types, 1)
    types = "".join(_interior(f"t{index}", _leaf("ContentType", one)) for index, one in numbered)
    # A node without a leaf would be none: any application is written as an empty name.
    name = _URN + application_id_of_ari(application.name) if application.name else ""
    return _interior(f"a{number}", _leaf("AppId", name) + types)


def _interior(name: str, inner: str, kind: str = "") -> str:
    typed = f"<Type><DDFName>{kind}</DDFName></Type>" if kind else ""
    properties = f"<RTProperties><Format><node/></Format>{typed}</RTProperties>"
    return f"<Node><NodeName>{name}</NodeName>{properties}\n{inner}</Node>\n"


def _leaf(name: str, value: str) -> str:
    properties = "<RTProperties><Format><chr/></Format><Type><MIME>text/plain</MIME></Type></RTProperties>"
    return f"<Node><NodeName>{name}</NodeName>{properties}<Value>{escape(value)}</Value></Node>\n"
