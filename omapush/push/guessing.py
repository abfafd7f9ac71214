"""
How long nobody may try again after wrong passwords, and whose tries are counted together.

Three things are counted: what an address got wrong; what an account got wrong from addresses that it has
never come in from; and what it got wrong from one that it has. So a stranger can lock out his own address,
and the account for other strangers; never an account for the addresses that it usually comes from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

FORGOTTEN_S: Final = 3_600
"A count is forgotten so long after the last failure."
USUAL_S: Final = 30 * 86_400
"An address is usual for an account for so long after it last came in from there."
MOST_USUAL: Final = 64
"Usual addresses of one account; the one not seen longest goes for one more."
_FREE: Final = {"address": 10, "pair": 10, "name": 50}
"Failures before the first lock."
_FIRST_LOCK_S: Final = 30
LONGEST_LOCK_S: Final = 900
_V6_NETWORK: Final = 64

Kind = Literal["address", "name", "pair"]


class Counter(NamedTuple):
    """One thing whose failures are counted."""

    kind: Kind
    value: str
    "Address; name of the account; or both with a space between."


class LockOut(NamedTuple):
    """Something for which nothing is tried now."""

    counter: Counter
    failures: int
    since_ms: int
    "The last wrong password, with which this lock began."
    until_ms: int


def source_of(address: str) -> str:
    """Return what an address is counted as: IPv6 by /64, for whoever has one has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _V6_NETWORK), strict=False))


def counters(name: str, source: str, *, is_known: bool, is_usual: bool) -> tuple[Counter, ...]:
    """
    Return what a try counts for, and which locks stop it.

    `is_known`: there is such an account; `is_usual`: it has come in from this source before.
    """
    if is_usual:
        return (Counter("pair", f"{name} {source}"),)
    of_source = Counter("address", source)
    return (of_source, Counter("name", name)) if is_known else (of_source,)


def of_account(name: str, sources: Iterable[str]) -> tuple[Counter, ...]:
    """Return all that may lock an account, anywhere or at one of these."""
    return (Counter("name", name), *(Counter("pair", f"{name} {source}") for source in sources))


def lock_s(kind: Kind, failures: int) -> int:
    """Return for how long nothing more is tried after so many failures; 0: it may be tried at once."""
    above = failures - _FREE[kind]
    if above < 0:
        return 0
    return min(LONGEST_LOCK_S, _FIRST_LOCK_S << min(above, 10))
