"""
Who is there: the record of one address of record, and how a third-party REGISTER changes it.

PSA-REG-1, docs/registration.md. Nothing in two third-party REGISTERs orders them: arrival does. What the reg
event says goes into the same record by reginfo_merge.py; each fact keeps who said it, and when.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from omapush.protocol.sip_uri import host_and_port
from omapush.protocol.third_party_register import EmbeddedContact, Listing

RECORD_VERSION: Final = 1
UNSTATED_EXPIRY_S: Final = 3_600
"A contact registered without any expiry lives as long as RFC 3261 10.2.1.1 suggests."
LARGEST_EXPIRY_S: Final = 604_800 * 4
MOST_CONTACTS: Final = 32
MOST_DOUBTS: Final = 4
OVERTAKEN_MS: Final = 120_000
"""
How old a list of bindings may be when it comes: its REGISTER was repeated by the S-CSCF, after other
application servers had been waited for, and then waited here. What was named since may be newer.
"""
PARTIAL_TAGS: Final = "partial"
"Source of tags in a reg event whose S-CSCF reports no push tags: which applications there are is not known."


class Contact(NamedTuple):
    """One device of the user, as the last source that named it described it."""

    uri: str
    expires_ms: int
    applications: tuple[str, ...]
    "ARIs of `+g.oma.pusheventapp`."
    features: tuple[tuple[str, str | None], ...]
    "All feature parameters (RFC 3840); None is a flag."
    instance: str
    gruu: str
    q: float | None
    source: str
    "Who said so: `register` (the UE's REGISTER), `response` (the registrar's 200) or `reginfo` (reg event)."
    at_ms: int
    tags_source: str = ""
    "Who said `applications` and `features`, or `partial`; empty: `source` did."
    tags_ms: int = 0
    "When; 0: at `at_ms`."


class Doubt(NamedTuple):
    """A contradiction to the record that nothing has answered yet."""

    source: str
    "`register`, `reginfo` or `delivery`."
    text: str
    at_ms: int


class Registration(NamedTuple):
    """What is known about one public user identity."""

    version: int
    aor: str
    s_cscf: str
    "URI that terminating requests are routed to."
    path: str
    expires_ms: int
    "End of the registration as the S-CSCF granted it."
    contacts: tuple[Contact, ...]
    associated: tuple[str, ...]
    "Identities of the same implicit set, as far as P-Associated-URI could be read."
    charging: str
    "P-Charging-Function-Addresses, as they came."
    service_info: str
    said_gone_ms: int
    "When a REGISTER with Expires 0 came that named no contact; 0: never, or answered since."
    at_ms: int
    problems: tuple[str, ...] = ()
    "What could not be read of the last report."
    state_source: str = "register"
    "Who said `expires_ms`: `register` or `reginfo`."
    state_ms: int = 0
    "When; 0: at `at_ms`."
    reginfo_dialog: str = ""
    "Call-ID of the dialog whose reg event spoke last; empty: none ever did."
    reginfo_version: int = -1
    "Version of its document."
    reginfo_ms: int = 0
    doubts: tuple[Doubt, ...] = ()
    lists_all: bool = False
    "Its S-CSCF was seen to include 200s of a registrar, which list the bindings of all devices."


_NOTHING: Final = Registration(RECORD_VERSION, "", "", "", 0, (), (), "", "", 0, 0)
"What was known of a user before anything was."


class Report(Struct, frozen=True, gc=False):
    """One third-party REGISTER, read."""

    aor: str
    expires_s: int
    s_cscf: str
    path: str
    contacts: tuple[EmbeddedContact, ...]
    all_contacts: bool
    "The UE wrote `Contact: *`."
    source: str
    associated: tuple[str, ...]
    charging: str
    service_info: str
    at_ms: int
    problems: tuple[str, ...]
    listing: Listing = ""
    "Whether the contacts are all that the registrar has."


def merge(old: Registration | None, report: Report) -> Registration:
    """
    Return the record after `report`.

    A contact that the report names is replaced as a whole, so that a tag it no longer carries is withdrawn
    (PRA-REG-6); contacts that it does not name stay until they expire, or a registrar's list leaves them out
    (`_unlisted`). Expires 0 takes away what the UE named and nothing else: it is no proof that nobody is
    left (docs/registration.md). From an S-CSCF that the user has left for another it says nothing.
    """
    before = _NOTHING if old is None else old
    if report.expires_s == 0 and _is_left_behind(before, report):
        text = f"{report.s_cscf} says Expires 0 of a user who is at {before.s_cscf}"
        return before._replace(doubts=_with(before.doubts, Doubt("register", text, report.at_ms)))
    unlisted = _unlisted(before, report)
    contacts = _contacts(before, report, unlisted)
    return Registration(  # by position: names would take as long as all else here
        RECORD_VERSION,
        report.aor,
        report.s_cscf or before.s_cscf,
        report.path,
        _end(before, report, contacts),
        contacts,
        report.associated or before.associated,
        report.charging or before.charging,
        report.service_info or before.service_info,
        _said_gone(before, report),
        report.at_ms,
        report.problems,
        "register",
        report.at_ms,
        before.reginfo_dialog,
        before.reginfo_version,
        before.reginfo_ms,
        _doubts(before, report, contacts, unlisted),
        _lists_all(before, report),
    )


def contradiction(old: Registration | None, new: Registration) -> str:
    """
    Return in words why what was just told asks for a look at the reg event now; empty: it does not.

    Only what a subscription that exists would not tell by itself.
    """
    if old is None:
        return ""
    if old.s_cscf and old.s_cscf != new.s_cscf:
        return f"S-CSCF changed from {old.s_cscf} to {new.s_cscf}"
    return next((doubt.text for doubt in new.doubts if doubt not in old.doubts), "")


def doubted(record: Registration, doubt: Doubt) -> Registration | None:
    """Return the record with one doubt more; None when it has that doubt, or nobody is known to be there."""
    if not is_registered(record, doubt.at_ms):
        return None
    if any(known.source == doubt.source and known.text == doubt.text for known in record.doubts):
        return None
    return record._replace(doubts=(*record.doubts, doubt)[-MOST_DOUBTS:])


def is_registered(registration: Registration | None, now_ms: int) -> bool:
    """Tell whether, as far as is known, at least one contact of the user is there."""
    if registration is None:
        return False
    return registration.expires_ms > now_ms or any(
        contact.expires_ms > now_ms for contact in registration.contacts
    )


def applications(registration: Registration, now_ms: int) -> tuple[str, ...]:
    """Return the ARIs that live contacts of the user have registered, sorted."""
    live = (contact for contact in registration.contacts if contact.expires_ms > now_ms)
    return tuple(sorted({ari for contact in live for ari in contact.applications}))


def _contacts(before: Registration, report: Report, unlisted: tuple[Contact, ...]) -> tuple[Contact, ...]:
    """Latest first."""
    now = report.at_ms
    known = {contact.uri: contact for contact in before.contacts if contact.expires_ms > now}
    for contact in unlisted:
        if contact.at_ms <= now - OVERTAKEN_MS:
            del known[contact.uri]
    if report.all_contacts and report.expires_s == 0:
        known.clear()
    for named in _in_turn(report.contacts):
        _apply(known, named, report)
    if len(known) < 2:
        return tuple(known.values())
    return tuple(sorted(known.values(), key=lambda contact: -contact.at_ms)[:MOST_CONTACTS])


def _in_turn(contacts: tuple[EmbeddedContact, ...]) -> tuple[EmbeddedContact, ...]:
    """What goes before what comes: a device that has moved may name both, in any order."""
    return contacts if len(contacts) < 2 else tuple(sorted(contacts, key=lambda one: one.expires != 0))


def _apply(known: dict[str, Contact], named: EmbeddedContact, report: Report) -> None:
    if named.expires == 0:
        for contact in [one for one in known.values() if is_binding(one, named.uri, named.instance)]:
            del known[contact.uri]
        return
    former = [contact for contact in known.values() if _same(contact, named)] if known else []
    for contact in former:
        del known[contact.uri]
    # A Kamailio S-CSCF also says Expires 0 for a REGISTER that named no expiry at all: that one registers.
    expires_s = UNSTATED_EXPIRY_S if named.expires is None else min(named.expires, LARGEST_EXPIRY_S)
    made = Contact(  # by position, as a Registration is
        named.uri,
        report.at_ms + expires_s * 1000,
        named.applications,
        named.feature_params,
        named.instance or "",
        named.pub_gruu or _known_gruu(former),
        named.q,
        report.source,
        report.at_ms,
    )
    known[named.uri] = _as_described(made, former) if named.echoed and not named.applications else made


def _known_gruu(former: list[Contact]) -> str:
    return next((contact.gruu for contact in former if contact.gruu), "") if former else ""


def _as_described(echo: Contact, former: list[Contact]) -> Contact:
    """What a device takes is in its own REGISTER: a registrar that echoes no push tag withdraws none."""
    if not former:
        return echo._replace(tags_source=PARTIAL_TAGS)
    device = former[0]
    return echo._replace(
        applications=device.applications,
        features=device.features,
        instance=echo.instance or device.instance,
        tags_source=device.tags_source or device.source,
        tags_ms=device.tags_ms or device.at_ms,
    )


def _same(contact: Contact, named: EmbeddedContact) -> bool:
    """One device: same URI, or same instance that registered again from another address."""
    return contact.uri == named.uri or bool(contact.instance and contact.instance == named.instance)


def is_binding(contact: Contact, uri: str, instance: str | None) -> bool:
    """
    Tell whether a binding that has ended is this contact: its URI is, however its parameters are written.

    A device that has moved has the same instance at another address, and is still there.
    """
    if contact.uri == uri:
        return True
    is_device = bool(instance and contact.instance == instance)
    return is_device and host_and_port(contact.uri) == host_and_port(uri)


def _end(before: Registration, report: Report, contacts: tuple[Contact, ...]) -> int:
    if report.expires_s > 0:
        return report.at_ms + min(report.expires_s, LARGEST_EXPIRY_S) * 1000
    if contacts:
        return max(contact.expires_ms for contact in contacts)
    names_somebody = report.contacts or report.all_contacts
    return before.expires_ms if before.contacts and not names_somebody else report.at_ms


def _said_gone(before: Registration, report: Report) -> int:
    if report.expires_s > 0:
        return 0
    return before.said_gone_ms if report.contacts or report.all_contacts else report.at_ms


def _unlisted(before: Registration, report: Report) -> tuple[Contact, ...]:
    """
    Return known contacts that the registrar has no more: the list in its 200 leaves them out (RFC 3261 10.3).

    Only a list that is certainly one of all devices counts. One may have been overtaken by what came here
    before it: contacts that were named in the last OVERTAKEN_MS, by whomever, are doubted and not taken away.
    """
    if not report.listing or not _lists_all(before, report):
        return ()
    now = report.at_ms
    return tuple(
        contact
        for contact in before.contacts
        if contact.expires_ms > now and not any(_is_listed(contact, named) for named in report.contacts)
    )


def _lists_all(before: Registration, report: Report) -> bool:
    if report.listing == "others":
        return True
    return before.lists_all and host_and_port(report.s_cscf) in ("", host_and_port(before.s_cscf))


def _is_listed(contact: Contact, named: EmbeddedContact) -> bool:
    """Registrars may leave out parameters of an address, or have a device at another one by now."""
    return _same(contact, named) or _address(contact.uri) == _address(named.uri)


def _address(uri: str) -> tuple[str, str]:
    return uri.partition(":")[2].rpartition("@")[0], host_and_port(uri)


def _doubts(
    before: Registration, report: Report, contacts: tuple[Contact, ...], unlisted: tuple[Contact, ...]
) -> tuple[Doubt, ...]:
    """The reg event is to say who is right where a list leaves out a contact that was there."""
    doubts = _doubts_of_absence(before, report, contacts)
    for contact in unlisted:
        text = f"the registrar's 200 to a REGISTER lists no {contact.uri}"
        doubts = _with(doubts, Doubt("register", text, report.at_ms))
    return doubts


def _doubts_of_absence(
    before: Registration, report: Report, contacts: tuple[Contact, ...]
) -> tuple[Doubt, ...]:
    """A REGISTER that registers answers all doubts; who it was is for the reg event to say if it does not."""
    if report.expires_s > 0:
        if report.contacts or not before.reginfo_ms:
            return ()
        return (Doubt("register", "registered again, and the REGISTER names no contact", report.at_ms),)
    if report.contacts or report.all_contacts or not contacts:
        return before.doubts
    text = "a REGISTER with Expires 0 named no contact: maybe nobody is left"
    return _with(before.doubts, Doubt("register", text, report.at_ms))


def _with(doubts: tuple[Doubt, ...], doubt: Doubt) -> tuple[Doubt, ...]:
    return (*(one for one in doubts if one.text != doubt.text), doubt)[-MOST_DOUBTS:]


def _is_left_behind(before: Registration, report: Report) -> bool:
    """
    Tell whether a REGISTER with Expires 0 comes from where the user was, and not from where the user is.

    An S-CSCF that loses a user to another de-registers at its application servers, maybe after the other has
    registered there. One that registers a contact all the same (`_apply`) has the user now.
    """
    registers = any(named.expires != 0 for named in report.contacts)
    return not registers and is_elsewhere(before, report.s_cscf, report.at_ms)


def is_elsewhere(record: Registration, s_cscf: str, now_ms: int) -> bool:
    """Tell whether the user is registered by another S-CSCF than this one; only their addresses count."""
    if not (s_cscf and record.s_cscf) or not is_registered(record, now_ms):
        return False
    return host_and_port(s_cscf) != host_and_port(record.s_cscf)
