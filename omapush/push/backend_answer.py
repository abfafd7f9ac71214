"""What a back end's HTTP answer means for a push, and for the push's sender (docs/hosting.md)."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from omapush.errors import shortened
from omapush.push import hosted
from omapush.push.inbound import Answer
from omapush.push.retry import RetryPlan, next_try

LONGEST_TEXT: Final = 200
_LONGEST_RETRY_AFTER_S: Final = 86_400
Kind = Literal["taken", "refused", "again"]


class Row(NamedTuple):
    """One line of the table."""

    kind: Kind
    "Taken; refused for good; or to be told again."
    status: int
    "What the sender is told when it still waits."
    reason: str


_TAKEN: Final = Row("taken", 200, "OK")
_NOT_NOW: Final = Row("again", 480, "Temporarily Unavailable")
_NOT_THERE: Final = Row("refused", 404, "Not Found")
_REJECTED: Final = Row("refused", 400, "Bad Request")

TABLE: Final[dict[int, Row]] = {
    400: _REJECTED,
    403: Row("refused", 403, "Forbidden"),
    404: _NOT_THERE,
    409: Row("refused", 603, "Decline"),
    410: _NOT_THERE,
    413: Row("refused", 413, "Request Entity Too Large"),
    415: Row("refused", 415, "Unsupported Media Type"),
    422: _REJECTED,
    507: Row("again", 500, "Server Internal Error"),
}
"HTTP status -> row; any 2xx takes the push, whatever is not here, and no answer at all, means: not now."

_UNSTATED_RETRY_AFTER_S: Final = 60
"Of a back end short of resources: Appendix Q tells row 5 from row 2 by Retry-After."


class Verdict(NamedTuple):
    """What one exchange with a back end came to."""

    kind: Kind
    status: int
    text: str
    "Why, for the log, the listing and the sender."
    retry_after_s: int = 0

    def pack(self) -> str:
        """Return it as text."""
        return f"{self.kind} {self.status} {self.retry_after_s} {self.text}"

    @staticmethod
    def unpack(packed: str) -> Verdict:
        """Return what `pack` packed; what another release wrote counts as taken."""
        kind, _, rest = packed.partition(" ")
        status, _, rest = rest.partition(" ")
        after, _, text = rest.partition(" ")
        if kind not in ("refused", "again") or not (status.isdigit() and after.isdigit()):
            return Verdict("taken", 200, "")
        return Verdict("refused" if kind == "refused" else "again", int(status), text, int(after))


def judge(http_status: int, after_s: int = 0) -> Verdict:
    """
    Return what an HTTP status means; 0: no answer came, and the caller adds why.

    `after_s`: what Retry-After says.
    """
    row = _TAKEN if 200 <= http_status < 300 else TABLE.get(http_status, _NOT_NOW)
    after_s = min(after_s, _LONGEST_RETRY_AFTER_S) if row.kind == "again" else 0
    if row.status == 500 and not after_s:
        after_s = _UNSTATED_RETRY_AFTER_S
    return Verdict(row.kind, row.status, f"HTTP {http_status}" if http_status else "no answer", after_s)


def no_answer(why: str) -> Verdict:
    """Return the verdict on an exchange that failed."""
    return judge(0)._replace(text=shortened(why, LONGEST_TEXT))


def answer(verdict: Verdict, content_types: tuple[str, ...]) -> Answer:
    """Return what the sender is told."""
    if verdict.status == 415:
        return hosted.unsupported(content_types, "refused by the application")
    reasons = {row.status: row.reason for row in (*TABLE.values(), _TAKEN, _NOT_NOW)}
    headers = (("Retry-After", str(verdict.retry_after_s)),) if verdict.retry_after_s else ()
    return Answer(verdict.status, reasons.get(verdict.status, "Refused"), headers)


def next_try_ms(verdict: Verdict, tries: int, plan: RetryPlan, now_ms: int, jitter: float) -> int | None:
    """Return when to tell the back end again after `tries` exchanges; None: not again."""
    if verdict.kind != "again":
        return None
    return next_try(plan, attempt=tries, now_ms=now_ms, retry_after_s=verdict.retry_after_s, jitter=jitter)
