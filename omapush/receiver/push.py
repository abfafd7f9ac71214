"""The one record an application gets for each push, and how it says no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final


class Reason(Enum):
    """Why a push is refused; the value is what the network is told (Appendix Q)."""

    DECLINED = "declined"
    "The user does not want it now: 603, the sender may try again."
    FORBIDDEN = "forbidden"
    "The user does not want it at all: 403, the sender should not try again."
    NO_ROOM = "no room"
    "Short of resources: 500 with Retry-After."
    TYPE = "type"
    "Content of this type cannot be used: 415 with Accept."
    TOO_LARGE = "too large"
    "413."
    UNAVAILABLE = "unavailable"
    "Not here now: 480."


_ANSWERS: Final = {
    Reason.DECLINED: (603, "Decline"),
    Reason.FORBIDDEN: (403, "Forbidden"),
    Reason.NO_ROOM: (500, "Server Internal Error"),
    Reason.TYPE: (415, "Unsupported Media Type"),
    Reason.TOO_LARGE: (413, "Request Entity Too Large"),
    Reason.UNAVAILABLE: (480, "Temporarily Unavailable"),
}


class Refused(Exception):
    """Raised by an application to refuse a push; `text` reaches the sender as a Warning."""

    def __init__(
        self,
        reason: Reason = Reason.DECLINED,
        text: str = "",
        *,
        accept: tuple[str, ...] = (),
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(text or reason.value)
        self.reason = reason
        self.text = text
        self.accept = accept
        "With Reason.TYPE: the content types that would do; empty: those of the application."
        self.retry_after_s = retry_after_s or (60 if reason is Reason.NO_ROOM else 0)
        self.status, self.phrase = _ANSWERS[reason]


class AnswerWith(Refused):
    """Refuse with any final SIP code, for tests of a sender; `code` 0 stays silent."""

    def __init__(self, code: int, text: str = "", *, phrase: str = "Refused", retry_after_s: int = 0) -> None:
        super().__init__(Reason.DECLINED, text, retry_after_s=retry_after_s)
        self.status, self.phrase = code, phrase


@dataclass(frozen=True, slots=True)
class Push:
    """One push, the same for each way it can come."""

    content: bytes
    "What the sender pushed: encodings undone, control lines taken off."
    content_type: str
    "As the sender wrote it, parameters included; empty: none."
    application: str
    "ARI, such as `mms.ua`."
    sender: str
    "P-Asserted-Identity; empty when identities are not required and none came."
    method: str
    "MESSAGE, NOTIFY or INVITE."
    headers: tuple[tuple[str, str], ...] = ()
    "Header fields of the SIP request, long names in lower case; then the control lines of a wrapped push."
    initiator_uri: str = ""
    content_uri: str = ""
    push_id: str = ""
    "The sender's name for it (X-Push-Id); empty: it gives none."
    valid_until_ms: int | None = None
    "Milliseconds since 1970; None: no end."
    wrapped: bool = False
    "It came as application/vnd.oma.push."
    path: Path | None = None
    "The content as a file, where it is too large for `content`, which is empty then. It is yours to move."
    size: int = -1
    "Octets of the content, wherever it is; -1, when it is made: those of `content`."
    name: str = ""
    "What the sender calls the file, fit for a file system; empty: it gives no name."
    disposition: str = ""
    "`render` or `attachment`, of content that came in a session; empty: nothing was said."
    names: tuple[str, ...] = ()
    "Under which a `Memory` knows it; empty: the device has none."

    def __post_init__(self) -> None:
        if self.size < 0:
            object.__setattr__(self, "size", len(self.content))

    def read(self) -> bytes:
        """Return the content, wherever it is."""
        return self.content if self.path is None else self.path.read_bytes()

    def header(self, name: str) -> str | None:
        """Return the first value of a header or control line, in any case; None when it is absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class FileOffer:
    """What is told of a file before it is sent; None and empty: not told."""

    application: str
    sender: str
    content_type: str
    "Without parameters."
    size: int | None
    name: str
    "Fit for a file system."
    hashes: tuple[tuple[str, bytes], ...]
    "Algorithm in lower case (`sha-1`) and digest."
    disposition: str
    push_id: str
    headers: tuple[tuple[str, str], ...]
    "Header fields of the INVITE, long names in lower case."


OfferCallback = Callable[[FileOffer], Awaitable[None] | None]
"Takes a file that is to come by returning, refuses it by raising `Refused`; may be a coroutine function."
Callback = Callable[[Push], Awaitable[None] | None]
"Takes a push by returning, refuses it by raising `Refused`; may be a coroutine function."


@dataclass(frozen=True, slots=True)
class Application:
    """A push application of the device."""

    callback: Callback = field(repr=False)
    accept: tuple[str, ...] = ()
    "Content types it takes; empty: those of the settings."
    offered: OfferCallback | None = field(default=None, repr=False)
    "Asked before a file is sent; None: whatever fits is taken."
