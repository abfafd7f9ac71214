"""Who may push what to this device (7.4, PROP SEC-13): senders, applications, content types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from omapush.errors import MalformedSip
from omapush.protocol.sip_uri import address_of_record


@dataclass(frozen=True, slots=True)
class Trusted:
    """One sender, or several by pattern, with what they may push."""

    sender: str
    "Public identity; `*` and `?` stand for any text and any character: `sip:*@push.home1.example`."
    applications: tuple[str, ...] = ()
    "ARIs; empty: all."
    content_types: tuple[str, ...] = ()
    "`type/subtype` or `type/*`; empty: all."


@dataclass(frozen=True, slots=True)
class Whitelist:
    """The rules of a device; without any, and unless closed, all may push whom the core vouches for."""

    entries: tuple[Trusted, ...] = ()
    closed: bool = False
    "Without rules nobody may push."

    def why_not(self, senders: tuple[str, ...], application: str = "", content_type: str = "") -> str:
        """
        Return why these identities may not do that; empty: they may.

        An empty application or type is not asked about: it is not known yet, or there is none.
        """
        if not self.entries and not self.closed:
            return ""
        known = [uri for sender in senders if (uri := canonical(sender))]
        of_sender = [entry for entry in self.entries if any(_fits(one, entry.sender) for one in known)]
        if not of_sender:
            return "sender is not on the whitelist"
        of_application = [entry for entry in of_sender if _holds(entry.applications, application)]
        if not of_application:
            return "application is not on the whitelist for this sender"
        if not any(_holds_type(entry.content_types, content_type) for entry in of_application):
            return "content type is not on the whitelist for this sender"
        return ""


def canonical(uri: str) -> str:
    """Return the form in which identities are compared; empty for no SIP or tel URI: it fits nothing."""
    try:
        return address_of_record(uri)
    except MalformedSip:
        return ""


def _fits(uri: str, pattern: str) -> bool:
    if "*" in pattern or "?" in pattern:
        return _compiled(pattern).fullmatch(uri) is not None
    return uri == canonical(pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile("".join(pieces))


def _holds(names: tuple[str, ...], name: str) -> bool:
    return not names or not name or name.lower() in {one.lower() for one in names}


def _holds_type(patterns: tuple[str, ...], content_type: str) -> bool:
    return not patterns or not content_type or type_fits(content_type, patterns)


def type_fits(content_type: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a `type/subtype` in lower case is one of the media ranges."""
    whole = content_type.partition("/")[0]
    return any(pattern.lower() in (content_type, f"{whole}/*", "*/*") for pattern in patterns)
