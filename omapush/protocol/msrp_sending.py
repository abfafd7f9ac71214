"""
Sends one MSRP message: its chunks, their answers, the reports, the times (RFC 4975 7.1).

Without sockets and without a clock: bytes are returned, and `now` is an argument, in seconds of any clock
that never goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from omapush.errors import shortened
from omapush.protocol.msrp import (
    COMMENTS,
    LONGEST_UNINTERRUPTIBLE,
    SEND,
    ByteRange,
    FailureReport,
    Flag,
    Request,
    Response,
    meetings,
    occurs,
    write_end,
    write_head,
)
from omapush.protocol.msrp_uri import MsrpUri
from omapush.protocol.octet_ranges import OctetRanges

CONFIRMED: Final = 200
"Reports have confirmed all octets."
TAKEN: Final = 202
"All chunks were taken, or no answer was asked for; no report confirms them."
TIMEOUT: Final = 408
"A chunk was not answered in time."
STOPPED: Final = 0
"We stopped it ourselves, or the connection was lost."
MOST_UNANSWERED: Final = 256
"Chunks that may wait for their answer; the next one waits for one of them."


class Timing(NamedTuple):
    """How long to wait, in seconds."""

    answer_s: float = 30.0
    "From the last octet of a chunk to its answer (RFC 4975 7.1.1)."
    report_s: float = 120.0
    "From the last answer to the report of the last octet."


_USUAL: Final = Timing()


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent."""

    message_id: str
    "The same each time this content is sent in a session."
    size: int
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    "Content-Disposition and such, the same on each chunk."
    success_report: bool = True
    failure_report: FailureReport = FailureReport.YES


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    code: int
    "CONFIRMED, TAKEN, STOPPED, or the MSRP status that ended it."
    why: str


class MsrpSending:
    """
    The sending of one message in one session.

    For the next octets of content: `begin_chunk`, the octets themselves, `end_chunk`. Until there is an
    `outcome`, hand in each response and REPORT, and call `look` when `deadline` has come.
    """

    def __init__(
        self,
        message: Message,
        to_path: tuple[MsrpUri, ...],
        from_path: tuple[MsrpUri, ...],
        new_transaction: Callable[[], str],
        timing: Timing = _USUAL,
    ) -> None:
        """`new_transaction` returns an identifier of at least 64 random bits, another one each time."""
        self.message = message
        self.position = 0
        "Octets that were written."
        self.answered = 0
        "Octets up to the end of the last chunk that was taken."
        self.outcome: Outcome | None = None
        self._to_path = to_path
        self._from_path = from_path
        self._new_transaction = new_transaction
        self._timing = timing
        self._chunk: tuple[str, int] | None = None
        "Transaction and length of the chunk that was begun and not ended."
        self._is_answered = False
        "That chunk is, before its end."
        self._all_written = False
        self._all_written_at = 0.0
        self._unanswered: dict[str, tuple[float, int]] = {}
        "Transactions in their order, each with when its last octet was written, and the position behind it."
        self._heard_at = 0.0
        self._reported = OctetRanges()
        self._report_came = False
        "A good one, about however much."

    @property
    def left(self) -> int:
        """Octets that are still to be written; 0 also once there is an outcome."""
        return 0 if self.outcome else self.message.size - self.position

    @property
    def may_begin(self) -> bool:
        """Whether the next chunk may be written now."""
        return (
            self.outcome is None
            and not self._all_written
            and self._chunk is None
            and len(self._unanswered) < MOST_UNANSWERED
        )

    @property
    def reported(self) -> int:
        """Octets from the first one on that reports have confirmed."""
        return min(self._reported.prefix, self.message.size)

    @property
    def deadline(self) -> float | None:
        """When to call `look`; None: there is nothing to wait for."""
        if self.outcome is not None:
            return None
        if self._unanswered:
            # Answers come in the order of the chunks, and a chunk stands in the queue of the connection
            # behind those before it: its time begins when they have been answered.
            return max(next(iter(self._unanswered.values()))[0], self._heard_at) + self._timing.answer_s
        if not self._all_written:
            return None
        return max(self._heard_at, self._all_written_at) + self._timing.report_s

    def begin_chunk(self, *pieces: bytes | bytearray, absent: str = "") -> bytes:
        """
        Return what goes before the next octets of the message, which are `pieces`.

        A chunk of more than 2,048 octets may be ended before its end, with `end_chunk`; shorter ones are
        written as a whole. `absent`: a transaction id never used before that none of the pieces has: it is
        looked for only where they meet.
        """
        length = sum(map(len, pieces))
        if not self.may_begin or length > self.left or (not length and self.message.size):
            raise ValueError("no chunk can begin here")
        transaction = absent or self._new_transaction()
        searched = meetings(*pieces) if absent else [pieces]
        while any(occurs(transaction, *some) for some in searched):
            transaction, searched = self._new_transaction(), [pieces]
        self._chunk = (transaction, length)
        self._is_answered = False
        last = self.position + length if length <= LONGEST_UNINTERRUPTIBLE else None
        return write_head(self._request(transaction, ByteRange(self.position + 1, last, self.message.size)))

    def end_chunk(self, written: int, now: float) -> bytes:
        """
        Return what goes behind the `written` octets of the piece; the message goes on behind them.

        The chunk is aborted (`#`) when there is an outcome by now, as after a 413.
        """
        if self._chunk is None:
            raise ValueError("no chunk has begun")
        transaction, length = self._chunk
        if written > length or (written < length <= LONGEST_UNINTERRUPTIBLE and self.outcome is None):
            raise ValueError("a short chunk is written as a whole")
        self._chunk = None
        self.position += written
        if self.outcome is not None:
            return write_end(transaction, Flag.ABORTED, after_body=True)
        if self.message.failure_report is FailureReport.YES and not self._is_answered:
            self._unanswered[transaction] = (now, self.position)
        self._all_written = self.position == self.message.size
        if self._all_written:
            self._all_written_at = now
            self._conclude()
        flag = Flag.COMPLETE if self._all_written else Flag.MORE
        return write_end(transaction, flag, after_body=True)

    def stop(self, why: str, code: int = STOPPED) -> bytes:
        """
        End it now, unless it has ended; return what tells the device to drop what it has, maybe nothing.

        Nothing is returned when a chunk has begun: `end_chunk` aborts it.
        """
        if self.outcome is not None:
            return b""
        self._end(code, why)
        if self._chunk is not None or self._all_written or self.position == 0:
            return b""
        transaction = self._new_transaction()
        head = write_head(self._request(transaction, ByteRange(self.position + 1, None, self.message.size)))
        return head + write_end(transaction, Flag.ABORTED, after_body=True)

    def on_taken(self, now: float) -> None:
        """The network takes what was written, slowly: the time for the next answer begins now."""
        self._heard_at = max(self._heard_at, now)

    def on_response(self, response: Response, now: float) -> bool:
        """Take the answer to a chunk; False when it is to none of this message."""
        end = 0
        if self._chunk is not None and self._chunk[0] == response.transaction:
            self._is_answered = True  # as by a 413 that cannot wait for its end
        elif response.transaction in self._unanswered:
            end = self._unanswered.pop(response.transaction)[1]
        else:
            return False
        if self.outcome is not None:
            return True
        self._heard_at = now
        if response.code // 100 == 2:
            self.answered = max(self.answered, end)
            self._conclude()
        else:
            self._end(response.code, _said(response.code, response.comment, "in answer to a chunk"))
        return True

    def on_report(self, report: Request, now: float) -> bool:
        """Take a REPORT; False when it is about another message."""
        if report.message_id != self.message.message_id:
            return False
        status, span = report.status, report.byte_range
        if self.outcome is not None or status is None or status.namespace != "000":
            return True
        if status.code != CONFIRMED:
            self._end(status.code, _said(status.code, status.comment, "reported"))
        elif (end := self._end_of(span)) is not None:
            self._report_came = True
            if self._reported.add(span.start if span else 1, end):
                self._heard_at = now
            self._conclude()
        return True

    def _end_of(self, span: ByteRange | None) -> int | None:
        """
        Return the last octet that a report is about; None: it does not say.

        Without any Byte-Range it is about all, as a SEND is: which can be true once all is written.
        """
        if span is None:
            return self.message.size if self._all_written else None
        return None if span.end is None else min(span.end, self.message.size)

    def look(self, now: float) -> None:
        """Draw the conclusion from what did not come in time."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if not self._unanswered:
            self._end(TAKEN, f"no report came within {self._timing.report_s:g} s")
        elif self._is_reported:
            self._end(CONFIRMED, "reported, though not answered")
        else:
            self._end(TIMEOUT, f"a chunk was not answered within {self._timing.answer_s:g} s")

    @property
    def _is_reported(self) -> bool:
        return self._report_came and self._all_written and self.reported == self.message.size

    def _conclude(self) -> None:
        """See whether nothing is left to wait for."""
        if not self._all_written or self._unanswered:
            return
        if not self.message.success_report:
            self._end(TAKEN, "all chunks were sent" if self._is_unanswerable else "all chunks were answered")
        elif self._is_reported:
            self._end(CONFIRMED, "reported to the last octet")

    @property
    def _is_unanswerable(self) -> bool:
        return self.message.failure_report is not FailureReport.YES

    def _end(self, code: int, why: str) -> None:
        self.outcome = Outcome(code, why)
        self._unanswered.clear()

    def _request(self, transaction: str, span: ByteRange) -> Request:
        message = self.message
        return Request(
            transaction,
            SEND,
            self._to_path,
            self._from_path,
            message_id=message.message_id,
            byte_range=span,
            success_report=message.success_report,
            failure_report=message.failure_report,
            headers=message.headers,
            content_type=message.content_type,
        )


def _said(code: int, comment: str, where: str) -> str:
    words = shortened(comment) or COMMENTS.get(code, "")
    return f"{code}{' ' if words else ''}{words} {where}"
