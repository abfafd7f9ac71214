"""When a subscription that ended is tried again (RFC 6665 4.1.2, 4.4.1; RFC 6080 4.3): pure rules."""

from __future__ import annotations

from typing import Final, NamedTuple

PACKAGE: Final = "ua-profile"
"The event package of content and of device profiles (PROP-X-6: named here alone, for the receiver)."
KILLS_DIALOG: Final = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})
"Answers to a refresh after which there is no subscription any more; others leave it until its time."
_NEVER: Final = frozenset({"rejected", "noresource", "invariant"})
_AT_ONCE: Final = frozenset({"deactivated", "timeout"})
_FINAL_REFUSALS: Final = frozenset({400, 403, 405, 406, 420, 489, 501, 603, 604, 606})
"Answers to a first SUBSCRIBE that the same SUBSCRIBE would get again."
_BASE_S: Final = 32.0
_MOST_DOUBLINGS: Final = 8


class Ending(NamedTuple):
    """How a subscription ended."""

    status: int = 0
    "Final code of a SUBSCRIBE; 0: it was ended by a NOTIFY, 408 also for Timer N."
    reason: str = ""
    "Of Subscription-State: terminated."
    retry_after_s: int | None = None

    def __str__(self) -> str:
        return f"{self.status}" if self.status else f"terminated;reason={self.reason or '(none)'}"


def retry_in(ending: Ending, failures: int) -> float | None:
    """
    Return in how many seconds to subscribe again, None when not by itself.

    `failures`: how many tries in a row brought no subscription, this one included.
    """
    if ending.status:
        if ending.status in _FINAL_REFUSALS:
            return None
        if ending.retry_after_s is not None:
            return float(ending.retry_after_s)
        if ending.status == 481 and failures <= 1:
            return 0.0
        return float(_BASE_S * 2 ** min(max(failures - 1, 0), _MOST_DOUBLINGS))
    if ending.reason in _NEVER:
        return None
    if ending.reason in _AT_ONCE and failures <= 1:
        return 0.0
    if ending.retry_after_s is not None:
        return float(ending.retry_after_s)
    return float(_BASE_S * 2 ** min(max(failures - 1, 0), _MOST_DOUBLINGS))


def refresh_in(lifetime_s: float) -> float:
    """Return when to refresh a subscription of that lifetime: in time for Timer N, at half of a short one."""
    return lifetime_s - 64.0 if lifetime_s > 128.0 else lifetime_s / 2
