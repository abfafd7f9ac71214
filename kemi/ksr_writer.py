"""Decisions -> KSR calls: the only place that makes Kamailio send something."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache

import KSR
import ksr_reader
import named_hops

from omapush import log
from omapush.errors import MalformedSip
from omapush.push import border, inbound
from omapush.push.inbound import (
    Answer,
    Capture,
    Decision,
    Drop,
    Hosted,
    InSession,
    Notification,
    Relay,
    Subscription,
)
from omapush.push.request import InDialog, Request
from omapush.push.trust import Domain, Inside, host_of, leads_inside

_dialog_in_hand: tuple[Request, InDialog] | None = None
"The request of a dialog that uac_req_send is working on in this process."

_told_before: tuple[str, str, str] | None = None
"Method, From and next hop as Kamailio has them from the request before: it keeps what it is not told anew."

_large_by_tcp = 0
"Bytes above which a request of ours leaves by TCP; 0: as its next hop says."

_inside = Inside(Domain((), ()), frozenset())
"Where the trust domain is; what leaves it is stripped of what belongs inside."

_DIALOG_CREATING = ("INVITE", "SUBSCRIBE", "REFER")
_MOST_HOPS = 70
_UNREACHABLE = (503, "Next Hop Unreachable")
_LONGEST_RELAY_WAIT_S = 0.5
"A SIP worker waits so long for the address of a name that nobody has used before, and a sender so long:"
_LONGEST_SEND_WAIT_S = 0.2
_GENERATED_CSEQ = "10"
"What Kamailio numbers its requests with, and finds their transactions by."


def send_large_by_tcp(above: int) -> None:
    """Set from how many bytes on requests of our own leave by TCP (RFC 3261 18.1.1); before the fork."""
    global _large_by_tcp
    _large_by_tcp = above


def keep_inside(inside: Inside) -> None:
    """Set where the trust domain is; before the fork."""
    global _inside
    _inside = inside


@lru_cache(maxsize=4096)
def _leads_inside(uri: str) -> bool:
    return leads_inside(_inside, uri)


def reply(status: int, reason: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    """Answer the request in hand, within its transaction when it has one."""
    for name, value in headers:
        KSR.hdr.append_to_reply(f"{name}: {value}\r\n")
    KSR.sl.send_reply(status, reason)


def refuse_malformed() -> None:
    """Answer the request in hand, in which the sanity module has found a flaw."""
    # Not $ru: it is null where Kamailio cannot read it.
    if inbound.has_unknown_scheme(ksr_reader.text("$(mb{s.select,1, })")):
        reply(416, "Unsupported URI Scheme")
    else:
        KSR.sanity.sanity_reply()


def set_to_tag(tag: str) -> None:
    """
    Give the request in hand our own To tag, which its answers then have (before t_newtran).

    Raises:
        MalformedSip: To is no text.
    """
    to = ksr_reader.text("$hdr(To)")
    if not to:
        raise MalformedSip("To", "not UTF-8, or with a NUL")
    KSR.hdr.remove("To")
    KSR.hdr.insert(f"To: {to};tag={tag}\r\n")
    KSR.textopsx.msg_apply_changes()


def apply(decision: Decision, *, record_route: bool) -> None:
    """Carry out a decision; a Capture is the caller's, for it needs a queue."""
    match decision:
        case Answer(status, reason, headers):
            reply(status, reason, headers)
        case Relay():
            relay(record_route=record_route)
        case Drop() | Capture() | Subscription() | Notification() | Hosted() | InSession():
            pass


def relay(*, record_route: bool) -> None:
    """Send the request in hand on along its route set, with transaction state, or say why it cannot go."""
    method = ksr_reader.method()
    if method == "CANCEL" and KSR.tm.t_check_trans() <= 0:
        reply(481, "Call/Transaction Does Not Exist")
        return
    if KSR.maxfwd.process_maxfwd(_MOST_HOPS) < 0:
        reply(483, "Too Many Hops")
        return
    next_hop = ksr_reader.text("$du") or ksr_reader.text("$ru")
    address = named_hops.first_up(named_hops.wait_for(next_hop, _LONGEST_RELAY_WAIT_S))
    if not address:
        reply(*_UNREACHABLE)
        return
    if address != next_hop:
        KSR.pv.sets("$du", address)
    if record_route and method in _DIALOG_CREATING:
        KSR.rr.record_route()
    _strip_at_the_border(next_hop)
    # Kamailio's own words for a hop that cannot be reached are not for our peers.
    KSR.tm.t_set_disable_internal_reply(1)
    if KSR.tm.t_relay() < 0:
        reply(*_UNREACHABLE)


def _strip_at_the_border(next_hop: str) -> None:
    """Take off the request in hand what stays inside, and have its answers looked at, where it leaves."""
    if _leads_inside(next_hop) or host_of(next_hop) == ksr_reader.source_address():
        return
    for name in border.removed_on_leaving(ksr_reader.all_values("Privacy")):
        KSR.hdr.remove(name)
    KSR.tm.t_on_reply("ksr_border_reply")


def strip_answer() -> None:
    """Take off an answer from outside what nobody there may say."""
    for name in border.REMOVED_ON_RETURN:
        KSR.hdr.remove(name)


def send(request: Request, reference: str) -> bool:
    """
    Send a request of our own; its final answer comes to `event_route[uac:reply]` with `reference`.

    False when Kamailio could not even try: no route to the next hop, a name that leads nowhere, no memory,
    or a text that KSR does not take.
    """
    address = request.address
    if not address:
        address = named_hops.first_up(named_hops.wait_for(request.next_hop, _LONGEST_SEND_WAIT_S))
        if not address:
            return False
    try:
        _write(request, address, reference)
    except (SystemError, ValueError) as error:
        log.get().error("request_not_written", method=request.method, problem=str(error.__cause__ or error))
        return False
    global _dialog_in_hand
    _dialog_in_hand = (request, request.dialog) if request.dialog is not None else None
    try:
        return bool(KSR.uac.uac_req_send() > 0)
    finally:
        _dialog_in_hand = None


def _write(request: Request, address: str, reference: str) -> None:
    tell = KSR.pv.sets
    _tell_the_same(request.method, request.from_uri, _by_transport(request, address))
    tell("$uac_req(ruri)", request.request_uri)
    tell("$uac_req(turi)", request.to_uri)
    tell("$uac_req(callid)", request.call_id)
    inside = _leads_inside(request.next_hop)
    tell("$uac_req(hdrs)", request.headers if inside else border.of_our_own(request.headers))
    _set_body(request.body)
    tell("$uac_req(evparam)", reference)


def _tell_the_same(*told: str) -> None:
    """Tell Kamailio what most requests have in common, when it is not what the last one had."""
    global _told_before
    if told == _told_before:
        return
    _told_before = None  # should one of them not be taken
    for field, value in zip(("method", "furi", "ouri"), told, strict=True):
        KSR.pv.sets(f"$uac_req({field})", value)
    KSR.pv.seti("$uac_req(evroute)", 1)
    _told_before = told  # type: ignore[assignment]


def forget() -> None:
    """
    In an event of a request: Kamailio has just put that one's fields in the place of what it was told.

    A 200 to a push does not come by here (kamailio.cfg). It comes to SIP workers alone, which send nothing.
    """
    global _told_before
    _told_before = None


def _by_transport(request: Request, hop: str) -> str:
    """The next hop, by TCP when the request is too large for UDP and the hop does not say how."""
    if (
        not 0 < _large_by_tcp < request.size
        or ";transport=" in hop.lower()
        or hop.lower().startswith("sips:")
    ):
        return hop
    return f"{hop};transport=tcp"


def cancel(call_id: str) -> None:
    """Cancel the INVITE with this Call-ID that this Kamailio sent, once a provisional answer is there."""
    KSR.tmx.t_cancel_callid(call_id, _GENERATED_CSEQ, 0)


def finish_local_request() -> None:
    """
    Within uac_req_send: give a request of a dialog the tags and the number that are the dialog's.

    Kamailio 6.1 has `ftag`, `ttag` and `cseqno` for this; 5.6 always writes a tag of its own and 10.
    """
    if _dialog_in_hand is None:
        return
    request, dialog = _dialog_in_hand
    to_tag = f";tag={dialog.remote_tag}" if dialog.remote_tag else ""
    lines = (
        ("From", f"<{request.from_uri}>;tag={dialog.local_tag}"),
        ("To", f"<{request.to_uri}>{to_tag}"),
        ("CSeq", f"{dialog.cseq} {request.method}"),
    )
    for name, value in lines:
        KSR.hdr.remove(name)
        KSR.hdr.insert(f"{name}: {value}\r\n")
    if request.routes:
        KSR.hdr.insert(request.routes)


def _set_body(body: bytes) -> None:
    """Any bytes may be content; those that a KSR string cannot hold go by way of base64."""
    if b"\0" not in body:
        try:
            KSR.pv.sets("$uac_req(body)", body.decode())
        except UnicodeDecodeError:
            pass
        else:
            return
    KSR.pv.sets("$var(b64)", base64.b64encode(body).decode())
    KSR.pvx.evalx("$uac_req(body)", "$(var(b64){s.decode.base64})")
