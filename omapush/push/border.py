"""
Which headers stay inside the trust domain (RFC 3325 5 and 7, RFC 7315 5, TS 24.229 4.4).

They are removed from what leaves it, and from what comes back from outside.
"""

from __future__ import annotations

from typing import Final

IDENTITY: Final = "P-Asserted-Identity"
INSIDE_ONLY: Final = (
    "P-Charging-Vector",
    "P-Charging-Function-Addresses",
    "P-Access-Network-Info",
    "P-Visited-Network-ID",
    "P-Served-User",
    "P-Preferred-Identity",
    "P-Profile-Key",
    "P-User-Database",
)
"Charging, location and service data of the operator; and the hint that only a proxy of the domain may read."
_OWN: Final = frozenset(name.lower() for name in (IDENTITY, *INSIDE_ONLY))
_CRLF: Final = "\r\n"


def removed_on_leaving(privacy: str) -> tuple[str, ...]:
    """
    Return which headers of a request of others are removed where it leaves, given its Privacy values.

    The asserted identity goes with `id`, and with `user` or `header`, which ask for no less (RFC 3323 4.2);
    without a wish it stays.
    """
    wishes = {one.strip().lower() for one in privacy.replace(",", ";").split(";")}
    hides = wishes & {"id", "user", "header"} and "none" not in wishes
    return (*INSIDE_ONLY, IDENTITY) if hides else INSIDE_ONLY


REMOVED_ON_RETURN: Final = (*INSIDE_ONLY, IDENTITY)
"Of an answer from outside: nobody there may assert anything, or charge anybody (RFC 3325 5)."


def of_our_own(lines: str) -> str:
    """Return the header lines of a request of ours without those that stay inside; each line ends in CRLF."""
    return "".join(
        f"{line}{_CRLF}" for line in lines.split(_CRLF) if line and line.partition(":")[0].lower() not in _OWN
    )
