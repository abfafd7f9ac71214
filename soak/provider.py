"""A content provider: pushes at a steady rate over kept connections, takes results, and keeps books."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from soak import http
from soak.http import Connection, Message, Server
from soak.ledger import Ledger
from soak.mix import SECRET, Kind, Mix, content
from tests.fakes.initiator import (
    MULTIPART,
    accepting,
    multipart,
    notification_of,
    push_document,
    user_address,
)
from tests.fakes.webhook import is_from_omapush
from tests.harness.stack import PASSWORD

_CONNECTIONS: Final = 32
_AGAIN_S: Final = 0.5
"Until a push that was not taken is sent again."
_TAKEN: Final = (b'code="1001"', b'code="2007"')
"2007: the answer to an earlier try was lost, the push was not."
_NAME: Final = "soak-"


class Provider:
    """A context manager; what it does goes on by itself, on a thread of its own."""

    def __init__(self, api: str, mix: Mix) -> None:
        self.ledger = Ledger()
        self.refused = 0
        "Answers that were neither an acceptance nor one of a push taken before."
        self.rate = 0.0
        "Pushes a second; 0: none."
        self._mix = mix
        self._api = urlsplit(api)
        self._credentials = base64.b64encode(f"trusted:{PASSWORD}".encode()).decode()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="provider", daemon=True)
        self._due = 0.0
        "When the next push is to be sent."
        self._tasks: list[asyncio.Task[None]] = []
        self._results = Server(self._take)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._begin())
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def push_at(self, rate: float) -> None:
        """Push so many a second from now on; 0: no more, but what was begun is brought to an answer."""

        async def change() -> None:
            self.rate, self._due = rate, time.monotonic()

        self._call(change())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _begin(self) -> None:
        await self._results.start()
        self._tasks = [asyncio.create_task(self._push_on()) for _ in range(_CONNECTIONS)]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._results.stop()

    # ---- pushing ----------------------------------------------------------------------------------------

    async def _push_on(self) -> None:
        connection = Connection(self._api.hostname or "", self._api.port or 80)
        try:
            while True:
                if not self.rate or (wait_s := self._due - time.monotonic()) > 1.0:
                    await asyncio.sleep(0.05)
                    continue
                self._due += 1 / self.rate
                number = self.ledger.begin()
                await asyncio.sleep(max(0.0, wait_s))
                await self._push(connection, number)
        finally:
            connection.close()

    async def _push(self, connection: Connection, number: int) -> None:
        kind = self._mix.kind(number)
        path, headers, body = self._request(kind, number)
        while True:
            try:
                answer = await connection.post(path, headers, body)
                if _is_taken(answer):
                    self.ledger.accept(number)
                    return
            except http.Failed:
                pass
            self.refused += 1
            await asyncio.sleep(_AGAIN_S)

    def _request(self, kind: Kind, number: int) -> tuple[str, dict[str, str], bytes]:
        """Return path, header fields and body; the same for each try of the push."""
        until = datetime.now(UTC) + timedelta(seconds=kind.lifetime_s)
        headers = {"Authorization": f"Basic {self._credentials}"}
        named = f"{_NAME}{number}"
        if kind.by == "JSON":
            document = {
                "push_id": named,
                "to": [self._mix.user(number)],
                "application": kind.application,
                "content_type": "text/plain",
                "content": content(kind, number).decode(),
                "deliver_before": until.isoformat(),
                "notify_url": f"{self._results.url}/{kind.notified}",
                "notify_as": kind.notified,
            }
            return "/v1/pushes", headers | {"Content-Type": "application/json"}, json.dumps(document).encode()
        control = push_document(
            named,
            user_address(self._mix.user(number)),
            notify_to=f"{self._results.url}/{kind.notified}",
            deliver_before_timestamp=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        of_content = [("Content-Type", "text/plain"), ("X-Wap-Application-Id", kind.application)]
        body = multipart(control, of_content, content(kind, number))
        return "/pap", headers | {"Content-Type": MULTIPART}, body

    # ---- results ----------------------------------------------------------------------------------------

    async def _take(self, request: Message) -> tuple[int, dict[str, str], bytes]:
        if request.start.split(" ")[1] == "/pap":
            told = notification_of(request.body)
            if told.answered != 202:
                return 400, {}, b""
            self._note(told.push_id, told.message_state)
            return 202, {"Content-Type": "application/xml"}, accepting(told)
        named = {name.title(): value for name, value in request.headers.items()}
        if not is_from_omapush(named, request.body, SECRET, time.time()):
            return 403, {}, b""
        document = json.loads(request.body)
        self._note(document["push_id"], document["recipient"]["state"])
        return 204, {}, b""

    def _note(self, push_id: str, state: str) -> None:
        digits = push_id.removeprefix(_NAME)
        number = int(digits) if digits.isdecimal() else -1
        kind = self._mix.kind(number)
        self.ledger.tell(number, state, kind.name, wanted=kind.ends)


def _is_taken(answer: Message) -> bool:
    if answer.status == 202:
        return any(code in answer.body for code in _TAKEN)
    return answer.status in (200, 201)
