"""
The MESSAGE that carries a push (RFC 3428, RFC 3841).

Kamailio writes Via, From, To, Call-ID, CSeq, Max-Forwards and Content-Length; everything else is
composed here, and the size of the whole is known before anything is sent.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from typing import Final, NamedTuple

from omapush.protocol.feature_tags import accept_contact
from omapush.protocol.sip_uri import loose, reached_at
from omapush.push.body import body_of
from omapush.push.request import Request, length_of
from omapush.push.values import Delivery

_CRLF: Final = "\r\n"
_PRIORITY: Final = {"high": "urgent", "low": "non-urgent"}
"Priority of a push, as priority-value of the SIP header says it (RFC 3261 20.26); else normal."
_LONGEST_S: Final = 2**32 - 1
"Largest delta-seconds of Expires (RFC 3261 20.19)."
_GENERATED_BYTES: Final = sum(
    len(text)
    for text in (
        " SIP/2.0\r\n",
        "Via: SIP/2.0/UDP ;branch=z9hG4bKffff.ffffffff000000000000000000000000.0\r\n",
        "To: <>\r\n",
        "From: <>;tag=ffffffffffffffffffffffffffffffff-ffffffff\r\n",
        "CSeq: 10 \r\n",
        "Call-ID: \r\n",
        "Max-Forwards: 70\r\n",
        "Content-Length: 1300\r\n",
        "\r\n",
    )
)
"What Kamailio's `build_uac_req` adds around URIs, method, Call-ID and the sent-by of Via (5.6.3)."


class Sender(NamedTuple):
    """Who we are on the wire."""

    uri: str
    "Public service identity: From, and the P-Asserted-Identity of pushes of our own."
    sent_by: str
    "Host and port of our listening socket, as Via shows it."
    ioi: str
    next_hop: str
    "Where requests go when no S-CSCF is known."


class Profile(NamedTuple):
    """How one application wants its MESSAGE."""

    application: str
    "ARI; the feature tag's value."
    accept_contact: str
    "bare, strict or none (PROP-ARI-5)."
    wrapped: bool
    gzip: bool
    push_id_header: bool
    asserted: str
    "P-Asserted-Identity for this initiator; empty: the initiator is not trusted."
    priority_header: bool = False


class _Frame(NamedTuple):
    """What all MESSAGEs of one application and initiator by one next hop have in common."""

    next_hop: str
    host: str
    "Ours, as Call-IDs name it."
    head: str
    "Header lines up to the Call-ID in P-Charging-Vector."
    behind: str
    "From there to the end of that line."
    size: int
    "Bytes that do not depend on the push, without `head` and `behind`."


@lru_cache(maxsize=1024)
def _frame(sender: Sender, profile: Profile, s_cscf: str) -> _Frame:
    next_hop = s_cscf or sender.next_hop
    host = _host(sender.sent_by)
    lines = [f"Route: <{loose(next_hop)}>"]
    if profile.asserted:
        lines.append(f"P-Asserted-Identity: <{profile.asserted}>")
    if preference := accept_contact_of(profile):
        lines.append(f"Accept-Contact: {preference}")
    lines.append('P-Charging-Vector: icid-value="')
    behind = f'";icid-generated-at={host};orig-ioi="Type 3{sender.ioi}"{_CRLF}'
    size = _GENERATED_BYTES + len("MESSAGE") * 2 + len(sender.sent_by) + len(sender.uri)
    return _Frame(reached_at(next_hop), host, _CRLF.join(lines), behind, size)


def compose(delivery: Delivery, sender: Sender, profile: Profile, s_cscf: str, attempt: int) -> Request:
    """
    Return the MESSAGE for `delivery` (PSA-MSG-1..7): Request-URI the public identity, routed to the core.

    `s_cscf`: URI of the user's S-CSCF, empty when unknown. A repeat after a crash keeps the attempt
    number and so its Call-ID, by which a receiver can tell that it has seen the push already.
    """
    frame = _frame(sender, profile, s_cscf)
    body_headers, body = body_of(delivery, wrapped=profile.wrapped, compress=profile.gzip)
    aor, call_id = delivery.aor, f"{delivery.id}.{attempt}@{frame.host}"
    told = marks(delivery, profile)
    own = _CRLF.join([*told, *body_headers] if told else body_headers)
    headers = f"{frame.head}{call_id}{frame.behind}{own}{_CRLF}"
    size = frame.size + len(aor) * 2 + len(call_id) + length_of(headers) + len(body)
    return Request("MESSAGE", aor, sender.uri, aor, frame.next_hop, call_id, headers, body, size)


def accept_contact_of(profile: Profile) -> str:
    """Return the Accept-Contact value that the application's pushes carry; empty: none (PROP-ARI-5)."""
    if profile.accept_contact == "none":
        return ""
    return accept_contact(profile.application, strict=profile.accept_contact == "strict")


def _host(sent_by: str) -> str:
    return sent_by.rsplit(":", 1)[0]


def marks(delivery: Delivery, profile: Profile) -> list[str]:
    """Return the header lines that tell about the push itself, whatever carries it."""
    lines = validity(delivery)
    if profile.push_id_header:
        lines.append(f"X-Push-Id: {delivery.id}")
    if profile.priority_header:
        lines.append(f"Priority: {_PRIORITY.get(delivery.priority, 'normal')}")
    return lines


def validity(delivery: Delivery) -> list[str]:
    """Return Date and Expires, which tell the device until when the push is worth showing (RFC 3428 8)."""
    if not delivery.deadline_given:
        return []
    lifetime_s = min(max(1, (delivery.deliver_before_ms - delivery.accepted_ms) // 1000), _LONGEST_S)
    return [f"Date: {formatdate(delivery.accepted_ms / 1000, usegmt=True)}", f"Expires: {lifetime_s}"]
