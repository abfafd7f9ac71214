"""What taking a push back means for its recipients: cancelled, or replaced by another (docs/pap.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from omapush.errors import shortened
from omapush.push.acceptance import Accepted, NotPossible
from omapush.push.values import PENDING, Push, Recipient, Result

CANCELLED: Final = "cancelled by the initiator"
TOO_LATE_CODE: Final = "2008"
NOT_FOR_THEM_CODE: Final = "2003"
CANCELLED_CODE: Final = "1000"
_RELAYED: Final = 202


def of_the_old(
    accepted: Accepted, old: Push | None, recipients: Sequence[Recipient], results: Sequence[Result]
) -> Accepted:
    """
    Return a push that replaces `old` with where each of its recipients starts.

    Pending-only it is final at once for those who do not wait for the old one any more. Whom both name by
    the same address is the same user, whatever was learnt of the address between them.

    Raises:
        NotPossible: there is no such push (2004), it is to all subscribers (3011), or the new one is
            pending-only and nobody waits for the old one any more (2008, 2003).
    """
    if old is None or old.ref == accepted.push.ref:
        raise NotPossible("2004", "replaces", "no push of yours has this push-id, or not any more")
    if old.subscribers:
        raise NotPossible("3011", "replaces", "a push to all subscribers is not replaced; it can be aborted")
    by_address = {recipient.address: recipient.aor for recipient in recipients if recipient.aor}
    states = {recipient.aor: result.state for recipient, result in zip(recipients, results, strict=True)}
    now = tuple(
        one._replace(aor=by_address.get(one.address, one.aor)) if one.aor else one
        for one in accepted.recipients
    )
    begun = tuple(
        _begin(states.get(one.aor), accepted.push, result)
        for one, result in zip(now, accepted.results, strict=True)
    )
    if all(result.state != PENDING for result in begun):
        last = max(begun, key=lambda result: result.code == TOO_LATE_CODE)
        raise NotPossible(last.code, "replaces", f"nobody is left to get it: {last.desc}")
    return replace(accepted, recipients=now, results=begun)


def _begin(old_state: str | None, new: Push, result: Result) -> Result:
    if result.state != PENDING or new.replace_all:
        return result
    if old_state is None:
        return not_for_them(new.accepted_ms)
    if old_state != PENDING:
        return comes_too_late(is_under_way=False, now_ms=new.accepted_ms)
    return result


def replaced_by(push: Push) -> str:
    """Return why a recipient of an older push does not get that one any more."""
    return f"replaced by push {shortened(push.push_id)}"


def is_at_a_relay(result: Result) -> bool:
    """Tell whether a relay has the push and nothing can be taken back."""
    return result.state == PENDING and result.sip_code == _RELAYED


def taken_back(last: Result, why: str, now_ms: int) -> Result:
    """Return the result of what was taken back in time, on top of what its last try said."""
    return last._replace(state="cancelled", code=CANCELLED_CODE, desc=why, at_ms=now_ms)


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
