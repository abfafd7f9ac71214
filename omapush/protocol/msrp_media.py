"""What an m-line of message media offers or answers: RFC 4975 8, RFC 6135, RFC 6714."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from omapush.errors import MalformedSdp, PushError, shortened
from omapush.protocol.msrp_uri import MsrpUri, parse_path, write_path
from omapush.protocol.sdp import Address, Attributes, Media, SessionDescription, direction

MESSAGE: Final = "message"
"Media kind of the m-line."
PLAIN: Final = "TCP/MSRP"
SECURE: Final = "TCP/TLS/MSRP"
PORT_OF_ACTIVE: Final = 9
"Port of an m-line whose side only connects (RFC 6135 4)."
MOST_TYPES: Final = 128
"Entries of one accept-types."

# format-entry = "*" / type "/" ( subtype / "*" )                     RFC 4975 9
_NAME: Final = r"[A-Za-z0-9!#$&\-^_.+]{1,127}"
_TYPE: Final = re.compile(rf"\*|{_NAME}/(?:\*|{_NAME})(?:;\S{{1,255}})?")
_SIZE: Final = re.compile(r"[0-9]{1,18}")
# fingerprint = 2UHEX *( ":" 2UHEX )                                   RFC 4572 5
_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63}")
_SETUPS: Final = frozenset({"active", "passive", "actpass", "holdconn"})


@dataclass(frozen=True, slots=True)
class MessageMedia:
    """One side's part of an MSRP session, from its m-line."""

    path: tuple[MsrpUri, ...]
    "Next hop first, this side's own end last."
    accept_types: tuple[str, ...]
    "Lower case; `*`, `type/*` or `type/subtype`."
    accept_wrapped_types: tuple[str, ...] = ()
    "Taken only inside of a container of `accept_types`."
    max_size: int | None = None
    "Octets of the largest message; None when not said."
    setup: str | None = None
    "`active`, `passive`, `actpass`; None when absent: the offerer connects."
    direction: str = "sendrecv"
    fingerprints: tuple[tuple[str, bytes], ...] = ()
    "Hash algorithm in lower case and digest of certificates that this side may show."
    cema: bool = False
    "Would connect to the address of the c- and m-line (RFC 6714)."

    @property
    def secure(self) -> bool:
        """Whether the next hop wants TLS."""
        return self.path[0].secure

    def takes(self, content_type: str) -> bool:
        """Return whether content of this type may be sent as it is."""
        return takes_type(self.accept_types, content_type)

    def media(self, port: int) -> Media:
        """Return the m-line with its attributes; `port` 0 refuses or closes."""
        own = self.path[0]
        attributes: list[tuple[str, str | None]] = []
        if self.direction != "sendrecv":
            attributes.append((self.direction, None))
        if self.setup is not None:
            attributes.append(("setup", self.setup))
        attributes.append(("accept-types", " ".join(self.accept_types)))
        if self.accept_wrapped_types:
            attributes.append(("accept-wrapped-types", " ".join(self.accept_wrapped_types)))
        if self.max_size is not None:
            attributes.append(("max-size", str(self.max_size)))
        if self.cema:
            attributes.append(("msrp-cema", None))
        attributes += [
            ("fingerprint", f"{name} {digest.hex(':').upper()}") for name, digest in self.fingerprints
        ]
        attributes.append(("path", write_path(self.path)))
        protocol = SECURE if own.secure else PLAIN
        return Media(MESSAGE, port, protocol, ("*",), tuple(attributes), Address.of(own.host))


def is_message_media(media: Media) -> bool:
    """Return whether an m-line is one of MSRP, open or not."""
    return media.kind == MESSAGE and media.protocol.upper() in (PLAIN, SECURE)


def read_message_media(media: Media, whole: SessionDescription | None = None) -> MessageMedia:
    """
    Return what an open MSRP m-line says; `whole` adds what stands once for all m-lines.

    Raises:
        MalformedSdp: naming the attribute; path or accept-types is missing, or a value cannot be read.
    """
    path = _path(media)
    setup = media.attribute("setup")
    if setup is not None and setup.lower() not in _SETUPS:
        raise MalformedSdp("a=setup", f"none of the known roles: {shortened(setup)}")
    size = media.attribute("max-size")
    if size is not None and not _SIZE.fullmatch(size):
        raise MalformedSdp("a=max-size", f"not a number of octets: {shortened(size)}")
    everywhere = (*media.attributes, *(() if whole is None else whole.attributes))
    return MessageMedia(
        path=path,
        accept_types=_types(media, "accept-types", required=True),
        accept_wrapped_types=_types(media, "accept-wrapped-types", required=False),
        max_size=None if size is None else int(size),
        setup=None if setup is None or setup.lower() == "holdconn" else setup.lower(),
        direction=direction(everywhere),
        fingerprints=_fingerprints(everywhere),
        cema=any(name == "msrp-cema" for name, _value in everywhere),
    )


def takes_type(accepted: Iterable[str], content_type: str) -> bool:
    """Return whether `content_type`, parameters left aside, is one of an accept-types list."""
    bare = content_type.partition(";")[0].strip().lower()
    group = f"{bare.partition('/')[0]}/*"
    return any(entry in ("*", group) or entry.partition(";")[0] == bare for entry in accepted)


def we_connect(ours: str | None, theirs: str | None, *, we_offered: bool) -> bool:
    """
    Return whether the TCP connection is ours to make, from the setup of offer and answer (RFC 6135 4.2).

    Without `setup` in the answer the offerer connects, as RFC 4975 has it.
    """
    offer, answer = (ours, theirs) if we_offered else (theirs, ours)
    if answer == "active":
        offerer_connects = False
    elif answer == "passive":
        offerer_connects = True
    else:
        offerer_connects = offer != "passive"
    return offerer_connects == we_offered


def _path(media: Media) -> tuple[MsrpUri, ...]:
    value = media.attribute("path")
    if value is None:
        raise MalformedSdp("a=path", "is missing")
    try:
        path = parse_path(value.strip(" "), "a=path")
    except PushError as wrong:
        raise MalformedSdp("a=path", str(wrong).removeprefix("a=path: ")) from None
    if any(uri.session_id is None for uri in path[-1:]):
        raise MalformedSdp("a=path", "the last URI has no session-id")
    if any(uri.port is None for uri in path):
        raise MalformedSdp("a=path", "a URI has no port")
    return path


def _types(media: Media, name: str, *, required: bool) -> tuple[str, ...]:
    value = media.attribute(name)
    if value is None:
        if required:
            raise MalformedSdp(f"a={name}", "is missing")
        return ()
    types = value.lower().split()
    wrong = next((entry for entry in types if not _TYPE.fullmatch(entry)), None)
    if wrong is not None or (required and not types) or len(types) > MOST_TYPES:
        raise MalformedSdp(f"a={name}", f"not a list of types: {shortened(wrong or value) or 'empty'}")
    return tuple(types)


def _fingerprints(attributes: Attributes) -> tuple[tuple[str, bytes], ...]:
    """Return what can be read of them: one that cannot be read proves nothing."""
    found = []
    for name, value in attributes:
        algorithm, _, digits = (value or "").partition(" ")
        if name == "fingerprint" and _FINGERPRINT.fullmatch(digits):
            found.append((algorithm.lower(), bytes.fromhex(digits.replace(":", ""))))
    return tuple(found)
