"""
How a reg event document changes what is known about a user (PSA-REG-2, RFC 3680 5.2, RFC 5628).

The document decides who is there: it is the registrar's own word. What a device can take is decided by the
last that described it, but some S-CSCFs report a few feature tags only: of such a one, tags known from
the device's REGISTER stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from omapush.errors import MalformedSip
from omapush.protocol.feature_tags import feature_params, push_applications
from omapush.protocol.name_addr import NameAddr
from omapush.protocol.reginfo import ContactElement, RegInfo, RegistrationElement
from omapush.protocol.sip_uri import address_of_record
from omapush.push.registration import (
    LARGEST_EXPIRY_S,
    MOST_CONTACTS,
    PARTIAL_TAGS,
    RECORD_VERSION,
    UNSTATED_EXPIRY_S,
    Contact,
    Doubt,
    Registration,
    is_binding,
    is_elsewhere,
)

SOURCE: Final = "reginfo"
SETTLED_MS: Final = 5_000
"""
REGISTER and NOTIFY of one change may come in either order within so long (RFC 3680 4.10 lets a notifier wait
5 s): a document that contradicts a REGISTER so young may be the older of the two, and is checked.
"""


class Told(NamedTuple):
    """One document, and by whom and when it was told."""

    document: RegInfo
    dialog: str
    "Call-ID: versions count within it."
    s_cscf: str
    core_reports_tags: bool
    at_ms: int


def identities(told: Told, watched: str) -> dict[str, RegistrationElement | None]:
    """
    Return what the document says of each identity, by address of record.

    Full state that leaves out the watched one says that it is not registered: None.
    """
    found: dict[str, RegistrationElement | None] = {}
    for element in told.document.registrations:
        try:
            found.setdefault(address_of_record(element.aor, "registration@aor"), element)
        except MalformedSip:
            continue
    if told.document.full:
        found.setdefault(watched, None)
    return found


def reports_tags(document: RegInfo) -> bool:
    """Tell whether the document shows that its S-CSCF reports push tags."""
    contacts = (contact for element in document.registrations for contact in element.contacts)
    return any(push_applications(_as_address(contact)) for contact in contacts)


def nobody_left(told: Told, watched: str) -> bool:
    """Tell whether the document says that the watched identity is not registered."""
    found = identities(told, watched)
    return watched in found and not _is_active(found[watched])


def merge_reginfo(
    old: Registration | None, aor: str, element: RegistrationElement | None, told: Told
) -> Registration:
    """
    Return the record of `aor` after the document, of which `element` is its part (None: not in full state).

    A document older than one of the same dialog that the record has already changes nothing, and one of an
    S-CSCF that the user has left for another does not say that the user is gone.
    """
    record = old or _empty(aor, told)
    document = told.document
    if record.reginfo_dialog == told.dialog and document.version < record.reginfo_version:
        return record
    is_active = _is_active(element)
    if not is_active and is_elsewhere(record, told.s_cscf, told.at_ms):
        text = f"the reg event of {told.s_cscf} says gone of a user who is at {record.s_cscf}"
        return record._replace(doubts=(Doubt(SOURCE, text, told.at_ms),))
    known = [contact for contact in record.contacts if contact.expires_ms > told.at_ms]
    left = _contacts(known, element, record, told) if element is not None and is_active else []
    contacts = tuple(sorted(left, key=lambda contact: -contact.at_ms)[:MOST_CONTACTS])
    return record._replace(
        contacts=contacts,
        expires_ms=_end(record, contacts, told) if is_active else min(record.expires_ms, told.at_ms),
        s_cscf=record.s_cscf or told.s_cscf,
        associated=_associated(record, told),
        said_gone_ms=0 if is_active else record.said_gone_ms,
        problems=document.problems,
        state_source=SOURCE,
        state_ms=told.at_ms,
        reginfo_dialog=told.dialog,
        reginfo_version=document.version,
        reginfo_ms=told.at_ms,
        doubts=_doubts(record, known, contacts, told, is_active=is_active),
    )


def unreadable(record: Registration, problem: str, at_ms: int) -> Registration:
    """Return the record after a document that cannot be read: all that is known stays, the gap is shown."""
    return record._replace(problems=(f"reg event: {problem}",), reginfo_ms=at_ms)


def _contacts(
    known: Sequence[Contact], element: RegistrationElement, record: Registration, told: Told
) -> list[Contact]:
    """
    Matched by URI and instance: ids are memory addresses at some S-CSCFs.

    What has ended comes first: a device that has moved is in one document as its old contact, which is gone,
    and as its new one, in any order.
    """
    left = [] if told.document.full else list(known)
    for said in element.contacts:
        if said.state != "active":
            left = [contact for contact in left if not is_binding(contact, said.uri, _instance(said))]
    for said in element.contacts:
        if said.state == "active":
            instance = _instance(said)
            former = _same(known, said.uri, instance)
            left = [contact for contact in left if not _is(contact, said.uri, instance)]
            left.append(_contact(said, former, record, told))
    return left


def _contact(said: ContactElement, former: Contact | None, record: Registration, told: Told) -> Contact:
    address = _as_address(said)
    applications, features = push_applications(address), feature_params(address)
    tags_source, tags_ms = SOURCE if applications or told.core_reports_tags else PARTIAL_TAGS, told.at_ms
    if former is not None and former.features and not applications and not told.core_reports_tags:
        applications, features = former.applications, former.features
        tags_source, tags_ms = former.tags_source or former.source, former.tags_ms or former.at_ms
    return Contact(
        uri=said.uri,
        expires_ms=_contact_end(said, former, record, told.at_ms),
        applications=applications,
        features=features,
        instance=_instance(said) or (former.instance if former else ""),
        gruu=said.pub_gruu or (former.gruu if former else ""),
        # A Kamailio S-CSCF writes 0.000 for a contact that was registered without q.
        q=said.q or (former.q if former else None),
        source=SOURCE,
        at_ms=told.at_ms,
        tags_source=tags_source,
        tags_ms=tags_ms,
    )


def _contact_end(said: ContactElement, former: Contact | None, record: Registration, now_ms: int) -> int:
    if said.expires is not None:
        return now_ms + min(said.expires, LARGEST_EXPIRY_S) * 1000
    if former is not None:
        return former.expires_ms
    return record.expires_ms if record.expires_ms > now_ms else now_ms + UNSTATED_EXPIRY_S * 1000


def _end(record: Registration, contacts: Iterable[Contact], told: Told) -> int:
    ends = [contact.expires_ms for contact in contacts]
    if ends:
        return max(ends)
    return record.expires_ms if record.expires_ms > told.at_ms else told.at_ms + UNSTATED_EXPIRY_S * 1000


def _doubts(
    record: Registration,
    known: Sequence[Contact],
    contacts: Sequence[Contact],
    told: Told,
    *,
    is_active: bool,
) -> tuple[Doubt, ...]:
    """A document answers what was doubted before; one that contradicts a young REGISTER is doubted itself."""
    just_now = told.at_ms - SETTLED_MS
    young = [contact for contact in known if contact.source != SOURCE and contact.at_ms > just_now]
    lost = [contact.uri for contact in young if not _same(contacts, contact.uri, contact.instance)]
    if lost:
        text = f"the reg event says {lost[0]} is gone, which a REGISTER has just named"
        return (Doubt(SOURCE, text, told.at_ms),)
    said_gone = record.state_source == "register" and 0 < record.expires_ms <= record.state_ms
    if is_active and said_gone and record.state_ms > just_now:
        text = "the reg event says registered, a REGISTER has just said gone"
        return (Doubt(SOURCE, text, told.at_ms),)
    return ()


def _associated(record: Registration, told: Told) -> tuple[str, ...]:
    """One document covers the whole implicit set."""
    active = [aor for aor, element in identities(told, record.aor).items() if _is_active(element)]
    return tuple(dict.fromkeys((*record.associated, *active)))[:MOST_CONTACTS]


def _is_active(element: RegistrationElement | None) -> bool:
    return element is not None and element.state == "active"


def _same(contacts: Sequence[Contact], uri: str, instance: str) -> Contact | None:
    return next((contact for contact in contacts if _is(contact, uri, instance)), None)


def _is(contact: Contact, uri: str, instance: str) -> bool:
    return contact.uri == uri or bool(instance and contact.instance == instance)


def _as_address(said: ContactElement) -> NameAddr:
    return NameAddr(said.display_name, said.uri, said.params)


def _instance(said: ContactElement) -> str:
    value = next((value for name, value in said.params if name == "+sip.instance"), None) or ""
    return value.removeprefix("<").removesuffix(">")


def _empty(aor: str, told: Told) -> Registration:
    return Registration(
        version=RECORD_VERSION,
        aor=aor,
        s_cscf=told.s_cscf,
        path="",
        expires_ms=0,
        contacts=(),
        associated=(),
        charging="",
        service_info="",
        said_gone_ms=0,
        at_ms=told.at_ms,
    )
