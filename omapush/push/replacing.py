"""What taking a push back means for its recipients: cancelled, or replaced by another (spec/pap.md 5)."""

from __future__ import annotations

from typing import Final

from omapush.errors import shortened
from omapush.push.values import PENDING, Push, Result

CANCELLED: Final = "cancelled by the initiator"
TOO_LATE_CODE: Final = "2008"
NOT_FOR_THEM_CODE: Final = "2003"
_CANCELLED_CODE: Final = "1000"
_RELAYED: Final = 202


def replaced_by(push: Push) -> str:
    """Return why a recipient of an older push does not get that one any more."""
    return f"replaced by push {shortened(push.push_id)}"


def is_at_a_relay(result: Result) -> bool:
    """Tell whether a relay has the push and nothing can be taken back."""
    return result.state == PENDING and result.sip_code == _RELAYED


def taken_back(last: Result, why: str, now_ms: int) -> Result:
    """Return the result of what was taken back in time, on top of what its last try said."""
    return last._replace(state="cancelled", code=_CANCELLED_CODE, desc=why, at_ms=now_ms)


def comes_too_late(*, is_under_way: bool, now_ms: int) -> Result:
    """Return the result of a pending-only replacement of something that does not wait any more."""
    was = "is being sent" if is_under_way else "has its result"
    return Result("cancelled", TOO_LATE_CODE, f"not sent: the push that it replaces {was}", "", 0, 0, now_ms)


def keeps_the_old(result: Result) -> bool:
    """Tell whether this result of a new push means that the old one goes on for that recipient."""
    return result.code in (TOO_LATE_CODE, NOT_FOR_THEM_CODE)


def not_for_them(now_ms: int) -> Result:
    """Return the result of a pending-only replacement for somebody whom the old push never was for."""
    return Result(
        "undeliverable", NOT_FOR_THEM_CODE, "not an address of the push that it replaces", "", 0, 0, now_ms
    )
