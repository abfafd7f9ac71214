"""KSR -> values: the only place that reads a SIP message out of Kamailio."""

from __future__ import annotations

import base64
import binascii

import KSR
from sent import LONGEST_WORD, Answered
from settings import Settings

from omapush import clock
from omapush.protocol.event_header import parse_event
from omapush.push.capability_sources import LEARNING_CODES
from omapush.push.dialog import Heard
from omapush.push.hosted import Arrived, application_of, is_originating
from omapush.push.inbound import InboundRequest, not_understood
from omapush.push.referral import Told
from omapush.push.registrar import ThirdPartyRegister
from omapush.push.session_answers import Said
from omapush.push.session_requests import Asked
from omapush.push.subscribe import Subscribe, is_for_itself, is_served
from omapush.push.trust import NO_CERTIFICATE, Certificate
from omapush.push.watch_rules import FinalAnswer, Notified

_LOCAL_REPLY = 2
"$uac_req(evtype): the final code is Kamailio's own, nobody answered."


def text(variable: str) -> str:
    """
    Return a pseudo-variable as text; empty: it is null, not UTF-8 (KSR raises on such bytes) or has a NUL.

    No header may hold a NUL unescaped (RFC 3261 25.1), and KSR takes none back.
    """
    try:
        found = str(KSR.pv.gete(variable))
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in found else found


def number(variable: str) -> int:
    """Return a pseudo-variable as a number; 0 when it is none."""
    value = KSR.pv.get(variable)
    return value if isinstance(value, int) else int(value or 0)


def method() -> str:
    """Return the method of the request in hand; empty when it is not UTF-8, and so none that we know."""
    try:
        return str(KSR.kx.get_method())
    except UnicodeDecodeError:
        return ""


def call_id() -> str:
    """Return the Call-ID of the message in hand; empty when it is not UTF-8, and so none of ours."""
    try:
        return str(KSR.kx.get_callid())
    except UnicodeDecodeError:
        return ""


def source_address() -> str:
    """Return the address that the request in hand came from, as the socket saw it."""
    return str(KSR.kx.get_srcip())


def is_trusted(settings: Settings) -> bool:
    """Tell whether the request in hand came over a link of the trust domain."""
    if not settings.inside.domain.names or text("$proto") != "tls":
        return settings.is_trusted(source_address())
    if number("$tls_peer_verified") != 1:
        return settings.is_trusted(source_address(), NO_CERTIFICATE)
    names = (text(f"$tls_peer_{name}") for name in ("san_uri", "san_hostname", "subject_cn"))
    return settings.is_trusted(source_address(), Certificate(*names))


def _unsupported() -> tuple[str, ...]:
    return not_understood(all_values("Require")) if KSR.hdr.is_present("Require") > 0 else ()


def _is_own_via(via: str, settings: Settings) -> bool:
    return any(listen.partition(":")[2] in via for listen in settings.config.sip.listen)


def next_queued(queue: str) -> tuple[str, str] | None:
    """
    Return the next (key, value) of a queue between processes, or None when it is empty.

    A value that is not UTF-8 comes as `=` and its octets in base64.
    """
    if KSR.mqueue.mq_fetch(queue) <= 0:
        return None
    try:
        value = str(KSR.mqueue.mqv_get(queue))
    except UnicodeDecodeError:
        value = "=" + str(KSR.pv.get(f"$(mqv({queue}){{s.encode.base64}})"))
    return str(KSR.mqueue.mqk_get(queue)), value


def has_several_routes() -> bool:
    """Tell whether the request in hand has more than one Route value."""
    return "," in text("$hdr(Route)") or bool(text("$(hdr(Route)[1])"))


def request(settings: Settings, *, onward: bool) -> InboundRequest:
    """Return what the decision about the request in hand looks at; `onward`: loose_route found a next hop."""
    uri = text("$ru")
    return InboundRequest(
        method=method(),
        trusted=is_trusted(settings),
        onward=onward,
        for_us=_is_ours(uri, settings),
        in_dialog=KSR.siputils.has_totag() > 0,
        went_through_us=not onward and _is_own_via(text("$(hdr(Via)[1])"), settings),
        for_own_profile=onward and method() == "SUBSCRIBE" and _is_for_own_profile(),
        unsupported=() if onward else _unsupported(),
        hosted=_hosted(uri, settings) if settings.config.hosted and method() == "MESSAGE" else "",
        hosts=bool(settings.config.hosted),
    )


def _hosted(uri: str, settings: Settings) -> str:
    if is_originating(text("$hdr(P-Served-User)")):
        return ""
    order = settings.config.routing.order
    return application_of(uri, all_values("Accept-Contact", "a"), order, settings.config.hosted)


def all_values(name: str, compact: str = "") -> str:
    """Return all values of a header, joined by commas; `compact` is the other name that it has."""
    found = [text(f"$(hdr({name})[*])"), text(f"$(hdr({compact})[*])") if compact else ""]
    return ",".join(value for value in found if value)


def _is_for_own_profile() -> bool:
    return is_served(text("$hdr(Event)")) and is_for_itself(subscribe())


def _is_ours(uri: str, settings: Settings) -> bool:
    return bool(KSR.is_myself_ruri()) or settings.is_own_identity(uri)


def third_party_register() -> ThirdPartyRegister:
    """Return the REGISTER in hand."""
    return ThirdPartyRegister(
        to=text("$tu"),
        from_uri=text("$fu"),
        contact=text("$hdr(Contact)"),
        expires=text("$hdr(Expires)"),
        path=text("$(hdr(Path)[*])"),
        associated=text("$(hdr(P-Associated-URI)[*])"),
        charging_vector=text("$hdr(P-Charging-Vector)"),
        charging_functions=text("$(hdr(P-Charging-Function-Addresses)[*])"),
        content_type=text("$hdr(Content-Type)"),
        body=body(),
    )


def subscribe() -> Subscribe:
    """Return the SUBSCRIBE in hand."""
    return Subscribe(
        event=text("$(hdr(Event)[*])"),
        accept=text("$(hdr(Accept)[*])"),
        expires=text("$hdr(Expires)"),
        contact=text("$hdr(Contact)"),
        record_route=text("$(hdr(Record-Route)[*])"),
        asserted=all_values("P-Asserted-Identity"),
        from_uri=text("$fu"),
        from_tag=text("$ft"),
        to_uri=text("$tu"),
        to_tag=text("$tt"),
        call_id=text("$ci"),
        cseq=number("$cs"),
        request_uri=text("$ru"),
        accept_contact=text("$(hdr(Accept-Contact)[*])"),
        accept_encoding=text("$(hdr(Accept-Encoding)[*])"),
        charging_vector=text("$hdr(P-Charging-Vector)"),
    )


_KEPT_FIELDS = ("Priority", "Subject", "Content-Disposition", "Content-Language")
"Headers of a push that its application is told (PROP-CTRL-1)."


def hosted_push() -> Arrived:
    """Return the MESSAGE or NOTIFY in hand as a push."""
    return Arrived(
        request_uri=text("$ru"),
        asserted=all_values("P-Asserted-Identity"),
        accept_contact=all_values("Accept-Contact", "a"),
        content_type=text("$hdr(Content-Type)"),
        content_encoding=all_values("Content-Encoding"),
        expires=text("$hdr(Expires)"),
        date=text("$hdr(Date)"),
        require=all_values("Require"),
        push_id=text("$hdr(X-Push-Id)"),
        call_id=text("$ci"),
        cseq=number("$cs"),
        from_tag=text("$ft"),
        length=number("$cl"),
        body=body(),
        fields=tuple((name, text(f"$hdr({name})")) for name in _KEPT_FIELDS),
    )


def body() -> bytes:
    """
    Return the body's bytes, whatever they are; by base64, for a KSR string is UTF-8 without NUL.

    What stands behind it in a datagram is none of it (RFC 3261 18.3).
    """
    try:
        found = base64.b64decode(text("$(rb{s.encode.base64})"))
    except binascii.Error:
        return b""
    length = KSR.pv.get("$cl")
    return found[:length] if isinstance(length, int) else found


def has_wrong_length(*, onward: bool) -> bool:
    """
    Tell whether Content-Length asks for more than came.

    Less is all right where we read it: the rest is dropped. What goes on would take the rest along.
    """
    length = KSR.pv.get("$cl")
    if not isinstance(length, int):
        return False
    came = number("$bs")
    return length > came or (onward and length < came)


def notified() -> Notified:
    """
    Return the NOTIFY in hand; without an Event its package is empty.

    Raises:
        MalformedSip: Event.
    """
    event = text("$(hdr(Event)[*])")
    return Notified(
        call_id=text("$ci"),
        our_tag=text("$tt"),
        heard=Heard(text("$ft"), number("$cs"), text("$hdr(Contact)"), text("$(hdr(Record-Route)[*])")),
        package=parse_event(event).package if event else "",
        subscription_state=text("$hdr(Subscription-State)"),
        content_type=text("$hdr(Content-Type)"),
        body=body(),
        at_ms=clock.now_ms(),
    )


def told() -> Told:
    """Return the NOTIFY in hand as one of the refer event."""
    return Told(
        call_id=text("$ci"),
        our_tag=text("$tt"),
        heard=Heard(text("$ft"), number("$cs"), text("$hdr(Contact)"), text("$(hdr(Record-Route)[*])")),
        subscription_state=text("$hdr(Subscription-State)"),
        body=body(),
        at_ms=clock.now_ms(),
    )


def reference() -> str:
    """Return the reference that came back with the final answer to a request of ours."""
    return text("$uac_req(evparam)")


def subscribe_answer(call: str, cseq: int) -> FinalAnswer:
    """Return the final answer to a SUBSCRIBE of ours, of which `call` and `cseq` came back with it."""
    code = number("$uac_req(evcode)")
    if number("$uac_req(evtype)") == _LOCAL_REPLY:
        return FinalAnswer(code, True, call, cseq, "", "", "", "", "", clock.now_ms())
    return FinalAnswer(
        code=code,
        local=False,
        call=call,
        cseq=cseq,
        expires=text("$hdr(Expires)"),
        min_expires=text("$hdr(Min-Expires)"),
        retry_after=text("$hdr(Retry-After)"),
        contact=text("$hdr(Contact)"),
        to_tag=text("$tt"),
        at_ms=clock.now_ms(),
    )


def in_session(contact: str) -> Asked:
    """Return the request in hand as one in the dialog of an INVITE; `contact`: our own, for its answer."""
    return Asked(
        method=method(),
        call_id=text("$ci"),
        our_tag=text("$tt"),
        heard=Heard(text("$ft"), number("$cs"), text("$hdr(Contact)"), text("$(hdr(Record-Route)[*])")),
        content_type=text("$hdr(Content-Type)"),
        body=body(),
        contact=contact,
        at_ms=clock.now_ms(),
        reason=text("$hdr(Reason)")[:LONGEST_WORD],
    )


def session_answer(cseq: int) -> Said:
    """Return the final answer to an INVITE or BYE of ours, which had the number `cseq`."""
    code = number("$uac_req(evcode)")
    now_ms = clock.now_ms()
    if number("$uac_req(evtype)") == _LOCAL_REPLY:
        return Said(cseq, code, True, "", "", 0, Heard("", 0, "", ""), b"", now_ms)
    retry_after = text("$hdr(Retry-After)").partition(";")[0].partition("(")[0].strip()
    return Said(
        cseq=cseq,
        code=code,
        local=False,
        reason=text("$rr")[:LONGEST_WORD],
        warning=(text("$hdr(Warning)") or text("$hdr(Reason)"))[:LONGEST_WORD],
        retry_after_s=int(retry_after[:6]) if retry_after.isascii() and retry_after.isdigit() else 0,
        heard=Heard(text("$tt"), cseq, text("$hdr(Contact)"), text("$(hdr(Record-Route)[*])")),
        body=body(),
        at_ms=now_ms,
        content_type=text("$hdr(Content-Type)"),
    )


def established() -> Said | None:
    """Return the reply in hand when it is a 2xx to an INVITE; else None."""
    code = KSR.kx.get_status()
    if not 200 <= code < 300 or text("$rm") != "INVITE":
        return None
    cseq = number("$cs")
    heard = Heard(text("$tt"), cseq, text("$hdr(Contact)"), text("$(hdr(Record-Route)[*])"))
    is_alone = KSR.tm.t_check_trans() <= 0
    return Said(cseq, code, False, "", "", 0, heard, b"", clock.now_ms(), is_alone=is_alone)


def final_answer() -> Answered:
    """Return the answer to the request of ours that just ended."""
    code = number("$uac_req(evcode)")
    local = number("$uac_req(evtype)") == _LOCAL_REPLY
    retry_after = reason = warning = accept = accept_encoding = ""
    if not local and code != 200:
        retry_after = text("$hdr(Retry-After)")
        reason = text("$rr")
        warning = text("$hdr(Warning)") or text("$hdr(Reason)")
        if code in LEARNING_CODES:
            accept, accept_encoding = text("$(hdr(Accept)[*])"), text("$(hdr(Accept-Encoding)[*])")
    elif not local:
        reason = "OK"
    words = (retry_after, reason, warning, accept, accept_encoding)
    return Answered(code, local, clock.now_ms(), *words)
