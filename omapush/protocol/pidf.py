"""What a presence document says a user's services can do (RFC 3863, RFC 5196 service capabilities)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from omapush.errors import MalformedMime, MalformedXml, shortened
from omapush.protocol import reginfo_xml
from omapush.protocol.multipart import media_type
from omapush.protocol.reginfo_xml import Element, child_of, text_of

PIDF_TYPE: Final = "application/pidf+xml"
MOST_TUPLES: Final = 64
MOST_VALUES: Final = 256
"Content types or methods of one service."

_METHODS: Final = (
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
    "REGISTER", "SUBSCRIBE", "UPDATE",
)  # fmt: skip
"Method names are elements (RFC 5196 3.2); others are of no use to a sender of pushes."
_NAMESPACES: Final = {
    "urn:ietf:params:xml:ns:pidf": ("presence", "tuple", "status", "basic", "contact"),
    "urn:ietf:params:xml:ns:pidf:caps": (
        "servcaps", "type", "methods", "supported", "notsupported", "message", *_METHODS,
    ),
    "urn:oma:xml:prs:pidf:oma-pres": ("service-description", "service-id"),
    "urn:ietf:params:xml:ns:pidf:data-model": ("deviceID",),
}  # fmt: skip
_NAMES: Final = {f"{namespace} {name}": name for namespace, names in _NAMESPACES.items() for name in names}
# type/subtype, either of them may be *                   RFC 3261 25.1 media-range
_MEDIA_RANGE: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~\-]{1,127}/[a-z0-9!#$%&'*+.^_`|~\-]{1,127}")


class Service(NamedTuple):
    """One tuple of a presence document."""

    id: str
    open: bool
    "Ready to communicate, or it does not say."
    contact: str
    device: str
    "deviceID (RFC 4479), such as `urn:uuid:...`; empty when absent."
    service_id: str
    "OMA service-id; empty when absent."
    types: tuple[str, ...] | None
    "Content types of `servcaps`; None: it does not say."
    refused: tuple[str, ...]
    "Content types that it says are not supported."
    methods: tuple[str, ...] | None


def read(data: bytes, content_type: str = PIDF_TYPE) -> tuple[Service, ...]:
    """
    Return the services of a presence document, in its order.

    What RFC 5196 does not define is passed over.

    Raises:
        MalformedXml: no PIDF, a document type, above a limit, or a tuple without id.
    """
    _check_content_type(content_type)
    root, _ = reginfo_xml.parse(data, _NAMES)
    if root.name != "presence":
        raise MalformedXml("XML", f"the document is {root.name}, not presence")
    tuples = [child for child in root.children if child.name == "tuple"]
    if len(tuples) > MOST_TUPLES:
        raise MalformedXml("presence", f"more than {MOST_TUPLES} tuples")
    return tuple(_service(element) for element in tuples)


def _check_content_type(content_type: str) -> None:
    try:
        kind = media_type(content_type, "Content-Type").essence
    except MalformedMime as error:
        raise MalformedXml(error.field, error.problem) from None
    if kind != PIDF_TYPE:
        raise MalformedXml("Content-Type", f"{shortened(kind)} is not {PIDF_TYPE}")


def _service(element: Element) -> Service:
    identifier = element.attributes.get("id", "")
    if not identifier:
        raise MalformedXml("tuple@id", "missing")
    capabilities = child_of(element, "servcaps")
    types = _texts(child_of(capabilities, "type"), "supported")
    methods = child_of(child_of(capabilities, "methods"), "supported")
    basic = text_of(child_of(element, "status"), "basic")
    return Service(
        id=identifier,
        open=basic in ("", "open"),
        contact=text_of(element, "contact"),
        device=text_of(element, "deviceID"),
        service_id=text_of(child_of(element, "service-description"), "service-id"),
        types=types,
        refused=_texts(child_of(capabilities, "type"), "notsupported") or (),
        methods=None if methods is None else tuple(one.name for one in methods.children),
    )


def _texts(element: Element | None, name: str) -> tuple[str, ...] | None:
    """Media ranges below `supported`, each an element of its own, or all of them as text with commas."""
    if element is None:
        return None
    if name == "supported" and not element.children:
        return _ranges(element) or None
    wanted = child_of(element, name)
    if wanted is None:
        return None
    holders = wanted.children or [wanted]
    return tuple(dict.fromkeys(value for holder in holders for value in _ranges(holder))) or None


def _ranges(element: Element) -> tuple[str, ...]:
    if element.children or element.is_mixed:
        return ()  # something of a later schema
    found = tuple(_media_ranges(element.text()))
    if len(found) > MOST_VALUES:
        raise MalformedXml(element.name, f"more than {MOST_VALUES} values")
    return found


def _media_ranges(text: str) -> Iterator[str]:
    for piece in text.lower().replace(",", " ").split():
        if not _MEDIA_RANGE.fullmatch(piece):
            raise MalformedXml("type", f"not a content type: {shortened(piece)}")
        yield piece


def write(entity: str, services: Iterable[Service]) -> bytes:
    """Return a presence document of `entity`, in UTF-8; what a service does not say is left out."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:caps="urn:ietf:params:xml:ns:pidf:caps"'
        ' xmlns:op="urn:oma:xml:prs:pidf:oma-pres" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"'
        f" entity={quoteattr(entity)}>",
    ]
    for service in services:
        lines.append(f" <tuple id={quoteattr(service.id)}>")
        lines.append(f"  <status><basic>{'open' if service.open else 'closed'}</basic></status>")
        if service.service_id:
            named = f"<op:service-id>{escape(service.service_id)}</op:service-id><op:version>1.0</op:version>"
            lines.append(f"  <op:service-description>{named}</op:service-description>")
        lines.extend(_written_capabilities(service))
        if service.device:
            lines.append(f"  <dm:deviceID>{escape(service.device)}</dm:deviceID>")
        if service.contact:
            lines.append(f"  <contact>{escape(service.contact)}</contact>")
        lines.append(" </tuple>")
    lines.append("</presence>")
    return ("\n".join(lines) + "\n").encode()


def _written_capabilities(service: Service) -> Iterator[str]:
    if service.types is None and not service.refused and service.methods is None:
        return
    yield "  <caps:servcaps>"
    if service.methods is not None:
        names = "".join(f"<caps:{name}/>" for name in service.methods if name in _METHODS)
        yield f"   <caps:methods><caps:supported>{names}</caps:supported></caps:methods>"
    if service.types is not None or service.refused:
        yield "   <caps:type>"
        for name, types in (("supported", service.types), ("notsupported", service.refused)):
            if types:
                yield f"    <caps:{name}>{escape(', '.join(types))}</caps:{name}>"
        yield "   </caps:type>"
    yield "  </caps:servcaps>"
