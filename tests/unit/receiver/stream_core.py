"""A registrar on a TCP or TLS port that keeps its connections, for tests of the receiver's transports."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from omapush.protocol.sip_wire import StreamReader
from tests.fakes.sip_text import SipText, reply, write
from tests.unit.receiver.core import ALICE, PSA, grant


class StreamCore:
    """What came over all connections."""

    def __init__(self) -> None:
        self.requests: list[SipText] = []
        self.responses: asyncio.Queue[SipText] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.pings = 0
        self.answers_pings = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        messages = StreamReader()
        while data := await reader.read(7):  # small pieces: framing has to work
            pings = messages.pings
            for raw in messages.feed(data):
                message = SipText.parse(raw)
                if not message.is_request:
                    await self.responses.put(message)
                    continue
                self.requests.append(message)
                says = grant(message)
                assert says
                writer.write(reply(message, says.code, says.phrase, says.headers.items(), "core"))
            self.pings += messages.pings - pings
            if self.answers_pings:
                writer.write(b"\r\n" * (messages.pings - pings))

    async def response(self, deadline_s: float = 5.0) -> SipText:
        """The next response of the device."""
        async with asyncio.timeout(deadline_s):
            return await self.responses.get()


@asynccontextmanager
async def core(context: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[tuple[StreamCore, int]]:
    made = StreamCore()
    server = await asyncio.start_server(made.serve, "127.0.0.1", port, ssl=context)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in made.writers:
            writer.close()


async def until(predicate: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Return once it holds."""
    async with asyncio.timeout(deadline_s):
        while not predicate():
            await asyncio.sleep(0.005)


def message(number: int, transport: str, body: bytes = b"hello", method: str = "MESSAGE") -> bytes:
    """A request over a connection."""
    return write(
        f"{method} {ALICE} SIP/2.0",
        [
            ("Via", f"SIP/2.0/{transport} 127.0.0.1:9;branch=z9hG4bKs{number}"),
            ("From", f"<{PSA}>;tag=a"),
            ("To", f"<{ALICE}>"),
            ("Call-ID", f"s{number}"),
            ("CSeq", f"1 {method}"),
            ("P-Asserted-Identity", f"<{PSA}>"),
            ("Accept-Contact", '*;+g.oma.pusheventapp="mms.ua"'),
            ("Content-Type", "text/plain"),
        ],
        body,
    )
