"""The header fields that every SIP message has (RFC 3261 8.1.1): Via, From, To, Call-ID, CSeq."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from omapush.errors import MalformedSip, shortened
from omapush.protocol.name_addr import NameAddr, parse_one, split_quoted
from omapush.protocol.sip_message import SipMessage

MAGIC_COOKIE: Final = "z9hG4bK"
"Beginning of a branch that is unique (RFC 3261 8.1.1.7)."
LARGEST_CSEQ: Final = 2**31 - 1
MOST_VIAS: Final = 70

# token                                                   RFC 3261 25.1
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]++"  # noqa: S105 - a grammar rule, not a secret
# via-parm = sent-protocol LWS sent-by                    RFC 3261 25.1
_VIA: Final = re.compile(
    rf"[Ss][Ii][Pp][ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+({_TOKEN})[ \t]++"
    r"([A-Za-z0-9.\-_]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?:[ \t]*+:[ \t]*+([0-9]{1,5}))?"
)
# via-params; received may be an IPv6 address without brackets
_PARAM: Final = re.compile(rf"({_TOKEN})[ \t]*+(?:=[ \t]*+(?:\"((?:[^\"\\]++|\\.)*)\"|([^\s;,<>\"=]++)))?")
# CSeq = 1*DIGIT LWS Method                               RFC 3261 25.1
_CSEQ: Final = re.compile(rf"([0-9]{{1,10}})[ \t]++({_TOKEN})")
# callid = word [ "@" word ]                              RFC 3261 25.1
CALL_ID: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}@]{1,512}")
# delta-seconds                                           RFC 3261 25.1
_SECONDS: Final = re.compile(r"[0-9]{1,20}")


class Via(NamedTuple):
    """One hop back; the topmost is where a response goes."""

    transport: str
    "Upper case."
    host: str
    port: int | None
    branch: str
    "Empty: none, as before RFC 3261."
    rport_asked: bool = False
    "The sender wants the response at the port it sent from (RFC 3581)."


class CSeq(NamedTuple):
    """Order of a request inside its dialog, and its method."""

    number: int
    method: str


class Core(NamedTuple):
    """What tells messages apart."""

    via: Via
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: CSeq


def read_core(message: SipMessage) -> Core:
    """
    Return the fields of which each message has one.

    Raises:
        MalformedSip: one is missing, comes twice or cannot be read; CSeq names another method.
    """
    from_ = parse_one(_only(message, "from", "From"), "From")
    to = parse_one(_only(message, "to", "To"), "To")
    call_id = _only(message, "call-id", "Call-ID")
    if CALL_ID.fullmatch(call_id) is None:
        raise MalformedSip("Call-ID", f"not a call identifier: {shortened(call_id)}")
    cseq = parse_cseq(_only(message, "cseq", "CSeq"))
    if message.method is not None and cseq.method != message.method:
        raise MalformedSip("CSeq", f"names {shortened(cseq.method)}, the request is {message.method}")
    return Core(top_via(message), from_, to, call_id, cseq)


def top_via(message: SipMessage) -> Via:
    """
    Return the topmost Via.

    Raises:
        MalformedSip: none, too many, or it cannot be read.
    """
    values = message.all("via")
    if not values:
        raise MalformedSip("Via", "missing")
    if len(values) > MOST_VIAS:
        raise MalformedSip("Via", f"more than {MOST_VIAS} header fields")
    return parse_via(split_quoted(values[0], ",", "Via")[0])


def parse_via(value: str) -> Via:
    """
    Return what one via-parm says.

    Raises:
        MalformedSip: naming Via.
    """
    sent_by, *pieces = split_quoted(value, ";", "Via")
    found = _VIA.fullmatch(sent_by)
    if found is None:
        raise MalformedSip("Via", f"not a sent-by: {shortened(sent_by)}")
    params: dict[str, str] = {}
    for piece in pieces:
        param = _PARAM.fullmatch(piece)
        if param is None:
            raise MalformedSip("Via", f"not a parameter: {shortened(piece) or 'empty'}")
        params.setdefault(param[1].lower(), param[2] or param[3] or "")
    port = int(found[3]) if found[3] else None
    if port is not None and not 0 < port < 65536:
        raise MalformedSip("Via", f"port {port} is not between 1 and 65535")
    return Via(found[1].upper(), found[2], port, params.get("branch", ""), "rport" in params)


def parse_cseq(value: str) -> CSeq:
    """
    Return number and method.

    Raises:
        MalformedSip: no such pair, or the number is 2**31 or above.
    """
    found = _CSEQ.fullmatch(value)
    if found is None:
        raise MalformedSip("CSeq", f"not a number and a method: {shortened(value)}")
    if int(found[1]) > LARGEST_CSEQ:
        raise MalformedSip("CSeq", "the number is above 2147483647")
    return CSeq(int(found[1]), found[2])


def seconds(value: str | None, field: str) -> int | None:
    """
    Return delta-seconds, at most 2**31 - 1; None when the header is absent.

    Raises:
        MalformedSip: naming `field`.
    """
    if value is None:
        return None
    text = value.partition(";")[0].partition("(")[0].strip()
    if _SECONDS.fullmatch(text) is None:
        raise MalformedSip(field, f"not a number of seconds: {shortened(value)}")
    return min(int(text), LARGEST_CSEQ)


def _only(message: SipMessage, name: str, field: str) -> str:
    values = message.all(name)
    if len(values) != 1:
        raise MalformedSip(field, "missing" if not values else "comes more than once")
    return values[0]
