"""What a push initiator may submit, and what it is told beyond that."""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

from omapush.push.acceptance import NotTaken

Limit = Literal["rate", "outstanding", "daily"]
LIMITS: Final[tuple[Limit, ...]] = ("rate", "outstanding", "daily")
_UNKNOWN_S: Final = 5
"Retry-After when it depends on how fast deliveries end."


class InitiatorLimits(NamedTuple):
    """Limits of one initiator, in deliveries: a push to ten recipients is ten of them. 0: no such limit."""

    rate: float = 0.0
    "A second."
    burst: int = 1
    "At once, after a quiet time."
    outstanding: int = 0
    "Accepted and without a final result."
    daily: int = 0
    "From midnight to midnight, UTC."

    @property
    def any(self) -> bool:
        """Tell whether there is one at all."""
        return bool(self.rate or self.outstanding or self.daily)

    @property
    def interval_us(self) -> int:
        """Microseconds from one delivery to the next; 0: no limit."""
        return max(1, round(1_000_000 / self.rate)) if self.rate else 0


class Reached(NamedTuple):
    """A limit that a submission would go beyond."""

    limit: Limit
    wait_ms: int
    "When it may be taken; 0: nobody knows."


class LimitReached(NotTaken):
    """A limit of the initiator's is reached: nothing of the push is stored, later it may be taken."""

    http_status = 429

    def __init__(self, code: str, problem: str, retry_after_s: int) -> None:
        super().__init__(code, "", problem)
        self.args = (f"{code} {problem}",)
        self.retry_after_s = retry_after_s


def refusal(reached: Reached, deliveries: int, limits: InitiatorLimits) -> NotTaken:
    """Return what the initiator is told: its limit by name, its size, and when to come again."""
    text, most = {
        "rate": (f"rate limit of {limits.rate:g} deliveries a second is reached", 0),
        "outstanding": (
            f"limit of {limits.outstanding} outstanding deliveries is reached",
            limits.outstanding,
        ),
        "daily": (f"daily limit of {limits.daily} deliveries is reached", limits.daily),
    }[reached.limit]
    if most and deliveries > most:
        return NotTaken(
            "2001", "to", f"{deliveries} deliveries at once, and the {text.removesuffix(' is reached')}"
        )
    code = "2001" if reached.limit == "daily" else "4001"
    wait_s = max(1, math.ceil(reached.wait_ms / 1000)) if reached.wait_ms else _UNKNOWN_S
    return LimitReached(code, f"{text}; try again in {wait_s} s", wait_s)
