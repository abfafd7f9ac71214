"""
What to do with a SIP request that reaches us: capture it, answer it, or let it go on its way.

Filter criteria bring other people's requests through us too. Those go on unchanged, and a trouble of ours
must never break them; so this decision needs nothing but the request itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from omapush.protocol.content_coding import CODINGS

UA_PROFILE: Final = "ua-profile"
"Event package whose notifier we are (PROP-X-6)."
ALLOW: Final = "REGISTER, OPTIONS, SUBSCRIBE, NOTIFY"
"Methods that the sender agent itself answers outside of dialogs; the rest gets 405."
_IN_SESSIONS: Final = "INVITE, ACK, CANCEL, BYE, UPDATE"
"What it takes besides, in the dialogs of its own INVITEs."


@dataclass(frozen=True, slots=True)
class InboundRequest:
    """What the decision looks at."""

    method: str
    trusted: bool
    "The source address belongs to the trust domain."
    onward: bool
    "After our own Route value there is another: filter criteria brought it, and it has to go on."
    for_us: bool
    "Request-URI names one of our addresses or our public service identity."
    in_dialog: bool
    "The To header has a tag."
    went_through_us: bool
    "One of the Via values is ours."
    for_own_profile: bool = False
    "A SUBSCRIBE to a profile that we serve, which filter criteria bring on its way to the subscriber itself."
    unsupported: tuple[str, ...] = ()
    "Option tags of Require that we do not have."
    hosted: str = ""
    "ARI of the application behind this server that a MESSAGE is for; empty: it is for none."
    hosts: bool = False
    "There are applications behind this server."


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply and be done."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    "Of a request that is answered once it is stored; its Content-Type is among the headers."


@dataclass(frozen=True, slots=True)
class Relay:
    """Send on along the route set."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A third-party REGISTER: store it, then answer."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A SUBSCRIBE for us: look at what it asks for, store it, then answer."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A NOTIFY in a dialog of ours: store what it says, then answer."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """A push for an application behind this server: look at it, store it, then answer."""

    application: str = ""


@dataclass(frozen=True, slots=True)
class InSession:
    """A request in the dialog of an INVITE, which may be ours: store what it says, then answer."""


@dataclass(frozen=True, slots=True)
class Drop:
    """An ACK that ends here; nothing answers an ACK."""


Decision = Answer | Relay | Capture | Drop | Subscription | Notification | Hosted | InSession

SUPPORTED: Final = ("path", "pref")
"Option tags that a request may require of us (RFC 3327, RFC 3840 9)."
_ACCEPT: Final = (
    "application/sdp, message/sip, application/3gpp-ims+xml, application/reginfo+xml, application/pidf+xml, "
    "message/sipfrag, multipart/mixed"
)
"Bodies of REGISTERs, of NOTIFYs to us, and of requests in sessions."
_COMMON: Final = (
    ("Accept-Language", "en"),
    ("Supported", ", ".join(SUPPORTED)),
    ("Allow-Events", UA_PROFILE),
)
_TAKES: Final = (
    ("Allow", f"{ALLOW}, {_IN_SESSIONS}"),
    ("Accept", _ACCEPT),
    ("Accept-Encoding", "identity"),
    *_COMMON,
)
_HOST_TAKES: Final = (
    ("Allow", f"{ALLOW}, MESSAGE, {_IN_SESSIONS}"),
    ("Accept", f"{_ACCEPT}, */*"),
    ("Accept-Encoding", ", ".join(CODINGS)),
    *_COMMON,
)


def options_headers(*, hosts: bool) -> tuple[tuple[str, str], ...]:
    """
    Return what an answer to OPTIONS says of us (RFC 3261 11.2); more where we host applications.

    The methods are all that we take, here or in a dialog; what is allowed outside of one is in each 405.
    """
    return _HOST_TAKES if hosts else _TAKES


_MOST_TAGS: Final = 32
_SCHEMES: Final = frozenset({"sip", "sips", "tel", "tels"})
# scheme                                                  RFC 3986 3.1
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")


def has_unknown_scheme(uri: str) -> bool:
    """Tell whether a Request-URI is of a scheme that we do not have, which is no flaw of its form."""
    found = _SCHEME.match(uri)
    return found is not None and found[1].lower() not in _SCHEMES


def not_understood(require: str) -> tuple[str, ...]:
    """Return the option tags of Require, all its values joined by commas, that we do not have."""
    tags = [tag.strip() for tag in require.split(",")][:_MOST_TAGS]
    return tuple(tag for tag in tags if tag and tag.lower() not in SUPPORTED)


def decide(request: InboundRequest, *, is_drained: bool = False) -> Decision:
    """Return the one thing to do with the request; a drained node refuses OPTIONS."""
    if request.method == "ACK":
        return Relay() if request.onward and request.trusted else Drop()
    # What a third-party REGISTER requires is the core's business: a refusal would end the registration.
    if request.unsupported and request.for_us and request.method not in ("REGISTER", "CANCEL"):
        return Answer(420, "Bad Extension", (("Unsupported", ", ".join(request.unsupported)),))
    if request.method == "OPTIONS" and request.for_us and not request.onward:
        headers = options_headers(hosts=request.hosts)
        if is_drained:
            return Answer(503, "Being Drained", (*headers, ("Retry-After", "30")))
        return Answer(200, "OK", headers)
    if not request.trusted:
        return Answer(403, "Not a Trusted Peer")
    if request.for_own_profile and not request.in_dialog:
        return Subscription()
    if request.hosted and not request.in_dialog and (request.onward or request.for_us):
        return Hosted(request.hosted)
    if request.onward:
        return Relay()
    return _answer_ourselves(request)


def _answer_ourselves(request: InboundRequest) -> Decision:
    if request.method == "REGISTER":
        return Capture()
    if not request.for_us:
        # No Route value leads on, and relaying by Request-URI would make us an open relay or a loop.
        return Answer(482, "Loop Detected") if request.went_through_us else Answer(404, "No Onward Route")
    if request.method == "SUBSCRIBE":
        return Subscription()
    if request.method == "NOTIFY" and request.in_dialog:
        return Notification()
    if request.method in ("CANCEL", "NOTIFY"):
        return Answer(481, "Call/Transaction Does Not Exist")
    if request.in_dialog:  # whatever the method: 481 would end a session that is there (RFC 5057)
        return InSession()
    return Answer(405, "Method Not Allowed", (("Allow", ALLOW),))
