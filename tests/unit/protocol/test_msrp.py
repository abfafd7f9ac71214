"""MSRP streams: what is read however it was cut, what is refused, what is written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMsrp
from omapush.protocol.msrp import (
    LONGEST_OTHER_BODY,
    Body,
    ByteRange,
    End,
    Event,
    FailureReport,
    Flag,
    Request,
    Response,
    Status,
    occurs,
    report_on,
    response_to,
    write_end,
    write_head,
    write_request,
    write_response,
)
from omapush.protocol.msrp_reader import LONGEST_LINE, MsrpReader
from omapush.protocol.msrp_uri import parse_path

CORPORA = Path(__file__).parents[2] / "corpora"
VALID = sorted((CORPORA / "valid" / "msrp").glob("*.msrp"))
FRAMING = sorted((CORPORA / "invalid" / "msrp").glob("framing-*.msrp"))
ANSWERED = sorted((CORPORA / "invalid" / "msrp").glob("answered-*.msrp"))
HERS = parse_path("msrp://192.0.2.9:7394/s7fQ1;tcp")
OURS = parse_path("msrp://192.0.2.20:2855/Zk3v9;tcp")


def events(stream: bytes, step: int) -> list[Event]:
    """What a stream brings that comes in pieces of `step` bytes; the pieces of each body are put together."""
    reader = MsrpReader()
    found: list[Event] = []
    for at in range(0, len(stream), step):
        for event in reader.feed(stream[at : at + step]):
            if isinstance(event, Body) and found and isinstance(found[-1], Body):
                found[-1] = Body(bytes(found[-1].data) + event.data)
            else:
                found.append(event)
    return found


def events_of_a_buffer(stream: bytes, step: int) -> list[Event]:
    """The same by a buffer that is used again for each piece, and is larger than it."""
    reader, buffer = MsrpReader(), bytearray(step + 10)
    found: list[Event] = []
    for at in range(0, len(stream), step):
        piece = stream[at : at + step]
        buffer[: len(piece)] = piece
        for event in reader.feed(buffer, len(piece)):
            if isinstance(event, Body) and found and isinstance(found[-1], Body):
                found[-1] = Body(bytes(found[-1].data) + event.data)
            else:
                found.append(Body(bytes(event.data)) if isinstance(event, Body) else event)
        buffer[:] = b"-" * len(buffer)
    return found


def written(found: list[Event]) -> bytes:
    """The bytes of all that was read."""
    stream, body = b"", b""
    request: Request | None = None
    for event in found:
        match event:
            case Response():
                stream += write_response(event)
            case Request():
                request, body = event, b""
            case Body():
                body = bytes(event.data)
            case End():
                assert request is not None
                has_body = request.content_type is not None
                end = write_end(request.transaction, event.flag, after_body=has_body)
                stream += write_head(request) + body + end
    return stream


def send(**fields: object) -> Request:
    values: dict[str, object] = {"message_id": "push.7781-1", "content_type": "text/plain", **fields}
    return Request("a786hjs2k0qwz", "SEND", HERS, OURS, **values)  # type: ignore[arg-type]


def test_the_corpora_are_there() -> None:
    assert len(VALID) > 15
    assert len(FRAMING) > 20
    assert len(ANSWERED) > 12


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_events_do_not_depend_on_how_the_stream_was_cut(path: Path) -> None:
    stream = path.read_bytes()
    whole = events(stream, len(stream))

    assert all(events(stream, step) == whole for step in (1, 2, 3, 7, 64))
    assert all(events_of_a_buffer(stream, step) == whole for step in (1, 7, 64, len(stream)))
    assert not any(isinstance(event, Request) and event.problem for event in whole)


@pytest.mark.parametrize("cut", [1, 200, 1_300, 3_900])
def test_a_long_line_that_was_cut_is_read_to_its_end(cut: int) -> None:
    request = Request("a786hjs2", "SEND", HERS, OURS, "87652491", headers=(("Subject", "x" * 4_000),))
    reader, stream = MsrpReader(), write_request(request)

    assert reader.feed(stream[:cut]) == []
    assert reader.feed(stream[cut:]) == [request, End(Flag.COMPLETE)]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_every_cut_in_two_gives_the_same_events(path: Path) -> None:
    stream = path.read_bytes()
    whole = events(stream, len(stream))

    for cut in range(len(stream)):
        reader = MsrpReader()
        found = reader.feed(stream[:cut]) + reader.feed(stream[cut:])
        body = b"".join(event.data for event in found if isinstance(event, Body))
        assert [event for event in found if not isinstance(event, Body)] == [
            event for event in whole if not isinstance(event, Body)
        ]
        assert body == b"".join(event.data for event in whole if isinstance(event, Body))
        assert reader.between_requests


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_what_is_read_is_written_as_what_reads_the_same(path: Path) -> None:
    stream = path.read_bytes()
    whole = events(stream, len(stream))

    again = written(whole)
    assert events(again, len(again)) == whole


@pytest.mark.parametrize("path", FRAMING, ids=lambda path: path.stem)
@pytest.mark.parametrize("step", [1, 5, 1_000_000])
def test_a_stream_that_is_not_msrp_ends(path: Path, step: int) -> None:
    with pytest.raises(MalformedMsrp):
        events(path.read_bytes(), step)


@pytest.mark.parametrize("path", ANSWERED, ids=lambda path: path.stem)
def test_a_header_that_cannot_be_read_does_not_end_the_stream(path: Path) -> None:
    good = VALID[0].read_bytes()
    first, *rest = events(path.read_bytes() + good, 1_000_000)

    assert isinstance(first, Request)
    assert first.problem
    answer = response_to(first, 400, first.problem)
    assert (answer is None) == (first.method == "REPORT")
    assert rest[-len(events(good, len(good))) :] == events(good, len(good))


def test_a_send_is_taken_apart() -> None:
    stream = next(path for path in VALID if path.stem == "two-chunks").read_bytes()
    first, body, end, second, *_ = events(stream, len(stream))

    assert first == send(
        byte_range=ByteRange(1, None, 10),
        success_report=True,
        headers=(("Content-Disposition", 'attachment; filename="menu.png"; size=10'),),
    )
    assert isinstance(first, Request)
    assert first.header("content-disposition") is not None
    assert body == Body(b"hello")
    assert end == End(Flag.MORE)
    assert isinstance(second, Request)
    assert second.start == 6


def test_no_body_and_an_empty_body_differ() -> None:
    without, empty = (
        [event for event in events(path.read_bytes(), 9) if not isinstance(event, End)]
        for path in VALID
        if path.stem in ("send-without-body-binds-the-session", "empty-body")
    )
    contents = {event.content_type for event in (*without, *empty) if isinstance(event, Request)}

    assert contents == {None, "text/plain"}
    assert not any(isinstance(event, Body) for event in (*without, *empty))


def test_a_large_body_is_handed_on_as_it_comes_and_not_kept() -> None:
    reader = MsrpReader()
    reader.feed(write_head(send(byte_range=ByteRange(1))))
    piece = bytes(65_536)

    for _ in range(64):
        assert reader.feed(piece) == [Body(piece)]


def test_only_what_may_begin_an_end_line_is_kept_back() -> None:
    reader = MsrpReader()
    reader.feed(write_head(send(byte_range=ByteRange(1))))

    assert reader.feed(b"abc\r\n-------a786hjs2k0q") == [Body(b"abc")]
    assert reader.feed(b"XX") == [Body(b"\r\n-------a786hjs2k0qXX")]
    assert reader.feed(b"\r") == []
    assert reader.feed(b"\r\n-------a786hjs2k0qwz$\r") == [Body(b"\r")]
    assert reader.feed(b"\n") == [End(Flag.COMPLETE)]


def test_a_line_is_bounded_also_when_it_never_ends() -> None:
    reader = MsrpReader()
    for _ in range(LONGEST_LINE):
        reader.feed(b"M")

    with pytest.raises(MalformedMsrp):
        reader.feed(b"M")


def test_the_body_of_another_method_is_bounded() -> None:
    request = Request("abcd", "NICKNAME", HERS, OURS, content_type="text/plain")
    assert events(write_request(request, bytes(LONGEST_OTHER_BODY)), 4_096)
    with pytest.raises(MalformedMsrp):
        events(write_request(request, bytes(LONGEST_OTHER_BODY + 1)), 4_096)


@pytest.mark.parametrize(
    ("wish", "code", "answered"),
    [
        (FailureReport.YES, 200, True),
        (FailureReport.YES, 413, True),
        (FailureReport.PARTIAL, 200, False),
        (FailureReport.PARTIAL, 413, True),
        (FailureReport.NO, 200, False),
        (FailureReport.NO, 413, False),
    ],
)
def test_a_send_is_answered_as_it_wishes(wish: FailureReport, code: int, answered: bool) -> None:
    assert (response_to(send(failure_report=wish), code) is not None) is answered


def test_an_answer_goes_one_hop_back_and_a_report_all_the_way() -> None:
    relayed = parse_path("msrp://r.example:1/r;tcp msrp://192.0.2.20:2855/Zk3v9;tcp")
    chunk = Request("abcd", "SEND", HERS, relayed, "push.7781-1")

    answer = response_to(chunk, 200)
    report = report_on(chunk, ByteRange(1, 5, 5), Status(200, "OK"), transaction="efgh")

    assert answer == Response("abcd", 200, relayed[:1], HERS, "OK")
    assert report == Request(
        "efgh", "REPORT", relayed, HERS, "push.7781-1", ByteRange(1, 5, 5), status=Status(200, "OK")
    )
    assert b"\r\nStatus: 000 200 OK\r\n" in write_request(report)
    assert response_to(report, 200) is None
    assert response_to(Request("abcd", "AUTH", HERS, OURS), 501) is not None


@pytest.mark.parametrize("cut", range(1, 30))
def test_an_end_line_is_found_where_pieces_of_a_body_meet(cut: int) -> None:
    body = b"abc-------a786hjs2k0qwz$defghij"

    assert occurs("a786hjs2k0qwz", body[:cut], body[cut:])
    assert occurs("a786hjs2k0qwz", *(body[at : at + 1] for at in range(len(body))))
    assert not occurs("a786hjs2k0qwx", body[:cut], body[cut:])


def test_an_end_line_in_the_body_is_not_written() -> None:
    body = b"x-------a786hjs2k0qwz"

    assert occurs("a786hjs2k0qwz", body)
    with pytest.raises(MalformedMsrp):
        write_request(send(), body)


@pytest.mark.parametrize("value", ["a\r\nStatus: 000 200 OK", "a\0", "a\x7f"])
def test_a_value_that_would_break_the_framing_is_not_written(value: str) -> None:
    with pytest.raises(MalformedMsrp):
        write_head(send(headers=(("Content-Description", value),)))
    with pytest.raises(MalformedMsrp):
        write_head(send(content_type=value))
    assert value.encode() not in write_response(Response("abcd", 400, HERS, OURS, value))


@pytest.mark.parametrize("value", ["1-0/0", "1-5/5", "1-*/*", "7-*/10", "1-*/0"])
def test_byte_ranges_are_read_as_written(value: str) -> None:
    assert str(ByteRange.parse(value)) == value


@pytest.mark.parametrize(
    "value", ["", "0-1/1", "3-1/5", "1-6/5", "7-*/5", "*-5/5", "1-5", "1-5/5 ", "\u0661-5/5"]
)
def test_what_is_no_byte_range_is_refused(value: str) -> None:
    with pytest.raises(MalformedMsrp) as refused:
        ByteRange.parse(value)

    assert refused.value.field == "Byte-Range"


@given(st.sampled_from([*VALID, *ANSWERED]), st.data())
def test_a_stream_with_lies_in_it_gives_events_or_an_end(path: Path, data: st.DataObject) -> None:
    """Bytes replaced, put in and taken out; whatever comes is the same whatever the cut."""
    stream = bytearray(path.read_bytes() * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream)))
        gone = data.draw(st.integers(0, 8))
        stream[at : at + gone] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"\r\n", b"-------", b"$"])
        )

    def outcome(step: int) -> list[Event] | None:
        try:
            return events(bytes(stream), step)
        except MalformedMsrp:
            return None

    whole = outcome(len(stream) or 1)
    cut = outcome(data.draw(st.integers(1, 50)))
    assert (whole is None) == (cut is None)
    if whole is not None:
        assert [event for event in cut or [] if not isinstance(event, Body)] == [
            event for event in whole if not isinstance(event, Body)
        ]


BODIES = st.binary(max_size=200) | st.lists(
    st.sampled_from([b"\r", b"\n", b"-------", b"abcd", b"$", b"+", b"#", b"abcde"]), max_size=30
).map(b"".join)


@given(st.lists(st.tuples(BODIES, st.sampled_from(Flag)), min_size=1, max_size=4), st.integers(1, 300))
def test_any_body_comes_back_as_it_was(chunks: list[tuple[bytes, Flag]], step: int) -> None:
    sent: list[Event] = []
    stream = b""
    for number, (body, flag) in enumerate(chunks):
        transaction = "abcd" if not occurs("abcd", body) else f"zzzz{number}"
        request = Request(transaction, "SEND", HERS, OURS, "mid1", ByteRange(1), content_type="a/b")
        stream += write_request(request, body, flag)
        sent += [request, *([Body(body)] if body else []), End(flag)]

    assert events(stream, step) == sent


@given(st.binary(max_size=300), st.integers(1, 20))
def test_any_bytes_are_read_or_end(stream: bytes, step: int) -> None:
    try:
        found = events(stream, step)
    except MalformedMsrp:
        return
    assert all(isinstance(event, Event) for event in found)
