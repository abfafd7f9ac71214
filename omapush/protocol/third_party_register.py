"""What an S-CSCF puts into the body of a third-party REGISTER (TS 24.229 5.4.1.7 and 5.7.1.1)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final, Literal, NamedTuple

from lxml import etree

from omapush.errors import MalformedSip, PushError, shortened
from omapush.protocol import multipart
from omapush.protocol.feature_tags import feature_params, push_applications
from omapush.protocol.name_addr import MOST_ADDRESSES, NameAddr, parse_one, split_quoted
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_uri import Params, SipUri, address_of_record, host_and_port

MOST_PROBLEMS: Final = 8
"Problems that are told of one body; more would only repeat them."
LONGEST_SERVICE_INFO: Final = 16_384
"Bytes of an application/3gpp-ims+xml body."

# The user's credentials travel along in the embedded messages and are none of our business.
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization"})
# delta-seconds                                           RFC 3261 25.1, bounded by 20.19
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,20}")
_LONGEST_EXPIRES: Final = 2**32 - 1
# qvalue                                                  RFC 3261 25.1
_QVALUE: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# XMLDecl                                                 XML 1.0 2.8
_XML_DECLARATION: Final = re.compile(r"\A<\?xml[^<>]{0,200}\?>")
_DOCTYPE: Final = re.compile(r"<!DOCTYPE|<!ENTITY", re.IGNORECASE)
_XML_PARSER: Final = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
)


Listing = Literal["", "all", "others"]
"""
Of the 200: empty, it is no list of bindings, or not all of it can be read; `all` that a registrar would list;
`others`: all, and some are of other devices than the REGISTER.
"""


class ThirdPartyBodies(NamedTuple):
    """What could be read from the body; each part is None when it was not there or not readable."""

    request: SipMessage | None = None
    "The REGISTER of the UE, without its credentials."
    response: SipMessage | None = None
    "The answer that the UE got to it, without credentials."
    service_info: str | None = None
    "ServiceInfo of the initial filter criteria that chose us."
    asked: tuple[NameAddr, ...] = ()
    "Contacts of the request."
    granted: tuple[NameAddr, ...] = ()
    "Contacts of the response. Some S-CSCFs make up a 200 without any: that says nothing about contacts."
    wildcard: bool = False
    "The UE removed all its contacts with `Contact: *`."
    problems: tuple[str, ...] = ()
    "What could not be read, for the log; empty is the normal case."


class EmbeddedContact(NamedTuple):
    """One binding of the user as the REGISTER asked for it and the 200 granted it."""

    uri: str
    expires: int | None
    "Seconds; 0 when the contact goes; None when neither message said."
    instance: str | None
    "Value of +sip.instance without its brackets."
    applications: tuple[str, ...]
    "ARIs it takes pushes for."
    feature_params: Params
    pub_gruu: str | None
    q: float | None
    echoed: bool = False
    "Only the 200 names it: it is of another device than the REGISTER, and described as the registrar likes."


def read_bodies(content_type: str, body: bytes) -> ThirdPartyBodies:
    """
    Return what the body of a third-party REGISTER tells: nothing, one part, or several in a multipart.

    Never raises: an S-CSCF may de-register the user for any answer but 200, so what cannot be read
    becomes a line in `problems`. Of two parts of one kind the first counts.
    """
    reader = _Reader()
    if body:
        media_type = _media_type(content_type)
        if media_type.startswith("multipart/"):
            reader.read_parts(content_type, body)
        else:
            reader.read_part(media_type, body)
    return reader.bodies()


def embedded_contacts(bodies: ThirdPartyBodies) -> tuple[EmbeddedContact, ...]:
    """
    Return the user's contacts that the bodies speak of; empty means they say nothing about contacts.

    Expiry, q and GRUU of the 200 win over what was asked for the same URI. Feature tags are what the
    device itself wrote, where its REGISTER is there: registrars echo only some of them.
    """
    granted = {_binding_key(contact): contact for contact in bodies.granted}
    asked_header = _seconds(bodies.request.first("expires")) if bodies.request else None
    granted_header = _seconds(bodies.response.first("expires")) if bodies.response else None
    found = []
    for contact in bodies.asked:
        answer = granted.pop(_binding_key(contact), None)
        found.append(_embedded(contact, answer, granted_header if answer else None, asked_header))
    is_beside = bodies.request is not None
    for answer in granted.values():
        found.append(_embedded(answer, answer, granted_header, None)._replace(echoed=is_beside))
    return tuple(found)


def listing(bodies: ThirdPartyBodies, identities: Collection[str]) -> Listing:
    """
    Return whether the 200 lists bindings of one of `identities`, and of whom.

    A registrar lists all that there are (RFC 3261 10.3). But not all that S-CSCFs include is of a registrar:
    some make up a 200 of what the UE asked for. One that knows of `others`, devices that the UE's REGISTER
    did not name, is none of those.
    """
    response = bodies.response
    if response is None or not bodies.granted or bodies.problems or not _is_about(response, identities):
        return ""
    if any(_seconds(contact.param("expires")) == 0 for contact in bodies.granted):
        return ""  # what has just ended is no binding: this is no list
    asked = bodies.asked or bodies.granted[:1]
    return "others" if any(_is_of_another(one, asked) for one in bodies.granted) else "all"


def _is_about(response: SipMessage, identities: Collection[str]) -> bool:
    try:
        return address_of_record(parse_one(response.first("to") or "", "To").uri) in identities
    except MalformedSip:
        return False


def _is_of_another(contact: NameAddr, asked: Iterable[NameAddr]) -> bool:
    """Tell whether a binding is of another device than those that asked: one has several addresses, too."""
    instance, host = contact.param("+sip.instance"), _host(contact.uri)
    for one in asked:
        other = one.param("+sip.instance")
        if (instance == other) if instance and other else (host == _host(one.uri)):
            return False
    return True


def _host(uri: str) -> str:
    return host_and_port(uri).rpartition("]")[0] or host_and_port(uri).partition(":")[0]


def _embedded(
    contact: NameAddr, answer: NameAddr | None, granted_header: int | None, asked_header: int | None
) -> EmbeddedContact:
    return EmbeddedContact(
        uri=contact.uri,
        expires=_expires(contact, answer, granted_header, asked_header),
        instance=_unbracketed(_first_param(answer, contact, "+sip.instance")),
        applications=push_applications(contact),
        feature_params=feature_params(contact),
        pub_gruu=_gruu(_first_param(answer, contact, "pub-gruu")),
        q=_qvalue(_first_param(answer, contact, "q")),
    )


def _expires(
    contact: NameAddr, answer: NameAddr | None, granted_header: int | None, asked_header: int | None
) -> int | None:
    granted = _seconds(answer.param("expires")) if answer else None
    if granted is None:
        granted = granted_header
    if granted is not None:
        return granted
    asked = _seconds(contact.param("expires"))
    return asked_header if asked is None else asked


class _Reader:
    """Gathers what the parts of one body say."""

    def __init__(self) -> None:
        self._messages: dict[str, SipMessage] = {}
        self._service_info: str | None = None
        self._wildcard = False
        self._problems: list[str] = []

    def bodies(self) -> ThirdPartyBodies:
        request, response = self._messages.get("request"), self._messages.get("response")
        asked = self._contacts(request)
        granted = self._contacts(response)
        return ThirdPartyBodies(
            request,
            response,
            self._service_info,
            asked,
            granted,
            self._wildcard,
            tuple(self._problems[:MOST_PROBLEMS]),
        )

    def read_parts(self, content_type: str, body: bytes, *, nested: bool = False) -> None:
        """Read each part of a multipart, and of a multipart that is a part of it; no deeper."""
        try:
            parts = multipart.split(content_type, body)
        except PushError as error:
            self._problems.append(str(error))
            return
        for part in parts:
            part_type = part.header("Content-Type") or ""
            media_type = _media_type(part_type)
            if media_type.startswith("multipart/") and not nested:
                self.read_parts(part_type, part.body, nested=True)
            else:
                self.read_part(media_type, part.body)

    def read_part(self, media_type: str, body: bytes) -> None:
        try:
            if media_type == "message/sip":
                self._read_message(body)
            elif media_type == "application/3gpp-ims+xml":
                self._service_info = self._service_info or _service_info(body)
            else:
                self._problems.append(f"Content-Type: {shortened(media_type) or 'none'} is not expected here")
        except PushError as error:
            self._problems.append(str(error))

    def _read_message(self, body: bytes) -> None:
        message = SipMessage.parse(body).without(_CREDENTIALS)
        if message.method not in (None, "REGISTER"):
            raise MalformedSip("message/sip", f"{shortened(message.method or '')} where a REGISTER belongs")
        if message.status is not None and not 200 <= message.status < 300:
            raise MalformedSip("message/sip", f"status {message.status} where a 200 belongs")
        kind = "request" if message.method else "response"
        if kind in self._messages:
            raise MalformedSip("message/sip", f"more than one {kind}")
        self._messages[kind] = message

    def _contacts(self, message: SipMessage | None) -> tuple[NameAddr, ...]:
        found: list[NameAddr] = []
        for value in message.all("contact") if message else ():
            try:
                pieces = [value] if _is_one(value) else split_quoted(value, ",", "Contact")
            except MalformedSip as error:
                self._problems.append(str(error))
                continue
            found += self._readable(pieces)
        if len(found) > MOST_ADDRESSES:
            self._problems.append(f"Contact: more than {MOST_ADDRESSES}, the rest is left out")
        return tuple(found[:MOST_ADDRESSES])

    def _readable(self, pieces: Iterable[str]) -> list[NameAddr]:
        """One unreadable contact must not hide the others."""
        found = []
        for piece in pieces:
            if piece == "*":
                self._wildcard = True
                continue
            try:
                found.append(parse_one(piece, "Contact"))
            except MalformedSip as error:
                self._problems.append(str(error))
        return found


def _service_info(body: bytes) -> str | None:
    """
    Return the text of `service-info`, None when the document has another choice.

    Raises:
        MalformedSip: too long, with a DOCTYPE, or no `ims-3gpp`.
    """
    if len(body) > LONGEST_SERVICE_INFO:
        raise MalformedSip("ims-3gpp", f"longer than {LONGEST_SERVICE_INFO} bytes")
    try:
        text = _XML_DECLARATION.sub("", body.decode("utf-8-sig").strip()).lstrip()
    except UnicodeDecodeError:
        raise MalformedSip("ims-3gpp", "not UTF-8") from None
    if _DOCTYPE.search(text):
        raise MalformedSip("ims-3gpp", "a document type is not allowed")
    try:
        root = etree.fromstring(text.encode(), _XML_PARSER)
    except etree.XMLSyntaxError:
        return _unescaped_service_info(text)
    if root.tag != "ims-3gpp":
        raise MalformedSip("ims-3gpp", f"the document is {shortened(str(root.tag))}")
    element = root.find("service-info")
    if element is None:
        return None
    return _unescaped_service_info(text) if len(element) else element.text or ""


def _unescaped_service_info(text: str) -> str:
    """Some S-CSCFs copy the HSS's text without escaping it: it is all that stands between the tags."""
    before, opened, rest = text.partition("<service-info>")
    info, closed, _ = rest.rpartition("</service-info>")
    if not (opened and closed and before.startswith("<ims-3gpp")):
        raise MalformedSip("ims-3gpp", "not well-formed, and no service-info to be found")
    return info


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _binding_key(contact: NameAddr) -> str:
    """Registrars may echo host and parameters in another case, never the user part."""
    user, at, rest = contact.uri.rpartition("@")
    return user + at + rest.lower()


def _first_param(answer: NameAddr | None, contact: NameAddr, name: str) -> str | None:
    return (answer.param(name) if answer else None) or contact.param(name) or None


def _gruu(text: str | None) -> str | None:
    """Return a GRUU that requests can be sent to, None for anything else."""
    try:
        return None if text is None else str(SipUri.parse(text, "pub-gruu"))
    except MalformedSip:
        return None


def _is_one(value: str) -> bool:
    """Tell whether a header value holds one element for sure, and all is closed that is opened."""
    return "," not in value and value.count('"') % 2 == 0 and value.count("<") == value.count(">")


def _seconds(text: str | None) -> int | None:
    if text is None or not _DELTA_SECONDS.fullmatch(text):
        return None
    return min(int(text), _LONGEST_EXPIRES)


def _qvalue(text: str | None) -> float | None:
    return float(text) if text is not None and _QVALUE.fullmatch(text) else None


def _unbracketed(instance: str | None) -> str | None:
    return None if instance is None else instance.removeprefix("<").removesuffix(">")
