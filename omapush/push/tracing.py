"""Which pushes are traced, and what is kept of one that is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from omapush.protocol.packet import Endpoint, Packet, Transport
from omapush.protocol.redaction import Redacted

CAPTURED_VERSION: Final = 1
_ANSWER: Final = b"SIP/2.0 "
# branch of the first Via  RFC 3261 20.42
_BRANCH: Final = re.compile(
    rb"^(?:Via|v)[ \t]*:[^\n]*?;[ \t]*branch[ \t]*=[ \t]*([^;,\s]{1,256})", re.I | re.M
)
MOST_SWITCHES: Final = 1_000
"Pushes and users that can be asked for at one time."


class Switches(NamedTuple):
    """What operators asked to have traced."""

    share: float = 0.0
    "Percentage of all pushes."
    pushes: frozenset[str] = frozenset()
    "References."
    users: frozenset[str] = frozenset()
    "Addresses of record."

    @property
    def is_on(self) -> bool:
        """Tell whether anything at all is traced."""
        return self.share > 0 or bool(self.pushes) or bool(self.users)

    def names(self, ref: str, aor: str) -> bool:
        """Tell whether somebody asked for just this push or this user."""
        return ref in self.pushes or aor in self.users

    def samples(self, ref: str) -> bool:
        """Tell whether a push is in the share of all; the same on every node and in every process."""
        # The first eight digits choose its shard: all pushes of some shards would be no fair share.
        return self.share > 0 and int(ref[8:16], 16) < self.share / 100 * 2**32


class Captured(NamedTuple):
    """One message of a traced push, as it is kept."""

    version: int
    at_us: int
    "When it was sent or received, in microseconds since 1970."
    transport: Transport
    source: str
    "Address; IPv6 without brackets."
    source_port: int
    destination: str
    destination_port: int
    shown: bytes
    "The message without credentials, and without content unless that is configured."
    left_out: int
    "Octets of content that it had."

    @property
    def packet(self) -> Packet:
        """The message as a capture shows it."""
        return Packet(
            self.at_us,
            self.transport,
            Endpoint(self.source, self.source_port),
            Endpoint(self.destination, self.destination_port),
            Redacted(self.shown, self.left_out).whole,
        )


def captured(
    message: Redacted, at_us: int, transport: Transport, source: Endpoint, destination: Endpoint
) -> Captured:
    """Return what is kept of a message."""
    return Captured(
        CAPTURED_VERSION,
        at_us,
        transport,
        source.host,
        source.port,
        destination.host,
        destination.port,
        message.shown,
        message.left_out,
    )


class Kept(NamedTuple):
    """One message of a push."""

    recipient: int
    "Index of the recipient whose delivery it belongs to."
    message: Captured


def in_order(messages: Iterable[Kept]) -> list[Kept]:
    """
    Return messages in order of time, no answer before its request.

    What was sent is seen after it was sent: meanwhile another process may have seen the answer. Such a
    request gets the time of that answer.
    """
    ordered: list[Kept] = []
    early: dict[bytes, Kept] = {}
    "The first answer of each transaction whose request is still to come."
    asked: set[bytes] = set()
    for one in sorted(messages, key=lambda kept: kept.message.at_us):
        found = _BRANCH.search(one.message.shown)
        branch = found[1] if found else b""
        if one.message.shown.startswith(_ANSWER):
            if branch not in asked:
                early.setdefault(branch, one)
        elif branch not in asked:
            asked.add(branch)
            if (answer := early.get(branch)) is not None:
                moved = one.message._replace(at_us=answer.message.at_us)
                ordered.insert(ordered.index(answer), one._replace(message=moved))
                continue
        ordered.append(one)
    return ordered
