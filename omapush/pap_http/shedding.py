"""
Pushes that are refused under overload as soon as they have been read off the connection.

A refusal by the application costs a good part of what taking the push does: a task, a route, an exception, an
answer made of parts, a line in the log. At three times the load that would leave little for what is taken.
Here it is a search in the body and a text that is ready. No password has been looked at then, and nothing of
the document has been read; how urgent it may be shows all the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from omapush.errors import Overloaded
from omapush.pap_http.admission import COME_AGAIN_S, DRAWN, PUSH_PATHS, Admission, may_be_urgent, push_path
from omapush.pap_http.problems import NOT_NOW, PROBLEM_TYPE, Problem
from omapush.pap_http.secure_headers import wanted

LONGEST_LOOK: Final = 65_536
"Bytes of a body that are kept until it is seen how urgent it is; the application refuses what is longer."
LEAST_HELD_S: Final = 1.0
"""
So long a refusal is held at least, in the place of one more request: who sends as fast as it is answered
sends no more than that. Where a thousand connections do, refusing them at once could take all of a processor.
"""
MOST_HELD_S: Final = 4.0
"Who asks has an answer after so long, however many are refused."
EACH_S: Final = 1 / 300
"Refusals leave no faster than that, which takes some 2 % of a processor, unless they would be held too long."
_POST: Final = b"POST"


class Held:
    """When refusals leave: the more there are, the longer each is held."""

    def __init__(self) -> None:
        self._last = 0.0
        "When the last of them does."

    def until(self, now: float) -> float:
        """Return when one that is decided on now leaves."""
        soonest, latest = now + LEAST_HELD_S, now + MOST_HELD_S
        self._last = min(max(soonest, self._last + EACH_S), latest)
        return self._last


class Valve:
    """What is let through to the application; one for the whole process."""

    def __init__(self, admission: Admission, count: Callable[[bool], None]) -> None:
        """`count`: told of each push that is refused, and whether it came by JSON."""
        self._admission = admission
        self._count = count
        self.held = Held()
        self._answers = {
            (is_json, is_tls): [_answer(again_s, is_json, is_tls) for again_s in range(*COME_AGAIN_S)]
            for is_json in (False, True)
            for is_tls in (False, True)
        }

    def lets_in(self) -> bool:
        """Tell whether one more that is not urgent goes on to the application; of a drained node all does."""
        return self._admission.is_closed or self._admission.draw()

    def refusal(self, is_json: bool, is_tls: bool) -> tuple[bytes, bytes]:
        """Return the status line, and all that follows the fields which every answer has; count it."""
        self._count(is_json)
        return random.choice(self._answers[is_json, is_tls])


class SheddingConnection(HttpToolsProtocol):
    """Keeps back a push that is not let in; once its body is there it is refused, or let in as urgent."""

    valve: Valve | None = None
    "None: nothing is shed here."
    _is_json = False
    "Whether the push that is kept back came by JSON."
    _kept: bytearray | None = None
    "Body of the request that is kept back; None: none is."
    _held: asyncio.TimerHandle | None = None
    "What will send a refusal; None: none is being held."
    _held_answer = b""
    _goes_on = True
    "Whether the connection does after it."

    @property
    def keeps_back(self) -> bool:
        """Whether the application does not know of the current request."""
        return self._kept is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a refusal that nobody will read."""
        self._let_go()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Send a refusal before the connection ends."""
        self._send_held()
        super().shutdown()

    def on_message_begin(self) -> None:
        """Send a refusal before the request behind it is looked at."""
        self._send_held()
        self._unset_keepalive_if_required()  # for the next request has begun
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer the request, or keep it back."""
        path = self._push_path() if self.valve is not None else None
        if self.valve is not None and path is not None:
            scope: Any = self.scope
            is_in = scope[DRAWN] = self.valve.lets_in()
            if not is_in and self._may_be_kept():
                self._kept, self._is_json = bytearray(), PUSH_PATHS[path]
                return
        super().on_headers_complete()

    def _push_path(self) -> bytes | None:
        """Where the request submits a push; None for all that is none."""
        if self.parser.get_method() != _POST:
            return None
        return self.url if self.url in PUSH_PATHS else push_path(httptools.parse_url(self.url).path or b"")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._kept is None:
            super().on_body(body)
        else:
            self._kept += body

    def on_message_complete(self) -> None:
        """Decide about a request that was kept back."""
        if self._kept is None:
            super().on_message_complete()
            return
        body, self._kept = bytes(self._kept), None
        if may_be_urgent(body, is_json=self._is_json):
            super().on_headers_complete()
            if body:
                super().on_body(body)
            super().on_message_complete()
        else:
            self._shed()

    def _may_be_kept(self) -> bool:
        """
        Whether the whole body is short and will come soon.

        Not where the peer waits for a word before it sends it, nor behind another that is being answered.
        """
        if self.expect_100_continue or (self.cycle is not None and not self.cycle.response_complete):
            return False
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return length.isdigit() and int(length) <= LONGEST_LOOK

    def _shed(self) -> None:
        assert self.valve is not None  # noqa: S101 - nothing is kept back without one
        goes_on = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        head, rest = self.valve.refusal(self._is_json, self.scheme == "https")
        fields = [b"%b: %b\r\n" % field for field in self.server_state.default_headers]
        if not goes_on:
            fields.append(b"connection: close\r\n")
        self._held_answer = b"".join((head, *fields, rest))
        self._goes_on = goes_on
        now = self.loop.time()
        self._held = self.loop.call_later(self.valve.held.until(now) - now, self._send_held)

    def _send_held(self) -> None:
        if not self._let_go():
            return
        self.transport.write(self._held_answer)
        if not self._goes_on:
            self.transport.close()
        self.on_response_complete()

    def _let_go(self) -> bool:
        """Tell whether a refusal was being held."""
        held, self._held = self._held, None
        if held is not None:
            held.cancel()
        return held is not None


def _answer(again_s: int, is_json: bool, is_tls: bool) -> tuple[bytes, bytes]:
    """Return what the application would answer: its first line, and from the second field on."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    body, kind = f"{NOT_NOW}\n".encode(), "text/plain; charset=utf-8"
    if is_json:
        code = Overloaded.pap_code
        problem = Problem("about:blank", status.phrase, status.value, NOT_NOW, "", code)
        body, kind = msgspec.json.encode(problem), PROBLEM_TYPE
    fields = [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % again_s),
        *wanted(is_content=False, is_tls=is_tls),
    ]
    rest = b"".join(b"%b: %b\r\n" % field for field in fields)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode(), rest + b"\r\n" + body
