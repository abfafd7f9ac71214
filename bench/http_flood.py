"""
Content providers that do not slow down: pushes are due at a steady rate, whatever becomes of those before.

They hold a bounded number of connections, each with one request at a time: what is due and finds none that is
free goes out as soon as one is. 503 is an answer as any other. Runs as a process of its own: `python -m
bench.http_flood INTERFACE PORT CREDENTIALS CONNECTIONS RATE SECONDS FIRST`; INTERFACE is pap or json, FIRST
the number of the first push. It makes all requests before it says `begins`, and then tells a line ten times a
second: pushes sent, accepted, told 503, and all other answers so far. The last line is the end.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Final

from bench import pap_load

_JSON_HEAD: Final = (
    "POST /v1/pushes HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {credentials}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)
_TOLD_EVERY_S: Final = 0.1
_LATE_S: Final = 0.05
"What is later than that stays so: a provider that had to wait for a connection does not send faster later."
_PATIENCE_S: Final = 10.0
"For the last answers."


def of_json(number: int, credentials: str) -> bytes:
    """Return push number `number` by JSON, otherwise as `pap_load.request` makes it."""
    body = json.dumps(
        {
            "push_id": f"{number}@bench",
            "to": [f"sip:u{number}@home1.example"],
            "application": "mms.ua",
            "content_type": "application/vnd.wap.mms-message",
            "content": "1234567890" * 6,
            "delivery_method": "confirmed",
        }
    ).encode()
    shown = base64.b64encode(credentials.encode()).decode()
    return _JSON_HEAD.format(credentials=shown, length=len(body)).encode() + body


REQUESTS: Final = {"pap": pap_load.request, "json": of_json}


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Ended(Exception):
    """The server ended a connection before it answered anything."""


class Flood:
    """All connections, and what came of the pushes."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._free: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        "Connections without a request, the one that had the last first; None: one that may still be opened."
        for _ in range(connections):
            self._free.put_nowait(None)
        self._under_way: set[asyncio.Task[None]] = set()
        self.told: Counter[str] = Counter()

    async def run(self, requests: list[bytes], rate: float, seconds: float) -> None:
        """Send for the time that is set, and wait for the last answers."""
        telling = asyncio.create_task(self._tell())
        began = due = time.monotonic()
        for request in requests:
            if (early_s := due + 1 / rate - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            free = await self._free.get()
            due = max(due + 1 / rate, time.monotonic() - _LATE_S)
            if time.monotonic() >= began + seconds:
                break
            task = asyncio.create_task(self._post(free, request))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            _, waiting = await asyncio.wait(self._under_way, timeout=_PATIENCE_S)
            self.told["other"] += len(waiting)
        telling.cancel()
        print(self)

    async def _post(self, free: Connection | None, request: bytes) -> None:
        """Send one, by a connection that is there unless the server has ended it meanwhile."""
        self.told["sent"] += 1
        try:
            if free is not None and not free[0].at_eof():
                with suppress(_Ended):
                    return await self._answered(free, request)
            # The same push again, with its push-id: it was idle too long, and ended while this was sent.
            await self._answered(await asyncio.open_connection("127.0.0.1", self._port), request)
        except (OSError, asyncio.IncompleteReadError, _Ended) as error:
            print(f"no answer: {error!r}", file=sys.stderr)
            self.told["other"] += 1
            self._free.put_nowait(None)

    async def _answered(self, connection: Connection, request: bytes) -> None:
        reader, writer = connection
        writer.write(request)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except ConnectionResetError as error:
            raise _Ended from error
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise _Ended from error
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        answer = head + await reader.readexactly(length)
        self.told[said := meaning(answer)] += 1
        if said == "other":
            print(f"answered {answer!r}", file=sys.stderr)
        self._free.put_nowait(connection)

    async def _tell(self) -> None:
        while True:
            print(self, flush=True)
            await asyncio.sleep(_TOLD_EVERY_S)

    def __str__(self) -> str:
        return " ".join(str(self.told[word]) for word in ("sent", "accepted", "refused", "other"))


def meaning(answer: bytes) -> str:
    """Return what an answer says of a push: accepted, refused (503), or other."""
    status = answer[9:12]
    if status == b"503":
        return "refused"
    return "accepted" if status == b"201" or (status == b"202" and b'code="1001"' in answer) else "other"


def main() -> None:
    """Do what the words of the command line say."""
    interface, port, credentials, connections, rate, seconds, first = sys.argv[1:]
    numbers = range(int(first), int(first) + int(float(rate) * float(seconds)) + 1)
    made = [REQUESTS[interface](number, credentials) for number in numbers]
    print("begins", flush=True)

    async def flood() -> None:
        await Flood(int(port), int(connections)).run(made, float(rate), float(seconds))

    asyncio.run(flood())


if __name__ == "__main__":
    main()
