"""
What can go wrong, split by who has to act.

Every front (SIP, PAP, HTTP, command line) reads its answer from the class, so no front keeps a
second table of errors. The text of an error names what was read and which rule it broke; it never
holds content or secrets, and long input is cut before it gets here.
"""

from __future__ import annotations

from typing import ClassVar, Final

LONGEST_QUOTE: Final = 80
"Characters of a peer's input that an error text may repeat."


def shortened(text: str, limit: int = LONGEST_QUOTE) -> str:
    """Return `text` fit for an error text: printable, on one line, at most `limit` characters."""
    if len(text) <= limit and text.isprintable():
        return text
    printable = "".join(char if char.isprintable() else "?" for char in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 3] + "..."


class PushError(Exception):
    """Root of all errors that omapush raises on purpose; on its own it means a defect of ours."""

    sip_status: ClassVar[int] = 500
    sip_reason: ClassVar[str] = "Server Internal Error"
    http_status: ClassVar[int] = 500
    pap_code: ClassVar[str] = "3000"


class PeerIsWrong(PushError):
    """The peer broke a rule: repeating the same bytes will not help."""

    sip_status = 400
    sip_reason = "Bad Request"
    http_status = 400
    pap_code = "2000"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        "What was wrong: a header, an element/attribute, a configuration key."
        self.problem = problem


class MalformedSip(PeerIsWrong):
    """A SIP message or header value that RFC 3261 grammar does not allow."""


class MalformedMime(PeerIsWrong):
    """A MIME entity (multipart, part header) that cannot be taken apart."""


class MalformedPap(PeerIsWrong):
    """A PAP control entity that is not well formed or not valid; answered by badmessage-response."""

    def __init__(self, field: str, problem: str, fragment: str = "") -> None:
        super().__init__(field, problem)
        self.fragment = shortened(fragment, 256)
        "The offending piece, for `bad-message-fragment`."


class UnsupportedPapVersion(MalformedPap):
    """No PAP version is common to the initiator and us (3002)."""

    pap_code = "3002"


class MalformedAddress(PeerIsWrong):
    """A recipient address that is not understood, or whose kind cannot be reached by SIP (2002)."""

    pap_code = "2002"


class MalformedXml(PeerIsWrong):
    """An XML document from the network that is not well formed, or that tries what XML should not."""


class MalformedSdp(PeerIsWrong):
    """A session description, or an attribute in it, that cannot be read."""


class MalformedMsrp(PeerIsWrong):
    """An MSRP message, URI or header that RFC 4975 grammar does not allow."""


class BadConfiguration(PeerIsWrong):
    """The configuration file has an unknown key or a wrong value; the start stops here."""


class PushRefused(PushError):
    """Understood, and not allowed or not possible as asked."""

    sip_status = 403
    sip_reason = "Forbidden"
    http_status = 403
    pap_code = "2001"


class NotKnown(PushRefused):
    """What is asked about is not known, or not any more."""

    sip_status = 404
    sip_reason = "Not Found"
    http_status = 404
    pap_code = "2004"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class TooLarge(PushRefused):
    """The request or its content is above a configured size."""

    sip_status = 413
    sip_reason = "Request Entity Too Large"
    http_status = 413
    pap_code = "2000"


class TryLater(PushError):
    """Nothing is wrong with the request; we cannot take it now."""

    sip_status = 503
    sip_reason = "Service Unavailable"
    http_status = 503
    pap_code = "4001"

    def __init__(self, problem: str, *, retry_after_s: int = 5) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s
        "Seconds for Retry-After."


class StoreUnavailable(TryLater):
    """Redis did not answer, or answered that it cannot serve now."""


class ApiUnavailable(TryLater):
    """Our own api did not answer a command, or cannot take what it asks for now."""


class Overloaded(TryLater):
    """A bound (queue length, window) is reached; what is already accepted goes first."""
