"""When a push that failed is tried again: a plan of its own for each reason of failure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

Reason = Literal["absent", "busy", "refused", "overload", "path", "failed"]
"""
Why a try failed that may be repeated: the device is away, or busy, or it refused and may think better of it;
the core or the device is overloaded; nobody answered or a hop cannot be reached; a server on the way failed.
"""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
MOST_REFUSED: Final = 2
"Tries of a push that a device refused: once more, and never again."
_LARGEST_POWER: Final = 1e9
"Growth beyond it is above every ceiling."


class RetryPlan(NamedTuple):
    """When a delivery that may be repeated is repeated."""

    attempts: int
    "In all, the first included, whatever each of them failed for."
    first_ms: int
    "Wait after the first try."
    longest_ms: int
    "Ceiling of the wait."
    growth: float = 2.0
    "Each wait is so many times the one before."


class RetryPlans(NamedTuple):
    """The plans of one application."""

    absent: RetryPlan
    busy: RetryPlan
    refused: RetryPlan
    overload: RetryPlan
    path: RetryPlan
    failed: RetryPlan
    hold_absent: bool = False
    "When the plan for an absent device is used up, the push waits for its user to register."

    def of(self, reason: Reason) -> RetryPlan:
        """Return the plan for a reason."""
        plan: RetryPlan = getattr(self, reason)
        return plan


DEFAULTS: Final = RetryPlans(
    absent=RetryPlan(6, 5_000, 300_000),
    busy=RetryPlan(6, 10_000, 120_000),
    refused=RetryPlan(MOST_REFUSED, 2_000, 60_000),
    overload=RetryPlan(8, 2_000, 120_000),
    path=RetryPlan(6, 1_000, 60_000),
    failed=RetryPlan(4, 2_000, 60_000),
)
"Of an application that says nothing."


def next_try(
    plan: RetryPlan, *, attempt: int, now_ms: int, retry_after_s: int | None, jitter: float
) -> int | None:
    """
    Return when to try again after attempt number `attempt` (from 1) failed; None: not again.

    The wait grows from `first_ms` to `longest_ms` and is spread by `jitter`, between 0 and 1, over its second
    half: what failed together does not come back together. It is never shorter than the peer's Retry-After.
    """
    if attempt >= plan.attempts:
        return None
    spread_ms = int(wait_ms(plan, attempt) * (0.5 + jitter / 2))
    return now_ms + max(spread_ms, (retry_after_s or 0) * 1000)


def wait_ms(plan: RetryPlan, attempt: int) -> int:
    """Return the longest wait after attempt number `attempt`."""
    try:
        power = min(plan.growth ** (attempt - 1), _LARGEST_POWER)
    except OverflowError:
        power = _LARGEST_POWER
    return int(min(plan.first_ms * power, plan.longest_ms))
