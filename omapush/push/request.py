"""A SIP request of our own, ready to be handed to Kamailio."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

LARGEST_HEADERS: Final = 2_048
"Bytes of extra headers that Kamailio's uac module takes."
LARGEST_URI: Final = 1_024


def length_of(text: str) -> int:
    """Return how many bytes a text has on the wire."""
    return len(text) if text.isascii() else len(text.encode())


class InDialog(NamedTuple):
    """What ties a request to a dialog; Kamailio 5.6 would write a tag and a number of its own."""

    local_tag: str
    remote_tag: str
    "Empty in the request that creates the dialog."
    cseq: int


class Request(Struct, frozen=True, gc=False):
    """One request; Kamailio writes Via, Max-Forwards and Content-Length."""

    method: str
    request_uri: str
    from_uri: str
    to_uri: str
    next_hop: str
    "URI that the request is sent to; its host may be a name."
    call_id: str
    headers: str
    "Extra header lines, each with its CRLF."
    body: bytes
    size: int
    "Bytes of the whole request on the wire; an upper bound that is at most a few bytes too high."
    dialog: InDialog | None = None
    "None: outside of any dialog, as a MESSAGE is."
    routes: str = ""
    "Header lines of a route set for which the extra headers have no room; only inside a dialog."
    address: str = ""
    "URI of the server that was chosen behind the next hop's name; empty: that is chosen when it leaves."

    @property
    def goes_to(self) -> str:
        """URI that it is sent to, as far as that is known."""
        return self.address or self.next_hop
