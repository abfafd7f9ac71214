"""The provider pushes steadily, takes what comes back, and counts it; against a server that plays the api."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from soak import http
from soak.http import Connection, Message, Server
from soak.mix import SECRET, Mix
from soak.provider import Provider
from tests.fakes.initiator import DOCUMENT
from tests.harness.wait import wait_until

_PUSHED = re.compile(rb'push-id="([^"]+)" ppg-notify-requested-to="([^"]+)"')
_TOLD = (
    '<resultnotification-message push-id="{}" message-state="{}" code="1000">'
    '<address address-value="WAPPUSH=a/TYPE=USER@b"/></resultnotification-message>'
)


class Api:
    """Takes pushes, refusing the first, and tells their results at once."""

    def __init__(self) -> None:
        self.refuse = 1
        self.told_status: list[int] = []
        self._server = Server(self._take)
        self._tasks: set[asyncio.Task[None]] = set()
        self._mix = Mix(5)

    @contextmanager
    def running(self) -> Iterator[str]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), loop).result(5)
        try:
            yield self._server.url
        finally:
            asyncio.run_coroutine_threadsafe(self._server.stop(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)
            loop.close()

    async def _take(self, request: Message) -> tuple[int, dict[str, str], bytes]:
        if self.refuse:
            self.refuse -= 1
            return 503, {}, b""
        if request.start.split()[1] == "/pap":
            found = _PUSHED.search(request.body)
            assert found is not None
            self._tell(*(text.decode() for text in found.groups()))
            return 202, {}, b'<response code="1001"/>'
        document = json.loads(request.body)
        self._tell(document["push_id"], document["notify_url"])
        return 201, {}, b"{}"

    def _tell(self, push_id: str, url: str) -> None:
        task = asyncio.get_running_loop().create_task(self._post(push_id, url))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, push_id: str, url: str) -> None:
        state = self._mix.kind(int(push_id.rpartition("-")[2])).ends
        form, headers = url.rpartition("/")[2], {}
        if form == "pap":
            body = DOCUMENT.format(operation=_TOLD.format(push_id, state)).encode()
        else:
            body = json.dumps({"push_id": push_id, "recipient": {"state": state}}).encode()
            sent = str(int(time.time()))
            digest = hmac.new(SECRET.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
            headers = {"Omapush-Timestamp": sent, "Omapush-Signature": f"v1={digest}"}
        host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
        connection = Connection(host, int(port))
        answer = await connection.post(f"/{form}", headers, body)
        connection.close()
        self.told_status.append(answer.status)


def test_what_is_pushed_is_accepted_and_told_once_whatever_was_refused_before() -> None:
    api = Api()
    with api.running() as url, Provider(url, Mix(5)) as provider:
        provider.push_at(400)
        wait_until(lambda: provider.ledger.told >= 120, 10, lambda: f"results: {provider.ledger.told}")
        provider.push_at(0)
        ledger = provider.ledger
        wait_until(lambda: ledger.told == ledger.accepted == ledger.begun, 10, "the last result")

        kept = ledger.close()
        assert kept.faultless, kept
        assert provider.refused == 1
        assert set(api.told_status) == {202, 204}
        assert {"message delivered", "refused aborted", "absent expired"} <= set(kept.states)


def test_a_connection_that_was_closed_is_opened_again() -> None:
    async def close(_: Message) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Connection": "close"}, b"once"

    async def twice() -> list[bytes]:
        server = Server(close)
        await server.start()
        host, _, port = server.url.removeprefix("http://").partition(":")
        connection = Connection(host, int(port))
        try:
            return [(await connection.post("/", {}, b"x")).body for _ in range(2)]
        finally:
            connection.close()
            await server.stop()

    assert asyncio.run(twice()) == [b"once", b"once"]


def test_nobody_who_listens_is_a_failure_that_is_named() -> None:
    async def refused() -> None:
        server = Server(lambda _: pytest.fail("nothing comes"))
        await server.start()
        port = int(server.url.rpartition(":")[2])
        await server.stop()
        with pytest.raises(http.Failed):
            await Connection("127.0.0.1", port).post("/", {}, b"")

    asyncio.run(refused())
