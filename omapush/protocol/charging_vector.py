"""P-Charging-Vector: ties together what all nodes of one transaction charge for (RFC 7315 5.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedSip
from omapush.protocol.name_addr import quote, split_quoted, unquote

LONGEST_VALUE: Final = 1024
"Characters; it is repeated in answers and kept with the registration."

_FIELD: Final = "P-Charging-Vector"
# The IOI between S-CSCF and AS carries its type in front   TS 24.229 5.7.1.1
_TYPE_3: Final = "Type 3"
# What most S-CSCFs write: both values, in quotes or without, and nothing in them that needs a second look
_PLAIN: Final = r"[A-Za-z0-9\-.!%*_+`'~@:/]++"
_USUAL: Final = re.compile(
    rf'icid-value=(?:"({_PLAIN})"|({_PLAIN}));orig-ioi=(?:"((?:{_PLAIN} )?{_PLAIN})"|({_PLAIN}))'
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ChargingVector:
    """The IMS charging identifier and the operators at both ends; values without quotes and escapes."""

    icid_value: str
    icid_generated_at: str | None = None
    orig_ioi: str | None = None
    term_ioi: str | None = None

    @classmethod
    def parse(cls, value: str) -> ChargingVector:
        """
        Return the charging vector of a header value; of a parameter given twice the first counts.

        Raises:
            MalformedSip: no icid-value, a quote left open, or too long.
        """
        if len(value) > LONGEST_VALUE:
            raise MalformedSip(_FIELD, f"longer than {LONGEST_VALUE} characters")
        given: dict[str, str] = {}
        for param in split_quoted(value, ";", _FIELD):
            name, _, text = param.partition("=")
            given.setdefault(name.strip().lower(), _plain(text.strip()))
        if not given.get("icid-value"):
            raise MalformedSip(_FIELD, "icid-value is missing or empty")
        return cls(
            given["icid-value"], given.get("icid-generated-at"), given.get("orig-ioi"), given.get("term-ioi")
        )

    def __str__(self) -> str:
        named = (
            ("icid-value", self.icid_value),
            ("icid-generated-at", self.icid_generated_at),
            ("orig-ioi", self.orig_ioi),
            ("term-ioi", self.term_ioi),
        )
        return ";".join(f"{name}={quote(value)}" for name, value in named if value is not None)


def answer_to(received: str, own_ioi: str) -> str | None:
    """
    Return the P-Charging-Vector for the 200 to a third-party REGISTER (TS 24.229 5.7.1.1).

    None when the received one cannot be read: the 200 then goes without. `own_ioi` may come with or
    without its `Type 3`.
    """
    if len(received) <= LONGEST_VALUE and (usual := _USUAL.fullmatch(received)):
        icid, orig = usual[1] or usual[2], usual[3] or usual[4]
        return f'icid-value="{icid}";orig-ioi="{orig}"{_own_end(own_ioi)}'
    try:
        vector = ChargingVector.parse(received)
    except MalformedSip:
        return None
    answer = f"icid-value={quote(vector.icid_value)}"
    if vector.orig_ioi is not None:
        answer += f";orig-ioi={quote(vector.orig_ioi)}"
    return answer + _own_end(own_ioi)


@lru_cache(maxsize=16)
def _own_end(own_ioi: str) -> str:
    return f";term-ioi={quote(_TYPE_3 + own_ioi.removeprefix(_TYPE_3))}"


def _plain(text: str) -> str:
    """Return a gen-value (token, host or quoted-string) without quotes, refusing what could break a line."""
    if _CONTROL.search(text):
        raise MalformedSip(_FIELD, "control character in a value")
    return unquote(text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text
