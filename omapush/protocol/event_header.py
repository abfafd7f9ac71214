"""The Event header: a package and its parameters (RFC 6665 8.2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from omapush.errors import MalformedSip, shortened
from omapush.protocol.name_addr import split_quoted, unquote

MOST_EVENT_PARAMS: Final = 32

# event-type = event-package *( "." event-template ), each a token-nodot          RFC 6665 8.4
_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9\-!%*_+`'~]{1,64}(?:\.[A-Za-z0-9\-!%*_+`'~]{1,64}){0,4}")
# event-param = generic-param: token [ EQUAL ( token / host / quoted-string ) ]   RFC 3261 25.1
_PARAM: Final = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]{1,64})[ \t\r\n]*+"
    r"(?:=[ \t\r\n]*+(?:\"((?:[^\"\\]++|\\.)*)\"|([^\s;,<>\"=]++)))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class EventType:
    """The value of one Event header."""

    package: str
    "As written: packages differ by case."
    params: Mapping[str, str] = field(default_factory=dict)
    "By name in lower case, values without quotes; empty for a bare name."


def parse_event(value: str) -> EventType:
    """
    Return the event that an Event header names; every value may be quoted, as older stacks do (PROP-X-1).

    Raises:
        MalformedSip: no package, a parameter that cannot be read or comes twice, or more than 32 of them.
    """
    package, *pieces = split_quoted(value, ";", "Event")
    if _EVENT_TYPE.fullmatch(package) is None:
        raise MalformedSip("Event", f"does not begin with an event package: {shortened(package) or 'empty'}")
    if len(pieces) > MOST_EVENT_PARAMS:
        raise MalformedSip("Event", f"more than {MOST_EVENT_PARAMS} parameters")
    params: dict[str, str] = {}
    for piece in pieces:
        found = _PARAM.fullmatch(piece)
        if found is None:
            raise MalformedSip("Event", f"not a parameter: {shortened(piece) or 'empty'}")
        name, quoted, plain = found[1].lower(), found[2], found[3]
        if name in params:  # RFC 3261 7.3.1
            raise MalformedSip("Event", f"parameter {name} comes twice")
        params[name] = (plain or "") if quoted is None else unquote(quoted)
    return EventType(package, params)
