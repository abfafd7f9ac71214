"""Which part of a SIP body is the session description, alone or beside others (RFC 5621)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from omapush.errors import MalformedMime
from omapush.protocol import multipart
from omapush.protocol.multipart import Part, media_type

SDP_TYPE: Final = "application/sdp"
ACCEPT: Final = f"{SDP_TYPE}, multipart/mixed, multipart/alternative, multipart/related"
"What may bring a description, as Accept lists it."
_DEEPEST: Final = 3
"Multiparts inside of each other that are taken apart."
_SESSION: Final = frozenset({"", "session"})
"Dispositions of a description that is the session's; another one is of early media only (RFC 3959)."


class SessionBody(NamedTuple):
    """What a body has for its session."""

    description: bytes | None
    "Octets of the first session description; None: there is none."
    required: tuple[str, ...] = ()
    "Types of other parts that whoever does not understand them has to refuse, with 415 (RFC 5621 4)."


def read_session_body(content_type: str, body: bytes) -> SessionBody:
    """
    Return what a body has for its session; one without Content-Type is taken for a description itself.

    Raises:
        MalformedMime: Content-Type, or the parts of a multipart, cannot be read.
    """
    if not body or not content_type:
        return SessionBody(body)
    kind = media_type(content_type, "Content-Type")
    if kind.essence == SDP_TYPE:
        return SessionBody(body)
    if kind.type != "multipart":
        return SessionBody(None, (kind.essence,))
    description: bytes | None = None
    required: list[str] = []
    for part, is_choice in _leaves(content_type, body, _DEEPEST):
        essence = _essence(part)
        disposition, handling = _disposition(part)
        if essence == SDP_TYPE and disposition in _SESSION:
            description = part.body if description is None else description
        elif handling != "optional" and not is_choice:
            required.append(essence)
    return SessionBody(description, tuple(required))


def _leaves(
    content_type: str, body: bytes, depth: int, *, is_choice: bool = False
) -> Iterator[tuple[Part, bool]]:
    """Give the parts that are no multipart, each with whether it is one of several to choose from."""
    among = is_choice or media_type(content_type, "Content-Type").subtype == "alternative"
    for part in multipart.split(content_type, body):
        if depth > 1 and _essence(part).startswith("multipart/"):
            yield from _leaves(part.header("Content-Type") or "", part.body, depth - 1, is_choice=among)
        else:
            yield part, among


def _essence(part: Part) -> str:
    """Of what cannot be read, nothing that anybody understands."""
    try:
        return media_type(part.header("Content-Type") or "text/plain", "Content-Type").essence
    except MalformedMime:
        return ""


def _disposition(part: Part) -> tuple[str, str]:
    """Return disposition and handling, both in lower case; empty: not said (RFC 3261 20.11)."""
    kind, *params = (part.header("Content-Disposition") or "").lower().split(";")
    pairs = (param.partition("=") for param in params)
    handling = next((value.strip(' \t"') for name, _, value in pairs if name.strip() == "handling"), "")
    return kind.strip(), handling
