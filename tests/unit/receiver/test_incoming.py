"""MSRP chunks become messages, whatever a sender makes of them; no sockets here."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omapush.protocol.msrp import (
    Body,
    ByteRange,
    End,
    FailureReport,
    Flag,
    Request,
    Response,
    write_request,
)
from omapush.protocol.msrp_reader import MsrpReader
from omapush.protocol.msrp_uri import MsrpUri
from omapush.receiver.incoming import Chunk, Incoming, Message
from omapush.receiver.settings import Play
from omapush.receiver.spool import Shelf, Spool

OURS = MsrpUri.parse("msrp://127.0.0.1:2855/ours;tcp")
THEIRS = (MsrpUri.parse("msrp://127.0.0.1:7654/theirs;tcp"),)
CONTENT = bytes(range(256)) * 40


class Keeper:
    """Takes what has arrived, and answers 200 at once."""

    def __init__(self, folder: Path, *, limit: int = 100_000, single: bool = True) -> None:
        self._shelf = Shelf(folder, most_partial=4)
        self.contents: list[bytes] = []
        self.sent = MsrpReader()
        self.out: list[Request | Response] = []
        self.end = Incoming(
            OURS, THEIRS, self, accept_types=("image/*",), limit=limit, single=single, play=Play()
        )
        self.end.send = self._send

    def _send(self, data: bytes) -> None:
        self.out += [one for one in self.sent.feed(data) if isinstance(one, Request | Response)]

    def opened(self, message: Message) -> None:
        message.spool = self._shelf.open()

    def arrived(self, message: Message, spool: Spool) -> None:
        self.contents.append(spool.path.read_bytes())
        spool.drop()
        message.settle(200)

    def stopped(self, how: str) -> None:
        raise AssertionError("nobody asked for that")

    def feed(self, data: bytes, cut: int = 1_000) -> None:
        """Bytes as a connection hands them over, in pieces."""
        reader = MsrpReader()
        chunk: Chunk | None = None
        for at in range(0, len(data), cut):
            for event in reader.feed(data[at : at + cut]):
                match event:
                    case Request():
                        chunk = self.end.begin(event)
                    case Body(octets) if chunk is not None:
                        chunk.take(octets)
                    case End(flag) if chunk is not None:
                        chunk.end(flag)

    @property
    def codes(self) -> list[int]:
        return [one.code for one in self.out if isinstance(one, Response)]

    @property
    def reports(self) -> list[Request]:
        return [one for one in self.out if isinstance(one, Request)]


def chunk(
    start: int,
    stop: int,
    flag: Flag = Flag.MORE,
    *,
    message_id: str = "message.1",
    total: int | None = len(CONTENT),
    content: bytes = CONTENT,
    content_type: str = "image/png",
    failure: FailureReport = FailureReport.YES,
) -> bytes:
    request = Request(
        f"t{hash((start, stop, message_id)):x}".replace("-", "m").ljust(8, "0"),
        "SEND",
        (OURS,),
        THEIRS,
        message_id,
        ByteRange(start, None, total),
        success_report=True,
        failure_report=failure,
        content_type=content_type,
    )
    return write_request(request, content[start - 1 : stop], flag)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


@settings(deadline=None, max_examples=40)
@given(
    cuts=st.lists(st.integers(1, len(CONTENT) - 1), unique=True, max_size=6),
    order=st.randoms(),
    pieces=st.integers(1, 3_000),
)
def test_the_content_is_equal_however_it_was_cut_and_ordered(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], order: object, pieces: int
) -> None:
    keeper = Keeper(tmp_path_factory.mktemp("kept"))
    edges = [0, *sorted(cuts), len(CONTENT)]
    spans = list(itertools.pairwise(edges))
    order.shuffle(spans)  # type: ignore[attr-defined]
    for start, stop in spans:
        assert keeper.contents == []
        keeper.feed(chunk(start + 1, stop, Flag.COMPLETE if stop == len(CONTENT) else Flag.MORE), pieces)
    assert keeper.contents == [CONTENT]
    assert keeper.codes == [200] * len(spans)
    (report,) = keeper.reports
    assert str(report.byte_range) == f"1-{len(CONTENT)}/{len(CONTENT)}"


def test_the_same_bytes_cut_at_every_place_give_the_same(tmp_path: Path) -> None:
    data = chunk(1, 30, total=60, content=CONTENT[:60]) + chunk(
        31, 60, Flag.COMPLETE, total=60, content=CONTENT
    )
    for cut in range(1, len(data)):
        keeper = Keeper(tmp_path / str(cut))
        keeper.feed(data, cut)
        assert keeper.contents == [CONTENT[:60]]


def test_what_is_over_is_not_begun_again(keeper: Keeper) -> None:
    keeper.feed(chunk(1, len(CONTENT), Flag.COMPLETE))
    keeper.feed(chunk(1, len(CONTENT), Flag.COMPLETE))
    assert keeper.contents == [CONTENT]
    assert keeper.codes == [200, 200]


def test_a_chunk_far_behind_the_limit_writes_nothing(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, limit=1_000)
    keeper.feed(chunk(10**17, 10**17, total=None))
    keeper.feed(chunk(1, 10, total=10**17, message_id="message.2"))
    assert keeper.codes == [413, 413]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0


def test_only_so_many_messages_are_open_at_a_time(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, single=False)
    for number in range(6):
        keeper.feed(chunk(1, 10, message_id=f"message.{number}"))
    assert keeper.codes == [200] * 4 + [413] * 2


def test_an_end_before_what_came_is_refused(keeper: Keeper) -> None:
    keeper.feed(chunk(1, 5_000, total=None))
    keeper.feed(chunk(1, 100, Flag.COMPLETE, total=None))
    assert keeper.contents == []
    assert [str(one.status) for one in keeper.reports] == ["000 400 Not taken"]


@pytest.mark.req("PRA-MSRP-5", "PRA-MSRP-6")
@pytest.mark.parametrize(
    ("failure", "status", "codes", "reports"),
    [
        (FailureReport.YES, 415, [415], []),
        (FailureReport.PARTIAL, 415, [415], []),
        (FailureReport.NO, 415, [], []),
        (FailureReport.NO, 200, [], ["000 200 OK"]),
        (FailureReport.PARTIAL, 200, [], ["000 200 OK"]),
    ],
)
def test_answers_and_reports_are_those_that_the_sender_wants(
    keeper: Keeper, failure: FailureReport, status: int, codes: list[int], reports: list[str]
) -> None:
    content_type = "image/png" if status == 200 else "text/html"
    keeper.feed(chunk(1, len(CONTENT), Flag.COMPLETE, content_type=content_type, failure=failure))
    assert keeper.codes == codes
    assert [str(one.status) for one in keeper.reports] == reports
