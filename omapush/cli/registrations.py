"""`omapush registrations`: who is there, who says so, and how sure that is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer

from omapush import clock
from omapush.cli import matching, terminal, watched
from omapush.errors import PushRefused
from omapush.push.registration import Contact, Registration, applications, is_registered
from omapush.push.user_named import user_named
from omapush.push.watch import PRESENCE, Watch
from omapush.store import client, watches
from omapush.store import registrations as store

_AT_ONCE = 500
_SOURCES: Final = {
    "register": "the UE's REGISTER",
    "response": "the registrar's 200",
    "reginfo": "the reg event",
    "delivery": "a delivery",
    "subscribe": "our SUBSCRIBE",
}


def registrations(
    context: typer.Context,
    aor: Annotated[
        str | None, typer.Argument(metavar="[AOR]", help="One user, such as sip:alice@home1.example.")
    ] = None,
    headers: matching.Headers = None,
    method: matching.Method = "MESSAGE",
    as_json: terminal.AsJson = False,
) -> None:
    """List known users, or one user's contacts with tags, expiry, source and age."""
    if headers and aor is None:
        raise PushRefused("--match needs AOR: whose contacts?")
    db = client.connect(terminal.settings(context).redis)
    now_ms = clock.now_ms()
    if aor is None:
        _print_users(sorted(_all(db), key=lambda record: record.aor), now_ms, as_json)
        return
    identity = store.sip_identity(db, user_named(aor, "AOR"))
    record = store.read(db, identity)
    if record is None:
        raise PushRefused(f"{identity}: no REGISTER about this user was ever seen, or not in the last day")
    if headers:
        matching.show(record, headers, method, now_ms, as_json=as_json)
        return
    reg, presence = watches.read(db, identity), watches.read(db, identity, PRESENCE)
    if as_json:
        subscriptions = {"watch": watched.as_dict(reg), "presence_watch": watched.as_dict(presence)}
        terminal.print_json({**as_dict(record, now_ms), **subscriptions})
    else:
        _print_user(record, reg, presence, now_ms)


def _all(db: client.Store) -> Iterator[Registration]:
    names = store.known_aors(db)
    while batch := list(itertools.islice(names, _AT_ONCE)):
        yield from (record for record in store.read_all(db, batch) if record is not None)


def doubts(record: Registration, now_ms: int) -> list[str]:
    """Return what speaks against trusting the record, in words."""
    found = []
    if record.said_gone_ms and not any(doubt.source == "register" for doubt in record.doubts):
        ago = terminal.span(now_ms - record.said_gone_ms)
        found.append(f"{ago} ago a REGISTER with Expires 0 named no contact: maybe nobody is left")
    if is_registered(record, now_ms) and not record.contacts:
        found.append("registered, but no REGISTER showed a contact: its push applications are not known")
    if not record.s_cscf:
        found.append("no S-CSCF is known: core.next_hop is used")
    found += [
        f"{terminal.span(now_ms - doubt.at_ms)} ago, {_SOURCES.get(doubt.source, doubt.source)}: {doubt.text}"
        for doubt in record.doubts
    ]
    return [*found, *(f"not understood: {problem}" for problem in record.problems)]


def as_dict(record: Registration, now_ms: int) -> dict[str, Any]:
    """Return a record as `--json` shows it."""
    return {
        "aor": record.aor,
        "registered": is_registered(record, now_ms),
        "expires": clock.iso(record.expires_ms),
        "s_cscf": record.s_cscf,
        "path": record.path,
        "applications": list(applications(record, now_ms)),
        "associated": list(record.associated),
        "contacts": [_contact_dict(contact) for contact in record.contacts],
        "doubts": doubts(record, now_ms),
        "state_source": record.state_source,
        "state_at": clock.iso(record.state_ms or record.at_ms),
        "reg_event_at": clock.iso(record.reginfo_ms) if record.reginfo_ms else None,
        "updated": clock.iso(record.at_ms),
    }


def _contact_dict(contact: Contact) -> dict[str, Any]:
    return {
        "uri": contact.uri,
        "expires": clock.iso(contact.expires_ms),
        "applications": list(contact.applications),
        "features": dict(contact.features),
        "instance": contact.instance,
        "gruu": contact.gruu,
        "q": contact.q,
        "source": contact.source,
        "at": clock.iso(contact.at_ms),
        "tags_source": contact.tags_source or contact.source,
        "tags_at": clock.iso(contact.tags_ms or contact.at_ms),
    }


def _print_users(records: Iterable[Registration], now_ms: int, as_json: bool) -> None:
    known = list(records)
    if as_json:
        terminal.print_json([as_dict(record, now_ms) for record in known])
        return
    if not known:
        print("No user is known yet: no third-party REGISTER has come from the S-CSCF.")
        return
    listing = terminal.table("USER", "CONTACTS", "APPLICATIONS", "S-CSCF", "EXPIRES", "DOUBTS")
    for record in known:
        live = sum(contact.expires_ms > now_ms for contact in record.contacts)
        listing.add_row(
            record.aor,
            str(live),
            ", ".join(applications(record, now_ms)) or "-",
            record.s_cscf or "-",
            _expiry(record.expires_ms, now_ms),
            str(len(doubts(record, now_ms)) or "-"),
        )
    terminal.console().print(listing)


def _print_user(record: Registration, reg: Watch | None, presence: Watch | None, now_ms: int) -> None:
    console = terminal.console()
    console.print(
        terminal.pairs(
            (
                ("user", record.aor),
                (
                    "registered",
                    f"{_yes(is_registered(record, now_ms))}, {_expiry(record.expires_ms, now_ms)}",
                ),
                ("S-CSCF", record.s_cscf or "not known"),
                ("same user as", ", ".join(other for other in record.associated if other != record.aor)),
                ("last REGISTER", f"{terminal.span(now_ms - record.at_ms)} ago"),
                (
                    "who says so",
                    f"{_SOURCES.get(record.state_source, record.state_source)}, "
                    f"{terminal.span(now_ms - (record.state_ms or record.at_ms))} ago",
                ),
                ("reg event", watched.as_text(reg, now_ms)),
                *((("presence", watched.as_text(presence, now_ms)),) if presence else ()),
                *(("doubt", doubt) for doubt in doubts(record, now_ms)),
            )
        )
    )
    if not record.contacts:
        return
    listing = terminal.table("CONTACT", "TAGS", "EXPIRES", "SOURCE", "AGE", "TAGS BY", "AGE")
    for contact in record.contacts:
        listing.add_row(
            contact.uri,
            "\n".join(name if value is None else f"{name}={value}" for name, value in contact.features)
            or "-",
            _expiry(contact.expires_ms, now_ms),
            _SOURCES.get(contact.source, contact.source),
            terminal.span(now_ms - contact.at_ms),
            _SOURCES.get(contact.tags_source or contact.source, contact.tags_source),
            terminal.span(now_ms - (contact.tags_ms or contact.at_ms)),
        )
    console.print()
    console.print(listing)


def _expiry(at_ms: int, now_ms: int) -> str:
    if at_ms <= now_ms:
        return f"ended {terminal.span(now_ms - at_ms)} ago"
    return f"in {terminal.span(at_ms - now_ms)}"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
