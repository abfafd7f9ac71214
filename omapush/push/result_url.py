"""URLs that push initiators name for their results: what of RFC 3986 may be posted to."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

LONGEST: Final = 2_048

_LABEL: Final = r"[0-9A-Za-z_](?:[0-9A-Za-z_\-]{0,61}[0-9A-Za-z_])?"
# authority = host [ ":" port ], IP-literal = "[" IPv6address "]"; user information is left out  RFC 3986 3.2
_URL: Final = re.compile(
    rf"https?://(?:{_LABEL}(?:\.{_LABEL})*\.?|\[([0-9A-Fa-f:.]{{2,45}})\])(?::([0-9]{{1,5}}))?(?:[/?#][!-~]*)?",
    re.IGNORECASE,
)
WANTED: Final = (
    f"http:// or https:// with a host, a port up to 65535 and no user, of at most {LONGEST} characters"
)
"What `is_one` takes, for error texts."


def is_one(url: str) -> bool:
    """Tell whether results can be posted there as far as its text says; the host may be anybody's."""
    found = _URL.fullmatch(url) if len(url) <= LONGEST else None
    return found is not None and _is_address(found[1]) and 0 < int(found[2] or 80) <= 65_535


def _is_address(ipv6: str | None) -> bool:
    try:
        return ipv6 is None or bool(ipaddress.IPv6Address(ipv6))
    except ValueError:
        return False
