"""When a connection is hung up because its request does not come to an end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from omapush.pap_http.connection import REQUEST_WITHIN_S, SLOWEST_BODY, BoundedConnection

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def never_answers(_scope: dict[str, Any], receive: Receive, _send: Send) -> None:
    """Take what comes, as a push does that waits for Redis."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Waiting:
    """A connection whose timers the test reads instead of waiting for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timers: list[tuple[float, Mock, Callable[[], None]]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", self._call_later)
        settings = Config(never_answers)
        settings.load()
        self.connection = BoundedConnection(settings, ServerState(), {}, loop)
        self.transport = Mock(spec=asyncio.Transport)
        self.transport.get_extra_info.return_value = None
        self.transport.is_closing.return_value = False
        self.connection.connection_made(self.transport)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> Mock:
        handle = Mock(spec=asyncio.TimerHandle)
        self.timers.append((seconds, handle, callback))
        return handle

    @property
    def running(self) -> list[float]:
        """Seconds of the timers that nobody cancelled."""
        return [seconds for seconds, handle, _ in self.timers if not handle.cancel.called]

    def expire(self) -> None:
        """Let the latest timer run off."""
        self.timers[-1][2]()


def run(work: Callable[[Waiting], None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def inside() -> None:
        with monkeypatch.context() as patch:
            work(Waiting(patch))

    asyncio.run(inside())


@pytest.mark.parametrize("cut", [0, 1, 20, len(REQUEST) - 1])
def test_a_request_that_does_not_end_ends_with_its_connection(
    monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    def work(waiting: Waiting) -> None:
        for byte in REQUEST[:cut]:
            waiting.connection.data_received(bytes([byte]))
        assert waiting.running == [REQUEST_WITHIN_S]  # one for the whole, not one more with each byte
        waiting.expire()
        assert waiting.transport.close.called

    run(work, monkeypatch)


def test_a_whole_request_may_wait_for_its_answer_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(waiting: Waiting) -> None:
        waiting.connection.data_received(REQUEST)
        assert waiting.running == []

    run(work, monkeypatch)


def test_the_next_request_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(waiting: Waiting) -> None:
        waiting.connection.data_received(REQUEST + REQUEST[:5])
        assert waiting.running == [REQUEST_WITHIN_S]

    run(work, monkeypatch)


def test_line_ends_between_requests_do_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(waiting: Waiting) -> None:
        waiting.connection.data_received(REQUEST)
        for _ in range(5):
            waiting.connection.data_received(b"\r\n")
        assert waiting.running == [REQUEST_WITHIN_S]

    run(work, monkeypatch)


def test_a_connection_that_is_gone_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(waiting: Waiting) -> None:
        waiting.connection.connection_lost(None)
        assert waiting.running == []

    run(work, monkeypatch)


def test_a_body_that_goes_on_coming_has_time_for_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(waiting: Waiting) -> None:
        head = b"POST /pap HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"
        waiting.connection.data_received(head + b"x" * SLOWEST_BODY * 10)
        waiting.expire()
        assert waiting.running[-1] == pytest.approx(10, abs=0.01)
        assert not waiting.transport.close.called
        waiting.expire()
        assert waiting.transport.close.called

    run(work, monkeypatch)
