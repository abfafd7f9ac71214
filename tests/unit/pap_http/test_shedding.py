"""Pushes that are refused under overload before the application hears of them."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from omapush.config import Api
from omapush.pap_http import shedding
from omapush.pap_http.admission import Admission
from omapush.pap_http.connection import bounded
from omapush.pap_http.shedding import LONGEST_LOOK, Held, Valve

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PAP = b'<pap><quality-of-service priority="%b"/></pap>'
JSON = b'{"to": ["sip:a@b.example"], "priority": "%b"}'


def post(path: bytes = b"/pap", body: bytes = PAP % b"low", fields: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + length + fields + b"\r\n" + body


@pytest.fixture(autouse=True)
def held_for_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hold(monkeypatch, 0.0)


def hold(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have each refusal held for so long."""
    monkeypatch.setattr(shedding, "LEAST_HELD_S", seconds)
    monkeypatch.setattr(shedding, "MOST_HELD_S", seconds)


class Peer:
    """A connection under overload, and the application behind it, which answers 202 to everything."""

    def __init__(self, admitted: float = 0.0, *, closed: bool = False) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.shed: list[bool] = []
        admission = Mock(spec=Admission, is_closed=closed)
        admission.draw.side_effect = lambda: admitted >= 1
        valve = Valve(admission, self.shed.append)
        configured = Config(self._application, interface="asgi3", proxy_headers=False)
        configured.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        loop = asyncio.get_running_loop()
        self.connection = bounded(Api(), valve)(configured, state, {}, loop)
        self.transport = Mock(spec=asyncio.Transport)
        self.transport.get_extra_info.return_value = None
        self.transport.is_closing.return_value = False
        self.admission = admission
        self.connection.connection_made(self.transport)

    async def _application(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        while (event := await receive()).get("more_body"):
            body += event["body"]
        self.seen.append((scope["path"], body + event.get("body", b"")))
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    @property
    def told(self) -> bytes:
        return b"".join(call.args[0] for call in self.transport.write.call_args_list)


def run(work: Callable[[Peer], None], **how: Any) -> Peer:
    """What has come of a connection once all that `work` sends on it was looked at."""

    async def inside() -> Peer:
        peer = Peer(**how)
        work(peer)
        for _ in range(20):
            await asyncio.sleep(0)
        peer.connection.connection_lost(None)
        return peer

    return asyncio.run(inside())


def sent(*pieces: bytes, **how: Any) -> Peer:
    def send(peer: Peer) -> None:
        for piece in pieces:
            peer.connection.data_received(piece)

    return run(send, **how)


def fields_of(answer: bytes) -> dict[bytes, bytes]:
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name: value for name, _, value in (line.partition(b": ") for line in head)}


def test_a_push_by_pap_is_refused_and_the_application_hears_nothing_of_it() -> None:
    peer = sent(post())

    assert peer.seen == []
    assert peer.shed == [False]
    assert peer.told.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    fields, body = fields_of(peer.told), peer.told.partition(b"\r\n\r\n")[2]
    assert fields[b"date"] == b"today"
    assert 1 < int(fields[b"retry-after"]) < 10
    assert fields[b"cache-control"] == b"no-store"
    assert int(fields[b"content-length"]) == len(body)
    assert body == b"not now, try again later\n"
    assert b"connection" not in fields
    peer.transport.close.assert_called_once()  # by the test's end alone


ANY_WAY = [
    (b"/pap?a=b", False),
    (b"/pap/", False),
    (b"//pap", False),
    (b"/%70ap", False),
    (b"http://a/pap", False),
    (b"/v1/pushes/", True),
    (b"/v1//pushes", True),
    (b"//v1/%70ushes", True),
    (b"/%76%31/pushes?x", True),
]


@pytest.mark.parametrize(("target", "is_json"), ANY_WAY)
def test_nobody_gets_past_by_writing_the_path_in_another_way(target: bytes, is_json: bool) -> None:
    peer = sent(post(target))

    assert peer.seen == []
    assert peer.shed == [is_json]


@pytest.mark.parametrize(("target", "is_json"), ANY_WAY)
def test_an_urgent_push_is_let_in_however_its_path_is_written(target: bytes, is_json: bool) -> None:
    peer = sent(post(target, JSON % b"high" if is_json else PAP % b"high"))

    assert len(peer.seen) == 1
    assert peer.shed == []


def test_a_push_by_json_is_refused_with_a_problem() -> None:
    peer = sent(post(b"/v1/pushes", JSON % b"low"))

    assert peer.seen == []
    assert peer.shed == [True]
    assert fields_of(peer.told)[b"content-type"] == b"application/problem+json"
    problem = msgspec.json.decode(peer.told.partition(b"\r\n\r\n")[2])
    assert (problem["status"], problem["code"], problem["title"]) == (503, "4001", "Service Unavailable")


def test_those_that_are_refused_together_are_told_different_times() -> None:
    peer = sent(*[post() for _ in range(100)])

    assert len({fields_of(one)[b"retry-after"] for one in peer.told.split(b"try again later\n")[:-1]}) > 3


@pytest.mark.parametrize(("path", "body"), [(b"/pap", PAP % b"high"), (b"/v1/pushes", JSON % b"high")])
def test_an_urgent_push_reaches_the_application_whole(path: bytes, body: bytes) -> None:
    peer = sent(post(path, body))

    assert peer.seen == [(path.decode(), body)]
    assert peer.told.startswith(b"HTTP/1.1 202")


@given(cuts=st.lists(st.integers(0, 600), max_size=8))
@settings(max_examples=60, deadline=None)
def test_wherever_the_octets_are_cut_the_outcome_is_the_same(cuts: list[int]) -> None:
    whole = post() + post(body=PAP % b"high")
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    peer = sent(*[whole[begin:end] for begin, end in pairwise(edges)])

    assert peer.shed == [False]
    assert peer.seen == [("/pap", PAP % b"high")]
    assert peer.told.startswith(b"HTTP/1.1 503")
    assert peer.told.count(b"HTTP/1.1 202") == 1


def test_a_push_that_is_cut_off_is_not_answered() -> None:
    assert {sent(post()[:end]).told for end in range(len(post()))} == {b""}


def test_the_connection_goes_on_after_a_refusal() -> None:
    def send(peer: Peer) -> None:
        peer.connection.data_received(post())
        peer.admission.draw.side_effect = lambda: True
        peer.connection.data_received(post(body=b"x"))

    peer = run(send)
    assert peer.shed == [False]
    assert peer.seen == [("/pap", b"x")]


@pytest.mark.parametrize(
    "request_octets", [post(fields=b"Connection: close\r\n"), post().replace(b"HTTP/1.1", b"HTTP/1.0")]
)
def test_who_wants_no_more_is_told_that_the_connection_ends(request_octets: bytes) -> None:
    peer = sent(request_octets)

    assert fields_of(peer.told)[b"connection"] == b"close"
    assert peer.transport.close.call_count == 2, "once by us, once at the test's end"


@pytest.mark.parametrize("what", ["next", "shutdown"])
def test_a_refusal_is_held_until_its_time_comes_or_something_else_does(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    hold(monkeypatch, 60.0)

    def send(peer: Peer) -> None:
        peer.connection.data_received(post())
        assert peer.told == b""
        if what == "next":
            peer.connection.data_received(post()[:1])
        else:
            peer.connection.shutdown()
        assert peer.told.startswith(b"HTTP/1.1 503")

    assert run(send).told.count(b"HTTP/1.1 503") == 1


def test_a_refusal_that_nobody_waits_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    hold(monkeypatch, 60.0)

    assert sent(post()).told == b""


def test_the_more_are_refused_the_longer_each_is_held_but_never_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shedding, "LEAST_HELD_S", 1.0)
    monkeypatch.setattr(shedding, "MOST_HELD_S", 4.0)
    held, least_apart = Held(), 0.9 / 300
    quiet = [held.until(second / 10) - second / 10 for second in range(1_000, 1_100)]
    assert quiet == pytest.approx([1.0] * 100)

    many = [held.until(200.0 + n / 1_000) for n in range(1_000)]
    assert all(later - sooner > least_apart for sooner, later in pairwise(many))
    more = [held.until(201.0 + n / 1_000) - (201.0 + n / 1_000) for n in range(5_000)]
    assert max(more) == more[-1] == pytest.approx(4.0)

    assert held.until(300.0) == pytest.approx(301.0)


@pytest.mark.parametrize(
    "octets",
    [
        post(b"/v1/lists"),
        post(b"/v1/%70ushes"),
        post(b"/v1/pushes/%2F"),
        b"GET /v1/pushes HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_push_is_let_in_without_a_question(octets: bytes) -> None:
    peer = sent(octets)

    assert len(peer.seen) == 1
    peer.admission.draw.assert_not_called()


@pytest.mark.parametrize(
    "octets",
    [
        post(fields=b"Expect: 100-continue\r\n"),
        post(body=b"x" * (LONGEST_LOOK + 1)),
        b"POST /pap HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ],
)
def test_a_push_that_cannot_be_kept_back_is_for_the_application_to_judge(octets: bytes) -> None:
    peer = sent(octets)

    assert peer.shed == []
    assert len(peer.seen) == 1


def test_a_push_behind_one_that_is_being_answered_waits_for_its_turn() -> None:
    def send(peer: Peer) -> None:
        peer.admission.draw.side_effect = [True, False]
        peer.connection.data_received(post(body=b"1") + post(body=b"2"))

    peer = run(send)
    assert peer.shed == []
    assert [body for _, body in peer.seen] == [b"1", b"2"]


def test_a_drained_node_says_so_itself() -> None:
    assert sent(post(), closed=True).shed == []


def test_without_overload_nothing_is_shed() -> None:
    assert sent(post(), admitted=1.0).seen == [("/pap", PAP % b"low")]
