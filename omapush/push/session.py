"""
A session that carries large pushes to one user: INVITE, MSRP media, BYE (RFC 4975, RFC 5547, PSA-MSRP-1..17).

The record is all that any process needs to go on with it: the senders (SIP), the completer (answers), the
media worker (content). Rules return the session after something; only what is stored is acted upon.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NamedTuple

from omapush.push.dialog import Dialog
from omapush.push.referral import referral_id
from omapush.push.values import Delivery

RECORD_VERSION: Final = 1
CONFIRMED: Final = 200
"MSRP status of a stream whose last byte a report has confirmed."
TAKEN: Final = 202
"In place of one: all chunks were taken, and no report confirmed them."
LOST: Final = 0
"In place of one: the connection, the worker or the session went away first."
REFUSED: Final = 603
"In place of one: the device took the session and not this file."
# "i", id of the session, "@"                                                             call_id_of
_CALL: Final = re.compile(r"i([0-9a-f]{32})(?:@|$)")

State = Literal["gathering", "inviting", "open", "closing", "ended"]
"""
`gathering`: further pushes may join before the INVITE leaves; `inviting`: no final answer yet; `open`: media
may flow; `closing`: BYE sent; `ended`: no dialog, only results are left.
"""

StreamState = Literal["wanted", "offered", "agreed", "ended", "closing", "closed"]
"""
`wanted`: in no offer yet; `offered`: in one without answer; `agreed`: the worker transfers it; `ended`: its
result is known and its m-line still open; `closing`: offered with port 0; `closed`: port 0 is agreed.
"""


class Ending(NamedTuple):
    """How a stream ended."""

    by: Literal["sip", "msrp", "us"]
    "`sip`: its offer was refused; `msrp`: the transfer ended; `us`: its push was withdrawn."
    code: int
    "SIP status; or MSRP status, or CONFIRMED, TAKEN, LOST; or 0."
    why: str
    at_ms: int
    local: bool = False
    "Of `sip`: nobody answered."
    retry_after_s: int = 0
    "0: nothing was said."
    sent: int = 0
    "Octets that the device has taken."


class Stream(NamedTuple):
    """One push in a session: one m-line, one MSRP session, one MSRP message."""

    ticket: str
    attempt: int
    deliver_before_ms: int
    file_id: str
    "file-transfer-id, the same in every repeat of the delivery."
    message_id: str
    "MSRP Message-ID, the same in every repeat."
    path: str
    "Our own MSRP URI for it."
    content_type: str
    size: int
    sha1: str
    "Of the content, 40 hexadecimal digits."
    name: str
    "File name for the device; may be empty."
    disposition: str
    "`render` or `attachment`."
    description: str
    "Content-Description; may be empty."
    state: StreamState = "wanted"
    peer_path: str = ""
    "MSRP URIs of the device as its a=path has them, the next hop first; empty: not agreed yet."
    connects: bool = True
    "The TCP connection is ours to make; False: the device connects to `path`."
    peer_fingerprints: tuple[tuple[str, str], ...] = ()
    "Hash algorithm and hexadecimal digest of certificates that the device may show (msrps)."
    start: int = 1
    "First octet of the content that the device wants, counted from 1."
    stop: int = 0
    "Last one; 0: the end."
    ending: Ending | None = None
    line: int = -1
    "Position of its m-line, counted from 0; -1: in no offer yet."
    accepted_ms: int = 0
    "When the push was accepted: the file's date of creation."
    mime: tuple[tuple[str, str], ...] = ()
    "Further MIME headers of the content, such as Content-Encoding."
    held: bool = False
    "The device takes nothing of it for now: its last description says so (RFC 3264 8.4)."

    @property
    def session_id(self) -> str:
        """Name of the stream within its worker: the session-id of our own URI."""
        return self.path.rpartition("/")[2].partition(";")[0]

    @property
    def is_live(self) -> bool:
        """It is still to be transferred, or under way."""
        return self.state in ("wanted", "offered", "agreed")


class Place(NamedTuple):
    """The media worker that carries a session."""

    worker: str
    "Its name; another after a restart."
    uri: str
    "Begin of its MSRP URIs: `msrp://192.0.2.20:2855`."
    fingerprint: str = ""
    "SHA-256 of its certificate, 64 hexadecimal digits; empty: it speaks no TLS."


class Session(NamedTuple):
    """One INVITE dialog with the streams that it carries, in the order of their m-lines."""

    version: int
    id: str
    "Target of the user and 16 more digits; part of the Call-ID."
    aor: str
    application: str
    state: State
    dialog: Dialog
    place: Place
    streams: tuple[Stream, ...]
    node: str
    "Node that sent the request under way, and its start: only they can cancel it."
    run: str
    asked: Literal["", "INVITE", "BYE"]
    "Method of our request that has no final answer; empty: none is under way."
    asked_ms: int
    cancelled: bool
    "CANCEL was sent after it."
    sdp_version: int
    "Version of our last session description (o=)."
    linger_ms: int
    "When m-lines of ended streams are closed though others live; 0: the timer does not run."
    due_ms: int
    "When the owner of the user shard looks at it next."
    why: str
    "What happened last, in words."
    begun_ms: int
    at_ms: int
    "Of the last change."
    accept_contact: str = ""
    "Which devices it is for; empty: any."
    asserted: str = ""
    "P-Asserted-Identity; empty: the initiator is not trusted."
    s_cscf: str = ""
    "Where the INVITE goes."

    @property
    def live(self) -> tuple[Stream, ...]:
        """Streams that are still to be transferred, or under way."""
        return tuple(stream for stream in self.streams if stream.is_live)


def place_of(aor: str, application: str) -> str:
    """Return the name under which a user's one live session for an application is found."""
    return referral_id(aor, application)


def id_of_call(call_id: str) -> str:
    """Return the id of the session to which a Call-ID belongs; empty when it cannot be one of ours."""
    found = _CALL.match(call_id)
    return found[1] if found else ""


def call_id_of(session_id: str, host: str) -> str:
    """Return the Call-ID of a session's dialog."""
    return f"i{session_id}@{host}"


def file_id_of(delivery: Delivery) -> str:
    """Return the file-transfer-id of a delivery: 32 characters, the same each time it is tried."""
    return hashlib.blake2s(f"file\0{delivery.id}".encode(), digest_size=16).hexdigest()


def stream_of(session: Session, ticket: str, attempt: int) -> Stream | None:
    """Return the stream that carries this try of a delivery; None: the session has none for it."""
    found = [one for one in session.streams if one.ticket == ticket and one.attempt == attempt]
    return found[-1] if found else None


def ended(session: Session, streams: tuple[Stream, ...], ending: Ending) -> Session:
    """
    Return the session after `streams` of it ended so; those that have ended before keep their ending.

    One that was in no offer leaves no m-line to be closed; the m-line of another stays open until it is.
    """
    gone = {one.path for one in streams}
    return session._replace(
        streams=tuple(
            one._replace(state="ended" if one.state != "wanted" else "closed", ending=ending)
            if one.path in gone and one.is_live
            else one
            for one in session.streams
        )
    )
