"""Trace context as HTTP carries it: which trace a request belongs to (W3C Trace Context)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SAMPLED: Final = 0x01
# version-format and the fields of version 00; a later version may go on behind a hyphen  Trace Context 3.2.2
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{0,256})?")
_NO_VERSION: Final = "ff"
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
# list-member = key "=" value; key of one system, or tenant "@" system  Trace Context 3.3.1.3
_MEMBER: Final = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[ !-+\--<>-~]{0,255}[!-+\--<>-~]"
)
_MOST_MEMBERS: Final = 32
_LONGEST_READ: Final = 4_096
"Characters of a tracestate that are looked at; a longer one is no use to anybody."
_LONGEST_STATE: Final = 512
"Characters that are passed on; 3.3.1.5 asks for as many."
_LONG_MEMBER: Final = 128
"Longer ones go first (3.3.1.5)."


class TraceContext(NamedTuple):
    """Where something belongs in a trace."""

    trace_id: str
    "32 hexadecimal digits."
    span_id: str
    "Of what comes before: 16 hexadecimal digits."
    is_sampled: bool
    "Whoever began the trace wants its spans kept."
    state: str = ""
    "What tracing systems tell each other; passed on as it came."

    @property
    def traceparent(self) -> str:
        """The header of that name."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.is_sampled else 0:02x}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request that is made on behalf of it."""
        found = {"traceparent": self.traceparent}
        return {**found, "tracestate": self.state} if self.state else found

    def pack(self) -> str:
        """Return it as one text, for records."""
        return f"{self.traceparent} {self.state}".rstrip()


def read(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """
    Return the context in a request's headers; None: it has none that is valid, as if it had none at all.

    `tracestate`: all headers of that name, with commas between them.
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    if found is None or found[1] == _NO_VERSION or (found[1] == "00" and found[5]):
        return None
    if found[2] == _NO_TRACE or found[3] == _NO_SPAN:
        return None
    return TraceContext(found[2], found[3], bool(int(found[4], 16) & _SAMPLED), _state(tracestate))


def unpack(text: str) -> TraceContext | None:
    """Return what `pack` packed; None: nothing."""
    traceparent, _, state = text.partition(" ")
    return read(traceparent, state)


def _state(text: str) -> str:
    """A tracestate within its limits; empty when a member of it is none (3.3.1.1)."""
    if not text or len(text) > _LONGEST_READ:
        return ""
    members = [member for one in text.split(",") if (member := one.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > _MOST_MEMBERS or len(keys) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    while members and _length(members) > _LONGEST_STATE:
        long = [place for place, member in enumerate(members) if len(member) > _LONG_MEMBER]
        del members[long[-1] if long else -1]
    return ",".join(members)


def _length(members: list[str]) -> int:
    return sum(map(len, members)) + len(members) - 1
