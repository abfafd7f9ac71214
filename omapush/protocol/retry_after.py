"""`Retry-After` of an HTTP answer: seconds, or a date (RFC 9110 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import ceil
from typing import Final

LONGEST_S: Final = 999_999_999
# delay-seconds = 1*DIGIT                                     RFC 9110 10.2.3
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
# HTTP-date = IMF-fixdate / rfc850-date / asctime-date        RFC 9110 5.6.7
_DATES: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_LONGEST_DATE: Final = 40


def delay_s(value: str, now_s: float) -> int:
    """Return for how many seconds from now on one is asked to wait; 0: it does not say, or that is past."""
    text = value.strip(" \t")
    if _SECONDS.fullmatch(text):
        return int(text)
    if len(text) > _LONGEST_DATE:
        return 0
    for form in _DATES:
        try:
            then = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return min(max(ceil(then.timestamp() - now_s), 0), LONGEST_S)
    return 0
