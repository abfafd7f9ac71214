"""Requests that others may read differently: refused, or read as the standard has them read."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pap_http.test_shedding import Peer, fields_of, post, run, sent

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
BROKEN = b"NONSENSE\r\n\r\n"


def chunked(body: bytes, *, fields: bytes = b"", trailer: bytes = b"") -> bytes:
    head = b"POST /pap HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + fields
    return head + b"\r\n%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer)


def let_in(*pieces: bytes) -> Peer:
    return sent(*pieces, admitted=1.0)


def statuses(peer: Peer) -> list[int]:
    return [int(one[:3]) for one in peer.told.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("octets", "status", "why"),
    [
        (GET.replace(b"Host: a\r\n", b""), 400, b"Host: missing"),
        (GET.replace(b"Host: a", b"Host: a\r\nhost: a"), 400, b"Host: comes twice"),
        (GET.replace(b"Host: a", b"Host: a, b"), 400, b"Host: is no host"),
        (GET.replace(b"Host: a", b"Host: u@a"), 400, b"Host: is no host"),
        (GET.replace(b"Host: a", b"Host: a/b"), 400, b"Host: is no host"),
        (GET.replace(b"Host: a", b"Host: a:80x"), 400, b"Host: is no host"),
        (post(fields=b"Content-Type: a/b\r\nContent-Type: c/d\r\n"), 400, b"Content-Type: comes twice"),
        (
            post(fields=b"Authorization: Basic eA==\r\nauthorization: x\r\n"),
            400,
            b"Authorization: comes twice",
        ),
        (chunked(b"x").replace(b": chunked", b": gzip, chunked"), 501, b"Transfer-Encoding: chunked alone"),
        (GET.replace(b"HTTP/1.1", b"HTTP/2.0"), 505, b"has to be 1.1 or 1.0"),
        (b"GET /a\r\n\r\n", 505, b"has to be 1.1 or 1.0"),
        (GET.replace(b"GET", b"CONNECT"), 501, b"CONNECT: this is no proxy"),
        (GET.replace(b"GET /a", b"CONNECT a:80"), 501, b"CONNECT: this is no proxy"),
        (GET.replace(b"GET", b"CONNECT").replace(b"\r\n\r\n", b"\r\n" + UPGRADE + b"\r\n"), 501, b"no proxy"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused_and_the_connection_ends(
    octets: bytes, status: int, why: bytes
) -> None:
    peer = let_in(octets + GET)

    assert peer.seen == []
    assert statuses(peer) == [status]
    assert fields_of(peer.told)[b"connection"] == b"close"
    assert why in peer.told
    assert peer.transport.close.called


@pytest.mark.parametrize(
    "host", [b"a", b"", b"a:8080", b"[2001:db8::1]:80", b"192.0.2.1", b"x_y.example", b"a:"]
)
def test_every_form_of_a_host_is_taken(host: bytes) -> None:
    assert statuses(let_in(GET.replace(b"Host: a", b"Host: " + host))) == [202]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://a", "/"),
        (b"HTTP://a:80?x=/y", "/"),
        (b"http://a/b", "/b"),
        (b"http://a//b", "//b"),
        (b"https://[::1]?x", "/"),
        (b"/?x=http://a", "/"),
    ],
)
def test_a_target_may_be_a_whole_url(target: bytes, path: str) -> None:
    assert [seen for seen, _ in let_in(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n").seen] == [path]


def test_an_earlier_version_needs_no_host() -> None:
    peer = let_in(b"GET /a HTTP/1.0\r\n\r\n")

    assert statuses(peer) == [202]


def test_a_field_behind_the_body_says_nothing_about_the_request() -> None:
    """RFC 9110 6.5.1: whoever looked at the head has seen no Authorization, and let it pass."""
    scopes: list[Any] = []

    class Watched(Peer):
        async def _application(self, scope: Any, receive: Any, send: Any) -> None:
            await super()._application(scope, receive, send)
            scopes.append(scope)

    async def inside() -> Watched:
        peer = Watched(admitted=1.0)
        peer.connection.data_received(chunked(b"body", trailer=b"Authorization: Basic eDp5\r\nX: y\r\n"))
        for _ in range(20):
            await asyncio.sleep(0)
        return peer

    peer = asyncio.run(inside())
    assert peer.seen == [("/pap", b"body")]
    assert [name for name, _ in scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("cut", range(0, 240, 7))
def test_who_would_like_another_protocol_is_served_in_this_one(cut: int) -> None:
    """Java's client asks so with each request, those with a body among them."""
    whole = post(fields=UPGRADE, body=b"hello") + chunked(b"again", fields=UPGRADE) + post(body=b"plain")
    peer = let_in(whole[:cut], whole[cut:])

    assert peer.seen == [("/pap", b"hello"), ("/pap", b"again"), ("/pap", b"plain")]
    assert statuses(peer) == [202] * 3


def test_a_wish_to_upgrade_gets_nobody_past_the_valve() -> None:
    peer = sent(post(fields=UPGRADE))

    assert peer.seen == []
    assert peer.shed == [False]


@pytest.mark.parametrize("body", [b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n", b"x" * 70_000])
def test_the_body_behind_such_a_wish_stays_a_body(body: bytes) -> None:
    assert let_in(post(fields=UPGRADE, body=body)).seen == [("/pap", body)]


@pytest.mark.parametrize("behind", [b"", GET, GET * 3, BROKEN])
def test_nothing_is_written_for_a_client_that_has_gone_though_others_of_its_requests_wait(
    behind: bytes,
) -> None:
    """Writing to a connection that is closed is an error of the library, and many lines of log."""
    gone = asyncio.Event()

    class Slow(Peer):
        async def _application(self, scope: Any, receive: Any, send: Any) -> None:
            await gone.wait()
            await super()._application(scope, receive, send)

    async def inside() -> Slow:
        peer = Slow(admitted=1.0)
        peer.connection.data_received(GET + behind)
        await asyncio.sleep(0)
        peer.transport.is_closing.return_value = True
        peer.connection.connection_lost(ConnectionResetError())
        gone.set()
        for _ in range(20):
            await asyncio.sleep(0)
        return peer

    assert asyncio.run(inside()).told == b""


METHODS = (b"GET", b"POST", b"CONNECT", b"PRI", b"M-SEARCH", b"TRACE")
OPTIONS = st.lists(
    st.sampled_from([b"upgrade", b"Upgrade", b"close", b"keep-alive", b",", b" ", b"\t", b"x"])
)


@settings(deadline=None, max_examples=300)
@given(
    method=st.sampled_from(METHODS),
    target=st.sampled_from([b"/a", b"a:80", b"*", b"http://a"]),
    wishes=st.lists(OPTIONS.map(b"".join), max_size=3),
)
def test_every_request_comes_to_an_answer(method: bytes, target: bytes, wishes: list[bytes]) -> None:
    """One that was never done with would keep all others waiting for ever."""
    fields = b"".join(b"Connection: " + one + b"\r\nUpgrade: h2c\r\n" for one in wishes)
    head = method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n" + fields

    assert statuses(let_in(head + b"Content-Length: 0\r\n\r\n"))


@pytest.mark.parametrize(
    "behind", [BROKEN, GET.replace(b"Host: a\r\n", b""), b"POST /pap HTTP/1.1\r\nX" * 2_000]
)
@pytest.mark.parametrize("number", [1, 3])
def test_a_broken_request_is_never_answered_in_the_place_of_one_before_it(behind: bytes, number: int) -> None:
    """Its sender would take a push for refused that is stored."""
    peer = let_in(GET * number + behind)

    assert [path for path, _ in peer.seen] == ["/a"] * number
    assert statuses(peer) == [202] * number
    assert peer.transport.close.called


def test_a_body_that_breaks_behind_another_request_takes_no_answer_from_that() -> None:
    peer = let_in(GET + chunked(b"x").replace(b"1\r\nx", b"zz\r\nx"))

    assert peer.seen == [("/a", b"")]
    assert statuses(peer) == [202]
    assert peer.transport.close.called


@pytest.mark.parametrize(("reads", "closes"), [(False, True), (True, False)])
def test_who_waits_for_a_word_before_the_body_and_gets_the_answer_finds_the_connection_ended(
    reads: bool, closes: bool
) -> None:
    """RFC 9110 10.1.1: what comes next would be taken for the body."""

    class Refusing(Peer):
        async def _application(self, scope: Any, receive: Any, send: Any) -> None:
            if reads:
                await super()._application(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    async def inside() -> Refusing:
        peer = Refusing(admitted=1.0)
        whole = post(fields=b"Expect: 100-continue\r\n")
        head, _, body = whole.partition(b"\r\n\r\n")
        peer.connection.data_received(head + b"\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(0)
        if reads:
            peer.connection.data_received(body)
            for _ in range(20):
                await asyncio.sleep(0)
        return peer

    peer = asyncio.run(inside())
    assert statuses(peer) == ([100, 202] if reads else [401])
    assert peer.transport.close.called is closes
    assert (b"connection: close" in peer.told) is closes


@given(cuts=st.lists(st.integers(0, 900), max_size=8), broken=st.booleans())
@settings(max_examples=60, deadline=None)
def test_wherever_the_octets_are_cut_the_same_is_seen(cuts: list[int], broken: bool) -> None:
    whole = b"".join(
        [
            GET,
            post(fields=UPGRADE, body=b"1"),
            chunked(b"2", trailer=b"Host: b\r\n"),
            BROKEN if broken else GET,
        ]
    )
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    peer = let_in(*[whole[begin:end] for begin, end in pairwise(edges)])

    expected = [("/a", b""), ("/pap", b"1"), ("/pap", b"2"), *([] if broken else [("/a", b"")])]
    assert peer.seen == expected
    assert set(statuses(peer)) == {202}


def test_an_answer_that_is_owed_is_given_before_a_slow_request_behind_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def send(peer: Peer) -> None:
        peer.connection.data_received(GET + b"POST /pap HT")
        peer.connection._hang_up()

    peer = run(send, admitted=1.0)
    assert statuses(peer) == [202]
    assert peer.transport.close.called
