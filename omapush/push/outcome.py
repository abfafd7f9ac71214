"""
What a SIP result means: Appendix Q as one table (docs/result-codes.md), read by PAP, JSON, log and metrics.

`judge` turns one final SIP response (or its absence) into a stored result or the time of the next try.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from omapush.protocol.pap_values import DeliveryMethod
from omapush.push.retry import Reason, RetryPlans, next_try
from omapush.push.session import CONFIRMED, REFUSED, TAKEN
from omapush.push.values import Result, State

DELIVERED_CODE: Final = "1000"
TAKEN_CODE: Final = "1001"

Again = Reason | Literal["no", "wait"]
"""
Whether the same request may be sent again: by the plan for that reason.

`wait`: nothing is sent again, and the state stays open until deliver-before.
"""


class Row(NamedTuple):
    """What one SIP status code means for a push."""

    state: State
    "State when no try is left."
    code: str
    "PAP status code that goes with it."
    again: Again
    "Whether, and by which plan."
    meaning: str


class Reply(Struct, frozen=True, gc=False):
    """A final SIP response to a push, or 408 in its place when none came."""

    sip_code: int
    reason: str = ""
    "Reason phrase."
    local: bool = False
    "True: nobody answered; the code is our own transaction timeout."
    retry_after_s: int | None = None
    warning: str = ""
    "Text of Warning or Reason (PROP-CTRL-3)."
    transfer: bool = False
    "The code is how an MSRP transfer ended: a key of TRANSFERS; `reason` says it in words."


class Outcome(Struct, frozen=True, gc=False):
    """The verdict on one reply."""

    retry_at_ms: int | None
    "When to send again; None: the result is final."
    state: State
    code: str
    desc: str
    on_change: bool = False
    "To be sent at once when the user's registration changes; `retry_at_ms` is then the latest."


_EXPIRED: Final[State] = "expired"

_DELIVERED = Row("delivered", DELIVERED_CODE, "no", "delivered")
_RELAYED = Row("unknown", "4000", "wait", "stored by a relay, not confirmed by the device")
_NO_CAUSE = Row("aborted", "5026", "refused", "rejected by the device, cause not told")
_NOT_FOUND = Row("undeliverable", "2003", "no", "no such recipient")
_WRONG_TYPE = Row("aborted", "5030", "no", "content type not processable by the device")
_UNREACHABLE = Row("undeliverable", "5028", "absent", "the device cannot be reached now")
_SILENT = Row("timeout", "5028", "path", "no answer from the device or the core")
_TOO_LARGE = Row("undeliverable", "5029", "no", "too large for the device or a hop")
_NOT_POSSIBLE = Row("undeliverable", "3007", "no", "the delivery method is not possible there")
_OVERLOADED = Row("undeliverable", "4001", "overload", "the core or the device is overloaded or away")
_UNSENT = Row("undeliverable", "4001", "path", "the next hop cannot be reached")
_FULL = Row("undeliverable", "5029", "overload", "too large for the device or a hop at this time")
_FORBIDDEN = Row("aborted", "5027", "no", "refused, cause not told")
_CHALLENGED = Row("undeliverable", "3000", "no", "the core asks us for credentials")
_LOOPED = Row("undeliverable", "4000", "failed", "the core leads it in a circle")
_PENDING_THERE = Row("aborted", "5026", "failed", "the device is at work on another request of ours")
_REDIRECTED = Row("undeliverable", "4000", "no", "redirected; redirections are not followed")

TABLE: Final[dict[int, Row]] = {
    200: _DELIVERED,
    202: _RELAYED,
    400: _NO_CAUSE,
    401: _CHALLENGED,
    403: _FORBIDDEN,
    404: _NOT_FOUND,
    405: _NOT_POSSIBLE,
    406: _WRONG_TYPE,
    407: _CHALLENGED,
    408: _SILENT,
    410: _NOT_FOUND,
    413: _TOO_LARGE,
    415: _WRONG_TYPE,
    416: _NOT_POSSIBLE,
    420: _NOT_POSSIBLE,
    421: _NOT_POSSIBLE,
    430: _UNREACHABLE,
    480: _UNREACHABLE,
    481: Row("undeliverable", "5027", "no", "no matching context"),
    482: _LOOPED,
    483: _LOOPED,
    484: _NOT_FOUND,
    485: _NOT_POSSIBLE,
    486: Row("undeliverable", "5028", "busy", "busy"),
    487: _SILENT,
    488: _WRONG_TYPE,
    489: _NOT_POSSIBLE,
    491: _PENDING_THERE,
    494: _NOT_POSSIBLE,
    500: Row("aborted", "5026", "failed", "rejected by the device, cause not told"),
    501: _NOT_POSSIBLE,
    502: _OVERLOADED,
    503: _OVERLOADED,
    504: _SILENT,
    513: _TOO_LARGE,
    600: Row("undeliverable", "5028", "busy", "busy everywhere"),
    603: _NO_CAUSE,
    604: _FORBIDDEN,
    606: _WRONG_TYPE,
}
"""
SIP status code -> row. A code that is not here counts as the x00 of its class (RFC 3261 8.1.3.2).

604 is in one row with 403 in the draft's Appendix Q, which wins over what PAP might say of it.
A 487 is somebody else's, such as of a proxy whose timer C has run out: what we cancel never comes to this.
"""

TRANSFERS: Final[dict[int, Row]] = {
    CONFIRMED: _DELIVERED,
    TAKEN: Row("unknown", "4000", "no", "all of it was taken, no report confirmed it"),
    REFUSED: Row("aborted", "5026", "no", "the device took the session and not this file"),
    403: _FORBIDDEN,
    413: Row("aborted", "5029", "no", "stopped by the device"),
    415: _WRONG_TYPE,
}
"MSRP status, or what stands for one (push/session.py) -> row; all others broke off."

_BROKEN_OFF = Row("undeliverable", "4000", "failed", "the transfer broke off")

_CLASSES: Final[dict[int, Row]] = {
    2: _DELIVERED,
    3: _REDIRECTED,
    4: Row("aborted", "5026", "no", "rejected"),
    5: Row("undeliverable", "4000", "failed", "a server on the way failed"),
    6: Row("aborted", "5000", "no", "refused everywhere"),
}

_SHORT_OF_RESOURCES = Row("aborted", "5029", "overload", "dropped by the device for want of resources")


def row_of(reply: Reply) -> Row:
    """
    Return the row for a reply.

    500 with Retry-After means short of resources (Appendix Q row 5), 413 with it that this will pass, a 503
    of our own that nothing left.
    """
    if reply.transfer:
        return TRANSFERS.get(reply.sip_code, _BROKEN_OFF)
    if reply.sip_code == 500 and reply.retry_after_s is not None:
        return _SHORT_OF_RESOURCES
    if is_for_a_time(reply.sip_code, reply.retry_after_s):
        return _FULL
    if reply.sip_code == 503 and reply.local:
        return _UNSENT
    row = TABLE.get(reply.sip_code)
    return row if row is not None else _CLASSES.get(reply.sip_code // 100, _CLASSES[5])


def is_for_a_time(sip_code: int, retry_after_s: int | None) -> bool:
    """Tell whether too large is so for a time only, so that the same is sent again (RFC 3261 21.4.11)."""
    return sip_code == 413 and retry_after_s is not None


def is_path_failure(sip_code: int) -> bool:
    """Tell whether the next try is worth another address of the next hop (RFC 3263 4.3)."""
    return sip_code == 503 or row_of(Reply(sip_code)).again == "path"


def judge(
    reply: Reply,
    *,
    attempt: int,
    plans: RetryPlans,
    unconfirmed: bool,
    now_ms: int,
    deliver_before_ms: int,
    jitter: float,
) -> Outcome:
    """
    Return what the reply to attempt number `attempt` (from 1) means for the push.

    `unconfirmed`: the initiator needs no acknowledgement by the device, so that a relay's 202 is enough.
    `jitter` between 0 and 1 spreads the next try over the second half of its wait.
    """
    if reply.sip_code == 202 and unconfirmed:
        taken = "all of it was taken" if reply.transfer else "stored by a relay (202)"
        return Outcome(None, "delivered", DELIVERED_CODE, f"{taken}; no confirmation is needed")
    row = row_of(reply)
    if row.again == "wait":
        return Outcome(deliver_before_ms, "pending", TAKEN_CODE, _desc(row, reply))
    if row.again == "no":
        return _for_good(row, reply)
    plan, is_absent = plans.of(row.again), row.again == "absent"
    at_ms = next_try(plan, attempt=attempt, now_ms=now_ms, retry_after_s=reply.retry_after_s, jitter=jitter)
    is_waited_for = is_absent and plans.hold_absent and now_ms < deliver_before_ms
    if is_waited_for and (at_ms is None or at_ms >= deliver_before_ms):
        return Outcome(deliver_before_ms, "pending", TAKEN_CODE, _desc(row, reply), on_change=True)
    if at_ms is None:
        return Outcome(None, row.state, row.code, _desc(row, reply))
    if at_ms >= deliver_before_ms:
        code = "5028" if row.code == "5028" else "4000"
        return Outcome(
            None, _EXPIRED, code, f"deliver-before comes before the next try; last: {_desc(row, reply)}"
        )
    return Outcome(at_ms, "pending", TAKEN_CODE, _desc(row, reply), on_change=is_absent)


def _desc(row: Row, reply: Reply) -> str:
    if row is _UNSENT:
        return f"{row.meaning} ({reply.reason})"
    if reply.transfer:
        return f"{row.meaning} ({reply.reason})"
    if reply.local:
        return f"{row.meaning} (no response within the transaction)"
    said = f"{reply.sip_code} {reply.reason}".strip()
    return f"{row.meaning} ({said}; {reply.warning})" if reply.warning else f"{row.meaning} ({said})"


@lru_cache(maxsize=256)
def _for_good(row: Row, reply: Reply) -> Outcome:
    return Outcome(None, row.state, row.code, _desc(row, reply))


DELIVERED: Final = _for_good(_DELIVERED, Reply(200, "OK"))
"What `judge` says of a device's 200, whatever else there is to know: most answers are one."


def expired(last_sip_code: int, *, held: bool) -> Outcome:
    """
    Return the verdict on a push whose deliver-before passed while it waited.

    `last_sip_code`: the answer to its last try, 0 when it was never tried. `held`: it waited for a device.
    """
    last = row_of(Reply(last_sip_code)) if last_sip_code else None
    if last is _RELAYED:
        return Outcome(None, last.state, last.code, f"{last.meaning} before deliver-before passed")
    unreachable = held or (last is not None and last.code == "5028")
    return Outcome(None, _EXPIRED, "5028" if unreachable else "4000", "deliver-before passed while it waited")


def delivered_in_some(sip_codes: Sequence[int]) -> Outcome | None:
    """
    Return the verdict on a push that went to several subscriptions of one user, which answered `sip_codes`.

    One that took it is enough; None: none did.
    """
    taken = [code for code in sip_codes if 200 <= code < 300]
    if not taken:
        return None
    said = f"delivered in {len(taken)} of {len(sip_codes)} subscriptions"
    return Outcome(None, "delivered", DELIVERED_CODE, said)


def delivery_method_used(result: Result) -> DeliveryMethod | None:
    """
    Return how sure the delivery was, as reports to the initiator say it; None when nobody took the push.

    Only a 200 comes from the device; another 2xx, such as a relay's 202, confirms nothing.
    """
    if not 200 <= result.sip_code < 300:
        return None
    return DeliveryMethod.CONFIRMED if result.sip_code == 200 else DeliveryMethod.UNCONFIRMED
