"""Content providers that push steadily, and try the same push again until an answer says that it is taken."""

from __future__ import annotations

import threading
import time
from typing import Final

import httpx

from tests.fakes.initiator import PushInitiator, user_address
from tests.harness.stack import PASSWORD, Stack

USERS: Final = 200
APPLICATION: Final = "mms.ua"
_TAKEN: Final = ("1001", "2007")
"2007: the answer to an earlier try was lost, the push was not."
_AGAIN_S: Final = 0.2


class Provider(threading.Thread):
    """One of them, on a thread of its own."""

    def __init__(self, stack: Stack, name: str, rate: float, notify_to: str) -> None:
        super().__init__(name=name, daemon=True)
        self.accepted: list[str] = []
        "Push-ids that an answer said are taken."
        self.refused = 0
        "Answers that were neither that nor a push taken: 503, 429, no answer at all."
        self._stack, self._every_s, self._notify_to = stack, 1 / rate, notify_to
        self._ended = threading.Event()

    def run(self) -> None:
        """Push until told to end; the last push is still brought to an answer."""
        number, due = 0, time.monotonic()
        with PushInitiator(self._stack.http, "trusted", PASSWORD) as initiator:
            while not self._ended.is_set():
                self._push(initiator, f"{self.name}-{number}", number)
                number, due = number + 1, due + self._every_s
                self._ended.wait(max(0.0, due - time.monotonic()))

    def end(self) -> None:
        """Stop pushing; `join` then waits for the last answer."""
        self._ended.set()

    def _push(self, initiator: PushInitiator, push_id: str, number: int) -> None:
        to = user_address(f"sip:u{number % USERS}@home1.example")
        while True:
            try:
                answer = initiator.push(push_id, to, b"chaos", app=APPLICATION, notify_to=self._notify_to)
                if answer.http_status == 202 and answer.code in _TAKEN:
                    self.accepted.append(push_id)
                    return
            except httpx.HTTPError:
                pass
            self.refused += 1
            threading.Event().wait(_AGAIN_S)
