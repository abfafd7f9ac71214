"""Sending one message: chunks, interruptions, answers, reports, and what does not come."""

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.msrp import (
    LONGEST_UNINTERRUPTIBLE,
    Body,
    ByteRange,
    End,
    FailureReport,
    Flag,
    Request,
    Response,
    Status,
)
from omapush.protocol.msrp_reader import MsrpReader
from omapush.protocol.msrp_sending import (
    CONFIRMED,
    MOST_UNANSWERED,
    STOPPED,
    TAKEN,
    TIMEOUT,
    Message,
    MsrpSending,
    Outcome,
    Timing,
)
from omapush.protocol.msrp_uri import parse_path

HERS = parse_path("msrp://192.0.2.9:7394/s7fQ1;tcp")
OURS = parse_path("msrp://192.0.2.20:2855/Zk3v9;tcp")
TIMING = Timing(answer_s=30, report_s=120)
BIG = LONGEST_UNINTERRUPTIBLE + 1


class Device:
    """Reads what is sent; keeps heads, ends and octets by their positions."""

    def __init__(self) -> None:
        self.heads: list[Request] = []
        self.flags: list[Flag] = []
        self.content = bytearray()
        self._reader = MsrpReader()
        self._at = 0

    def take(self, *pieces: bytes) -> None:
        for event in self._reader.feed(b"".join(pieces)):
            match event:
                case Request():
                    self.heads.append(event)
                    self._at = event.start - 1
                case Body():
                    self.content[self._at : self._at + len(event.data)] = event.data
                    self._at += len(event.data)
                case End():
                    self.flags.append(event.flag)
        assert self._reader.between_requests


def names() -> Callable[[], str]:
    numbers = count()
    return lambda: f"transaction-{next(numbers):04}"


def sending(size: int, *, success: bool = True, failure: FailureReport = FailureReport.YES) -> MsrpSending:
    headers = (("Content-Disposition", "attachment"),)
    message = Message("push.7781-1", size, "image/png", headers, success, failure)
    return MsrpSending(message, HERS, OURS, names(), TIMING)


def send(one: MsrpSending, piece: bytes, now: float = 0.0, written: int | None = None) -> tuple[bytes, ...]:
    """One chunk; `written`: it is interrupted there."""
    taken = piece if written is None else piece[:written]
    return one.begin_chunk(piece), taken, one.end_chunk(len(taken), now)


def answer(one: MsrpSending, number: int, code: int = 200, now: float = 0.0) -> bool:
    return one.on_response(Response(f"transaction-{number:04}", code, OURS, HERS), now)


def report(one: MsrpSending, start: int, end: int | None, code: int = 200, now: float = 0.0) -> bool:
    span = ByteRange(start, end, one.message.size)
    return one.on_report(Request("abcd", "REPORT", OURS, HERS, "push.7781-1", span, status=Status(code)), now)


def test_content_goes_in_chunks_of_one_message() -> None:
    one, device = sending(2 * BIG + 3), Device()
    content = bytes(range(256)) * 20
    for start in range(0, one.message.size, BIG):
        device.take(*send(one, content[start : min(start + BIG, one.message.size)]))

    assert bytes(device.content) == content[: one.message.size]
    assert device.flags == [Flag.MORE, Flag.MORE, Flag.COMPLETE]
    assert [head.byte_range for head in device.heads] == [
        ByteRange(1, None, 2 * BIG + 3),
        ByteRange(BIG + 1, None, 2 * BIG + 3),
        ByteRange(2 * BIG + 1, 2 * BIG + 3, 2 * BIG + 3),
    ]
    first, second, third = device.heads
    assert first.success_report
    assert first.headers == second.headers == (("Content-Disposition", "attachment"),)
    assert len({first.transaction, second.transaction, third.transaction}) == 3
    assert {head.message_id for head in device.heads} == {"push.7781-1"}


def test_it_is_confirmed_by_the_last_answer_and_a_report_of_all_octets() -> None:
    one = sending(2 * BIG)
    send(one, bytes(BIG))
    send(one, bytes(BIG))

    assert answer(one, 0)
    assert one.answered == BIG
    assert report(one, 1, BIG)
    assert one.outcome is None
    assert report(one, BIG + 1, 2 * BIG)
    assert one.outcome is None
    assert answer(one, 1)
    assert one.outcome == Outcome(CONFIRMED, "reported to the last octet")
    assert one.deadline is None


def test_a_report_before_the_last_answer_counts() -> None:
    one = sending(5)
    send(one, b"hello")
    report(one, 1, 5)
    answer(one, 0)

    assert one.outcome is not None
    assert one.outcome.code == CONFIRMED


@pytest.mark.parametrize(
    ("start", "end"), [(2, 5), (1, 4), (1, None), (6, 9)], ids=["gap", "short", "open", "beyond"]
)
def test_a_report_that_leaves_octets_out_confirms_nothing(start: int, end: int | None) -> None:
    one = sending(5)
    send(one, b"hello")
    answer(one, 0)
    report(one, start, end)

    assert one.outcome is None


@pytest.mark.parametrize("size", [0, 5, 2 * BIG])
def test_a_report_without_byte_range_is_about_all_and_only_once_all_was_written(size: int) -> None:
    """Some devices report a whole message so."""
    one = sending(size)
    whole = Request("abcd", "REPORT", OURS, HERS, "push.7781-1", status=Status(200))
    if size:
        assert one.on_report(whole, 0)
        assert one.reported == 0
    send(one, bytes(size))
    answer(one, 0)
    assert one.outcome is None

    assert one.on_report(whole, 0)
    assert one.outcome == Outcome(CONFIRMED, "reported to the last octet")


def test_a_report_about_another_message_is_not_ours() -> None:
    one = sending(5)
    other = Request("abcd", "REPORT", OURS, HERS, "another", ByteRange(1, 5, 5), status=Status(413))

    assert not one.on_report(other, 0)
    assert one.outcome is None


def test_an_empty_message_is_one_chunk_and_wants_its_report() -> None:
    one, device = sending(0), Device()
    device.take(*send(one, b""))
    answer(one, 0)

    assert device.heads[0].byte_range == ByteRange(1, 0, 0)
    assert device.flags == [Flag.COMPLETE]
    assert one.outcome is None
    report(one, 1, 0)
    assert one.outcome == Outcome(CONFIRMED, "reported to the last octet")


def test_a_large_chunk_is_interrupted_and_the_message_goes_on_behind_it() -> None:
    one, device = sending(BIG + 500), Device()
    content = bytes(range(251)) * 11
    device.take(*send(one, content[:BIG], written=700))
    assert one.position == 700
    device.take(*send(one, content[700 : BIG + 500]))

    assert bytes(device.content) == content[: BIG + 500]
    assert device.flags == [Flag.MORE, Flag.COMPLETE]
    assert device.heads[1].start == 701


def test_a_short_chunk_cannot_be_interrupted() -> None:
    one = sending(500)
    one.begin_chunk(bytes(500))

    with pytest.raises(ValueError, match="as a whole"):
        one.end_chunk(400, 0)


def test_a_transaction_that_occurs_in_the_content_is_not_taken() -> None:
    one, device = sending(40), Device()
    content = b"\r\n-------transaction-0000$\r\n".ljust(40)
    device.take(*send(one, content))

    assert device.heads[0].transaction == "transaction-0001"
    assert bytes(device.content) == content


@pytest.mark.parametrize("cut", range(20, 70))
def test_a_transaction_that_no_piece_has_is_not_taken_where_it_occurs_between_two(cut: int) -> None:
    one, device, absent = sending(100), Device(), "a" * 32
    content = bytes(20) + f"\r\n-------{absent}$\r\n".encode() + bytes(36)
    pieces = (content[:cut], content[cut:])
    is_in_one = any(f"-------{absent}".encode() in piece for piece in pieces)
    device.take(one.begin_chunk(*pieces, absent=absent), *pieces, one.end_chunk(100, 0))

    assert is_in_one or device.heads[0].transaction == "transaction-0000"
    assert is_in_one or bytes(device.content) == content


def test_a_transaction_that_no_piece_has_is_taken_and_long_pieces_are_searched_where_they_meet_only() -> None:
    one, absent = sending(4_000), "a" * 32
    told_wrongly = f"-------{absent}".encode().ljust(2_000)

    assert absent in one.begin_chunk(told_wrongly, bytes(2_000), absent=absent).decode()


@pytest.mark.parametrize("code", [400, 403, 413, 415, 423, 481, 501, 506, 599])
def test_an_error_ends_it_with_its_code(code: int) -> None:
    one = sending(2 * BIG)
    send(one, bytes(BIG))
    answer(one, 0, code)

    assert one.outcome is not None
    assert one.outcome.code == code
    assert one.left == 0
    assert not one.may_begin


def test_an_error_in_the_middle_of_a_chunk_aborts_it() -> None:
    one, device = sending(2 * BIG), Device()
    head = one.begin_chunk(bytes(BIG))
    answer(one, 0, 413)
    device.take(head, bytes(300), one.end_chunk(300, 0))

    assert device.flags == [Flag.ABORTED]
    assert one.outcome == Outcome(413, "413 Stop Sending Message in answer to a chunk")


def test_a_failure_report_ends_it() -> None:
    one = sending(2 * BIG)
    send(one, bytes(BIG))
    report(one, 1, BIG, 415)

    assert one.outcome == Outcome(415, "415 Unsupported Media Type reported")


def test_stopping_between_chunks_aborts_the_message_and_before_them_says_nothing() -> None:
    one, device = sending(2 * BIG), Device()
    assert one.stop("the push was cancelled") == b""
    assert one.outcome == Outcome(STOPPED, "the push was cancelled")

    one = sending(2 * BIG)
    device.take(*send(one, bytes(BIG)))
    device.take(one.stop("the push was cancelled"))
    assert device.flags == [Flag.MORE, Flag.ABORTED]
    assert device.heads[1].start == BIG + 1
    assert one.stop("again") == b""


def test_stopping_in_a_chunk_aborts_the_chunk() -> None:
    one, device = sending(2 * BIG), Device()
    head = one.begin_chunk(bytes(BIG))
    assert one.stop("the push was cancelled") == b""
    device.take(head, bytes(10), one.end_chunk(10, 0))

    assert device.flags == [Flag.ABORTED]


def test_an_answer_that_does_not_come_ends_it_after_thirty_seconds() -> None:
    one = sending(2 * BIG)
    send(one, bytes(BIG), now=100)
    send(one, bytes(BIG), now=101)
    assert one.deadline == 130
    one.look(129.9)
    assert one.outcome is None
    one.look(130)
    assert one.outcome == Outcome(TIMEOUT, "a chunk was not answered within 30 s")


def test_the_time_for_an_answer_begins_anew_while_the_network_takes_the_chunk() -> None:
    one = sending(2 * BIG)
    send(one, bytes(BIG), now=100)
    one.on_taken(125)
    one.look(154.9)
    assert one.outcome is None
    one.look(155)
    assert one.outcome == Outcome(TIMEOUT, "a chunk was not answered within 30 s")


def test_the_time_of_a_chunk_begins_when_those_before_it_were_answered() -> None:
    one = sending(2 * BIG)
    send(one, bytes(BIG), now=100)
    send(one, bytes(BIG), now=101)
    answer(one, 0, now=125)

    assert one.deadline == 155


def test_a_report_that_does_not_come_leaves_it_taken_but_not_confirmed() -> None:
    one = sending(5)
    send(one, b"hello", now=100)
    answer(one, 0, now=101)
    assert one.deadline == 221
    one.look(221)

    assert one.outcome == Outcome(TAKEN, "no report came within 120 s")


def test_a_report_counts_more_than_an_answer_that_does_not_come() -> None:
    one = sending(5)
    send(one, b"hello", now=100)
    report(one, 1, 5, now=101)
    one.look(131)

    assert one.outcome is not None
    assert one.outcome.code == CONFIRMED


def test_without_success_report_the_last_answer_is_the_end() -> None:
    one, device = sending(5, success=False), Device()
    device.take(*send(one, b"hello"))
    assert not device.heads[0].success_report
    answer(one, 0)

    assert one.outcome == Outcome(TAKEN, "all chunks were answered")


@pytest.mark.parametrize("failure", [FailureReport.PARTIAL, FailureReport.NO])
def test_where_no_answer_is_asked_for_none_is_waited_for(failure: FailureReport) -> None:
    one, device = sending(2 * BIG, success=False, failure=failure), Device()
    device.take(*send(one, bytes(BIG)))
    assert one.deadline is None
    device.take(*send(one, bytes(BIG)))

    assert device.heads[0].failure_report is failure
    assert one.outcome == Outcome(TAKEN, "all chunks were sent")


def test_chunks_without_answer_are_bounded() -> None:
    one = sending(10_000_000)
    for _ in range(MOST_UNANSWERED):
        send(one, bytes(BIG))

    assert not one.may_begin
    answer(one, 0)
    assert one.may_begin


def test_an_answer_to_something_else_is_not_ours() -> None:
    one = sending(5)
    send(one, b"hello")

    assert not answer(one, 7)
    assert answer(one, 0)
    assert not answer(one, 0)


@given(
    st.binary(max_size=10_000),
    st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 5_000)), max_size=40),
    st.sampled_from([b"", b"-------transaction-0001", b"\r\n-------"]),
)
def test_whatever_the_cuts_the_device_gets_what_was_sent(
    content: bytes, cuts: list[tuple[int, int]], salt: bytes
) -> None:
    content += salt
    one, device = sending(len(content)), Device()
    sent = 0
    for length, written in [*cuts, (10_100, 10_100)]:
        piece = content[one.position : one.position + length]
        if not one.may_begin:
            break
        whole = len(piece) <= LONGEST_UNINTERRUPTIBLE
        device.take(*send(one, piece, written=len(piece) if whole else min(written, len(piece))))
        answer(one, int(device.heads[-1].transaction[-4:]))
        sent += 1

    assert bytes(device.content) == content
    assert device.flags == [Flag.MORE] * (sent - 1) + [Flag.COMPLETE]
    report(one, 1, len(content))
    assert one.outcome is not None
    assert one.outcome.code == CONFIRMED
