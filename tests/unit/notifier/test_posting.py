"""Posting to initiators on loopback: connections, answers of every form, and answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.notifier import reachable
from omapush.notifier.posting import Broken, Posted, Poster
from omapush.notifier.reachable import Judged, NotReachable
from tests.harness.certificates import certificate

LARGEST = 1_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Initiator:
    """A server that answers the requests of all its connections from one list."""

    def __init__(self, answers: Sequence[bytes], *, ends: bool = False, pieces: int = 1_000_000) -> None:
        """`ends`: it closes after each answer; `pieces`: bytes that it writes at once."""
        self._answers = list(answers)
        self._ends = ends
        self._pieces = pieces
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self._answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self._answers.pop(0)
                for at in range(0, len(answer), self._pieces):
                    writer.write(answer[at : at + self._pieces])
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


Post = Callable[..., Awaitable[Posted]]
HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`results.example` is this machine, whatever the DNS says."""

    async def judged(host: str, port: int, allow: Callable[[str], bool]) -> str:
        if not allow(HERE):
            raise NotReachable(f"address {HERE} is not public")
        return HERE if host in ("results.example", HERE) else str(await original(host, port, allow))

    original = reachable.judged
    monkeypatch.setattr(reachable, "judged", judged)


def poster(*, allow: Callable[[str], bool] = lambda _: True) -> Poster:
    return Poster(Judged(allow), LARGEST)


@asynccontextmanager
async def posting(initiator: Initiator) -> AsyncIterator[Post]:
    server = await asyncio.start_server(initiator.serve, HERE, 0)
    port = server.sockets[0].getsockname()[1]
    async with poster() as client:

        async def post(path: str, more: Mapping[str, str] = {}) -> Posted:
            headers = {"Content-Type": "application/xml", **more}
            async with asyncio.timeout(10):
                return await client.post(f"http://results.example:{port}{path}", b"<pap/>", headers)

        yield post
    server.close()


def posted(answer: bytes, **more: int) -> Posted:
    """What one exchange comes to."""

    async def run() -> Posted:
        async with posting(Initiator([answer], ends=True, **more)) as post:
            return await post("/")

    return asyncio.run(run())


def test_a_request_names_the_host_of_the_url_and_goes_to_the_judged_address() -> None:
    async def run() -> bytes:
        initiator = Initiator([ANSWER])
        async with posting(initiator) as post:
            assert await post("/a%20b?c=d") == Posted(200, "text/plain", b"ok")
        return initiator.requests[0]

    lines = asyncio.run(run()).split(b"\r\n")
    assert lines[0] == b"POST /a%20b?c=d HTTP/1.1"
    assert lines[1].startswith(b"Host: results.example:")
    assert {b"Content-Type: application/xml", b"Content-Length: 6", b"<pap/>"} <= set(lines)


def test_exchanges_one_after_the_other_share_a_connection_and_those_beside_each_other_do_not() -> None:
    async def run() -> tuple[int, int]:
        initiator = Initiator([ANSWER] * 7)
        async with posting(initiator) as post:
            for _ in range(4):
                await post("/")
            alone = initiator.connections
            await asyncio.gather(*(post("/") for _ in range(3)))
        return alone, initiator.connections

    assert asyncio.run(run()) == (1, 3)


def test_a_connection_that_the_other_side_has_closed_is_not_taken_again() -> None:
    async def run() -> tuple[int, list[int]]:
        initiator = Initiator([ANSWER] * 3, ends=True)
        async with posting(initiator) as post:
            said = []
            for _ in range(3):
                said.append((await post("/")).status)
                await asyncio.sleep(0.01)
        return initiator.connections, said

    assert asyncio.run(run()) == (3, [200, 200, 200])


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"y" * 5000, b"y" * (LARGEST + 1)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7, 1_000_000])
def test_an_answer_is_read_in_any_form_and_in_any_pieces(answer: bytes, body: bytes, pieces: int) -> None:
    assert posted(answer, pieces=pieces) == Posted(200, "", body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=range(6),
)
def test_what_is_no_whole_answer_is_told_so(answer: bytes) -> None:
    with pytest.raises(Broken):
        posted(answer)


@given(st.integers(0, len(ANSWER) - 1))
def test_an_answer_that_is_cut_anywhere_is_not_whole(at: int) -> None:
    with pytest.raises(Broken):
        posted(ANSWER[:at])


def test_an_exchange_that_is_given_up_leaves_no_connection_to_the_next() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(await reader.read(-1))
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with poster() as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.post(f"http://{HERE}:{server.sockets[0].getsockname()[1]}/", b"", {})
        async with asyncio.timeout(10):
            while not ended:
                await asyncio.sleep(0.001)
        server.close()

    ended: list[object] = []
    asyncio.run(run())


def test_a_header_cannot_begin_another_line() -> None:
    async def run() -> None:
        initiator = Initiator([ANSWER])
        async with posting(initiator) as post:
            with pytest.raises(Broken, match=r"(?i)newline|header"):
                await post("/", {"X": "a\r\nY: b"})
        assert initiator.requests == []

    asyncio.run(run())


@pytest.mark.parametrize(
    "url", ["gopher://x/", "http://", "http://127.0.0.1:1/", "x", "http://[::1/", "http://x:99999/"]
)
def test_where_nothing_can_be_posted_to_is_told_so(url: str) -> None:
    async def run() -> None:
        async with poster() as client:
            await client.post(url, b"", {})

    with pytest.raises(Broken, match=r"."):
        asyncio.run(run())


@pytest.mark.parametrize("host", ["results.example", HERE, "2130706433", "localhost"])
def test_an_address_that_is_not_allowed_is_not_gone_to_by_whatever_name(host: str) -> None:
    async def run() -> int:
        initiator = Initiator([ANSWER])
        server = await asyncio.start_server(initiator.serve, HERE, 0)
        async with poster(allow=lambda _: False) as client:
            with pytest.raises(NotReachable):
                await client.post(f"http://{host}:{server.sockets[0].getsockname()[1]}/", b"", {})
        server.close()
        return initiator.connections

    assert asyncio.run(run()) == 0


def test_a_redirection_is_an_answer_and_not_followed() -> None:
    async def run() -> tuple[int, int]:
        initiator = Initiator([b"HTTP/1.1 307 X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", ANSWER])
        async with posting(initiator) as post:
            return (await post("/")).status, len(initiator.requests)

    assert asyncio.run(run()) == (307, 1)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_tls_is_verified_by_the_name_of_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    """The certificate is for 127.0.0.1: it does not do for another name that was found there."""
    served, trusting = certificate(tmp_path)
    monkeypatch.setattr("httpx.create_ssl_context", lambda **_: trusting)
    initiator = Initiator([ANSWER])

    async def run() -> Posted:
        server = await asyncio.start_server(initiator.serve, "127.0.0.1", 0, ssl=served)
        port = server.sockets[0].getsockname()[1]
        host = "127.0.0.1" if is_trusted else "results.example"
        try:
            async with poster() as client:
                return await client.post(f"https://{host}:{port}/", b"", {})
        finally:
            server.close()

    if is_trusted:
        assert asyncio.run(run()).body == b"ok"
    else:
        with pytest.raises(Broken, match="CERTIFICATE_VERIFY_FAILED"):
            asyncio.run(run())
        assert initiator.requests == []


def test_a_certificate_that_nobody_known_has_signed_is_not_taken(tmp_path: Path) -> None:
    served, _ = certificate(tmp_path)
    initiator = Initiator([ANSWER])

    async def run() -> None:
        server = await asyncio.start_server(initiator.serve, "127.0.0.1", 0, ssl=served)
        port = server.sockets[0].getsockname()[1]
        async with poster() as client:
            await client.post(f"https://{HERE}:{port}/", b"", {})

    with pytest.raises(Broken, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(run())
    assert initiator.requests == []
