"""The Subscription-State header of a NOTIFY (RFC 6665 8.2.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from omapush.errors import MalformedSip, shortened
from omapush.protocol.name_addr import split_quoted

LARGEST_S: Final = 2**31 - 1
MOST_PARAMS: Final = 32

# substate-value, event-reason-value = token              RFC 6665 8.4
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")
# delta-seconds                                           RFC 3261 25.1
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """What a notifier says about the subscription."""

    state: str
    "`active`, `pending`, `terminated`, or a word that RFC 6665 does not have; in lower case."
    expires_s: int | None = None
    "None: not said, as RFC 3265 allowed."
    reason: str = ""
    "In lower case; empty: none given."
    retry_after_s: int | None = None

    @classmethod
    def parse(cls, value: str) -> SubscriptionState:
        """
        Return the state in a header value; of a parameter given twice the first counts.

        Raises:
            MalformedSip: no state, or a number that is none.
        """
        state, *pieces = split_quoted(value, ";", "Subscription-State")
        if _TOKEN.fullmatch(state) is None:
            raise MalformedSip("Subscription-State", f"no state: {shortened(state) or 'empty'}")
        if len(pieces) > MOST_PARAMS:
            raise MalformedSip("Subscription-State", f"more than {MOST_PARAMS} parameters")
        params: dict[str, str] = {}
        for piece in pieces:
            name, _, text = piece.partition("=")
            params.setdefault(name.strip().lower(), text.strip())
        return cls(
            state.lower(),
            _seconds(params, "expires"),
            params.get("reason", "").strip('"').lower()[:64],
            _seconds(params, "retry-after"),
        )


def _seconds(params: dict[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if _DELTA_SECONDS.fullmatch(text) is None:
        raise MalformedSip("Subscription-State", f"{name} is not a number of seconds: {shortened(text)}")
    return min(int(text), LARGEST_S)
