"""
What is fuzzed: each parser, the errors it may raise, and what must hold of everything it takes.

The invariant is the same for all: bytes are read, or refused with the typed error. Where there is a writer,
what was read is written and read again, and must be equal; where a stream is read, the cuts must not matter.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from omapush.errors import (
    MalformedAddress,
    MalformedMime,
    MalformedMsrp,
    MalformedPap,
    MalformedSdp,
    MalformedSip,
    MalformedXml,
    PushError,
    TooLarge,
)
from omapush.protocol import (
    byte_range,
    charging_vector,
    content_coding,
    digest,
    event_header,
    external_body,
    feature_sets,
    file_transfer,
    hep,
    msrp_media,
    msrp_reader,
    msrp_uri,
    multipart,
    name_addr,
    packet,
    pap_reader,
    pcap,
    pidf,
    push_mo,
    redaction,
    refer_to,
    reginfo,
    retry_after,
    sdp,
    session_body,
    sip_core,
    sip_message,
    sip_uri,
    sip_wire,
    subscription_state,
    third_party_register,
    trace_context,
    uaprof,
    usual_register,
    wappush_address,
    wrapped_push,
)
from omapush.protocol.msrp import Body, Event
from omapush.protocol.push_mo import TrustedApplication, TrustedSender

LARGEST_INPUT: Final = 65_536
_LARGEST_CONTENT: Final = 1_000_000


class Target(NamedTuple):
    """One parser under fuzzing."""

    read: Callable[[bytes], object]
    refusals: tuple[type[PushError], ...]
    "What it may raise; anything else is a finding."
    seeds: tuple[str, ...] = ()
    "Globs below tests/corpora: where mutation begins, besides the target's own corpus."
    examples: tuple[bytes, ...] = ()
    "The same, for what is too short for files."


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _headed(data: bytes) -> tuple[str, bytes]:
    """The first line as Content-Type, with or without that name before it; the rest as the body."""
    head, _, body = data.partition(b"\n")
    return _text(head.removeprefix(b"Content-Type:")).strip(), body


def _session_body(data: bytes) -> object:
    found = session_body.read_session_body(*_headed(data))
    assert found.description is None or found.description in data
    return found


def _sip_uri(data: bytes) -> object:
    usable = sip_uri.as_request_uri(_text(data))
    assert sip_uri.as_request_uri(usable) == usable
    uri = sip_uri.SipUri.parse(_text(data))
    assert sip_uri.SipUri.parse(str(uri)) == uri
    return sip_uri.address_of_record(_text(data))


def _name_addr(data: bytes) -> object:
    found = name_addr.parse_list(_text(data), "Contact")
    for one in found:
        assert name_addr.parse_one(str(one), "Contact") == one
    return found


def _sip_stream(data: bytes) -> object:
    whole, pieces = _streamed(data, len(data) or 1), _streamed(data, 7 + len(data) // 64)
    assert whole == pieces
    return whole


def _streamed(data: bytes, step: int) -> tuple[list[bytes], bool]:
    """Messages of a stream that arrives in pieces, and whether it broke."""
    reader, found = sip_wire.StreamReader(), list[bytes]()
    try:
        for at in range(0, len(data), step):
            found.extend(reader.feed(data[at : at + step]))
    except MalformedSip:
        return found, True
    return found, False


def _sip_message(data: bytes) -> object:
    sip_wire.salvage(data)
    message = sip_wire.read_datagram(data)
    return sip_core.read_core(message)


def _sdp(data: bytes) -> object:
    described = sdp.SessionDescription.parse(data)
    assert sdp.SessionDescription.parse(str(described).encode()) == described
    for media in described.media:
        with suppress(MalformedSdp):
            msrp_media.read_message_media(media, described)
        with suppress(MalformedSdp):
            file_transfer.read_file_transfer(media)
    return described


def _file_selector(data: bytes) -> object:
    selector = file_transfer.FileSelector.parse(_text(data))
    assert file_transfer.FileSelector.parse(str(selector)) == selector
    name = file_transfer.safe_file_name(selector.name or "")
    assert "/" not in name
    assert name not in ("", ".", "..")
    return selector


def _msrp_stream(data: bytes) -> object:
    whole, pieces = _msrp_events(data, len(data) or 1), _msrp_events(data, 7 + len(data) // 64)
    assert whole == pieces == _msrp_events(data, 5_000, in_buffer=True)
    return whole


def _msrp_events(data: bytes, step: int, *, in_buffer: bool = False) -> list[Event] | None:
    """
    What a stream brings that arrives in pieces, its bodies put together; None when it broke.

    `in_buffer`: in the begin of a longer buffer.
    """
    reader, found = msrp_reader.MsrpReader(), list[Event]()
    try:
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            for event in reader.feed(bytearray(piece + piece[:100]) if in_buffer else piece, len(piece)):
                if isinstance(event, Body) and found and isinstance(found[-1], Body):
                    found[-1] = Body(bytes(found[-1].data) + event.data)
                else:
                    found.append(event)
    except MalformedMsrp:
        return None
    return found


def _msrp_uri(data: bytes) -> object:
    uri = msrp_uri.MsrpUri.parse(_text(data))
    assert msrp_uri.MsrpUri.parse(str(uri)).key == uri.key
    return msrp_uri.parse_path(_text(data))


def _external_body(data: bytes) -> object:
    link = external_body.read(*_headed(data))
    with suppress(MalformedMime):  # a date before 1970, or a header that only a reader takes
        assert external_body.read(*external_body.write(link)) == link
    return link


def _byte_range(data: bytes) -> object:
    value, if_range = (_text(part) for part in (*data.split(b"\n", 1), b"")[:2])
    byte_range.is_known(value, '"x"')
    with suppress(byte_range.NotSatisfiable):
        found = byte_range.wanted(value, if_range, '"x"', 1_000)
        assert found is None or 0 <= found.start < found.stop <= 1_000
    return None


def _retry_after(data: bytes) -> object:
    assert 0 <= retry_after.delay_s(_text(data), 0.0) <= retry_after.LONGEST_S
    return None


def _captured(data: bytes) -> object:
    """A packet of a traced push: addresses in the first line, as Kamailio writes them, and the message."""
    line, _, message = data.partition(b"\n")
    source, _, destination = _text(line).partition(" ")
    transport, sender = packet.endpoint(source)
    shown = redaction.redact(message, content=False)
    assert redaction.redact(shown.shown, content=False).shown == shown.shown
    one = packet.Packet(1, transport, sender, packet.endpoint(destination)[1], shown.whole)
    assert len(hep.encode(one, agent=1, correlation=source)) <= hep.LARGEST
    return b"".join(pcap.write([one]))


def _trace_context(data: bytes) -> object:
    parent, state = (_text(part) for part in (*data.split(b"\n", 1), b"")[:2])
    found = trace_context.read(parent, state)
    assert found is None or trace_context.unpack(found.pack()) == found
    return found


def _multipart(data: bytes) -> object:
    return multipart.split(*_headed(data))


def _pap(data: bytes) -> object:
    return pap_reader.read("application/xml", data)


def _pap_mime(data: bytes) -> object:
    return pap_reader.read(*_headed(data))


def _third_party(data: bytes) -> object:
    head, body = sip_message.SipMessage.parse(data), data.partition(b"\r\n\r\n")[2]
    bodies = third_party_register.read_bodies(head.first("content-type") or "", body)
    return third_party_register.embedded_contacts(bodies)


def _usual_register(data: bytes) -> object:
    contact = usual_register.usual_contact(data)
    if contact is not None:
        bodies = third_party_register.read_bodies("message/sip", data)
        assert third_party_register.embedded_contacts(bodies) == (contact,)
        assert not bodies.problems
    return contact


def _content_coding(data: bytes) -> object:
    coding, body = _headed(data)
    decoded = content_coding.decode(body, coding, most_bytes=_LARGEST_CONTENT)
    assert len(decoded) <= _LARGEST_CONTENT
    return decoded


def _feature_sets(data: bytes) -> object:
    text = _text(data)
    return feature_sets.parse_accept_contact(text), feature_sets.parse_reject_contact(text)


def _push_mo(data: bytes) -> object:
    senders = push_mo.read(data)
    assert push_mo.read(push_mo.write(senders)) == senders
    return senders


def _refer_to(data: bytes) -> object:
    return refer_to.read_refer_to((_text(data),))


def _wappush(data: bytes) -> object:
    target = wappush_address.recipient(_text(data), default_domain="home1.example")
    assert not any(ord(char) < 0x20 for char in target)
    return target


def _headers(data: bytes) -> object:
    """Short header values whose parsers raise the same error."""
    text = _text(data)
    for parse in (
        event_header.parse_event,
        subscription_state.SubscriptionState.parse,
        charging_vector.ChargingVector.parse,
        digest.parse_challenge,
        sip_core.parse_via,
        sip_core.parse_cseq,
    ):
        with suppress(MalformedSip):
            parse(text)
    return text


TARGETS: Final[dict[str, Target]] = {
    "byte_range": Target(_byte_range, (), examples=(b'bytes=0-499\n"x"', b'W/"x", "y"')),
    "captured": Target(
        _captured,
        (MalformedSip,),
        examples=(
            b"udp:192.0.2.1:5070 tcp:2001:db8::1:6060\nMESSAGE sip:a:p@b SIP/2.0\r\n"
            b"Authorization: x\r\n y\r\n\r\nz",
            b"tls:192.0.2.1:5061 tls:192.0.2.2:5061\nSIP/2.0 200 OK\r\nc: application/sdp\r\n\r\n"
            b"v=0\r\nk=clear:a\r\n",
        ),
    ),
    "content_coding": Target(
        _content_coding,
        (MalformedSip, TooLarge),
        examples=(b"gzip\n" + gzip.compress(b"a push", mtime=0), b"deflate, gzip\n\x78\x9c\x03\x00"),
    ),
    "external_body": Target(
        _external_body,
        (MalformedMime,),
        examples=(
            b'message/external-body; access-type="URL"; expiration="Mon, 31 Dec 2029 10:00:00 GMT"; '
            b'URL="https://c.example/content/x"; size=5; hash=2FD4E1C67A2D28FCED849EE1BB76E7391B93EB12\n'
            b"Content-Type: image/png\r\n\r\n",
        ),
    ),
    "feature_sets": Target(
        _feature_sets,
        (MalformedSip,),
        examples=(
            b'*;+g.oma.pusheventapp="mms.ua,!ulp.ua";require;explicit',
            b'*;audio;+sip.methods="#=5,#2:9"',
        ),
    ),
    "file_selector": Target(
        _file_selector,
        (MalformedSdp,),
        examples=(b'name:"a%22b.png" type:image/png size:4092 hash:sha-1:72:24',),
    ),
    "headers": Target(
        _headers,
        (),
        examples=(
            b'ua-profile;profile-type="application";oma-app="mms.ua"',
            b"terminated;reason=probation;retry-after=5",
            b'icid-value="a";orig-ioi=b',
            b'Digest realm="a", nonce="b", algorithm=MD5, qop="auth"',
            b"SIP/2.0/UDP 192.0.2.1:5066;branch=z9hG4bKa;rport",
            b"1 MESSAGE",
        ),
    ),
    "msrp_stream": Target(_msrp_stream, (), ("valid/msrp/*.msrp", "invalid/msrp/*.msrp")),
    "msrp_uri": Target(
        _msrp_uri,
        (PushError,),
        examples=(b"msrp://192.0.2.1:2855/Zk3v9;tcp", b"msrps://[2001:db8::1]:7/a;tcp"),
    ),
    "multipart": Target(
        _multipart, (MalformedMime,), examples=(b'multipart/mixed; boundary="b"\n--b\r\n\r\nx\r\n--b--',)
    ),
    "name_addr": Target(
        _name_addr,
        (MalformedSip,),
        examples=(b'"A, B" <sip:a@x.example;p=1>;tag=f, <tel:+3581>', b"sip:a@x.example;q=0.5"),
    ),
    "pap": Target(_pap, (MalformedPap, MalformedMime), ("valid/pap/*.xml", "invalid/pap/*.xml")),
    "pap_mime": Target(_pap_mime, (MalformedPap, MalformedMime), ("valid/pap/*.mime", "invalid/pap/*.mime")),
    "pidf": Target(pidf.read, (MalformedXml,), ("valid/pidf/*.xml", "invalid/pidf/*.xml")),
    "push_mo": Target(
        _push_mo,
        (MalformedXml,),
        examples=(
            push_mo.write(
                [
                    TrustedSender("sip:a@x.example", (TrustedApplication("mms.ua", ("image/*",)),)),
                    TrustedSender("tel:+358", (TrustedApplication("", ("a/b",)),)),
                ]
            ),
        ),
    ),
    "refer_to": Target(
        _refer_to,
        (PushError,),
        examples=(b"<sip:psa@x.example;method=SUBSCRIBE?Event=ua-profile%3boma-app%3d%22mms.ua%22>",),
    ),
    "reginfo": Target(reginfo.read, (MalformedXml,), ("valid/reginfo/*.xml", "invalid/reginfo/*.xml")),
    "retry_after": Target(_retry_after, (), examples=(b"120", b"Fri, 06 Nov 2026 08:49:37 GMT")),
    "sdp": Target(
        _sdp,
        (MalformedSdp,),
        examples=(
            b"v=0\r\no=psa 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
            b"m=message 2855 TCP/MSRP *\r\na=sendonly\r\na=setup:actpass\r\na=accept-types:*\r\n"
            b"a=path:msrp://192.0.2.20:2855/Zk3v9;tcp\r\na=file-range:1-*\r\na=file-transfer-id:u5Yw\r\n",
        ),
    ),
    "session_body": Target(
        _session_body,
        (MalformedMime,),
        examples=(
            b"multipart/mixed;boundary=b\n--b\r\nContent-Type: application/isup\r\n"
            b"Content-Disposition: signal;handling=optional\r\n\r\nx\r\n"
            b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--",
        ),
    ),
    "sip_message": Target(
        _sip_message, (MalformedSip, TooLarge), ("valid/sip/*.sip", "invalid/sip/*", "captures/*.sip")
    ),
    "sip_stream": Target(_sip_stream, (), ("valid/sip/*.sip", "captures/*.sip")),
    "sip_uri": Target(
        _sip_uri,
        (MalformedSip, MalformedAddress),
        examples=(
            b"sip:a%40b:pw@x.example:5070;transport=tcp?Subject=a",
            b"tel:+358-40;phone-context=x.example",
        ),
    ),
    "third_party_register": Target(_third_party, (MalformedSip, TooLarge), ("valid/sip/*.sip",)),
    "trace_context": Target(
        _trace_context,
        (),
        examples=(
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nrojo=00f067aa0ba902b7,a@b=t61rcWkgMzE",
        ),
    ),
    "uaprof": Target(uaprof.read, (MalformedXml,), ("valid/uaprof/*", "invalid/uaprof/*")),
    "usual_register": Target(
        _usual_register,
        (),
        examples=(
            b"REGISTER sip:home1.example SIP/2.0\r\nCall-ID: 1\r\nExpires: 600\r\nContact: <sip:a@192.0.2.9>;"
            b'audio;+g.oma.pusheventapp="mms.ua";+sip.instance="<urn:uuid:1>";q=0.5\r\n\r\n',
        ),
    ),
    "wappush_address": Target(
        _wappush,
        (MalformedAddress,),
        examples=(b"WAPPUSH=alice%40home1.example/TYPE=USER@ppg.example", b"WAPPUSH=+358 40/TYPE=PLMN"),
    ),
    "wrapped_push": Target(
        wrapped_push.unwrap, (MalformedMime,), examples=(b"X-Wap-Application-Id: mms.ua\r\n\r\nx",)
    ),
}
