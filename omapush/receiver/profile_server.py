"""The device's UAProf document, and a server for it of the size that one document needs (SCR PRA-C-003)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from omapush.protocol import content_coding, uaprof
from omapush.protocol.feature_tags import application_id_of_ari
from omapush.protocol.uaprof import PushCharacteristics

_READ_S: Final = 5.0
_LONGEST_HEAD: Final = 8_192
_MOST_CONNECTIONS: Final = 64


def document(accept: Mapping[str, tuple[str, ...]], largest_bytes: int | None = None) -> bytes:
    """Return the profile of a device with these applications and the content types that each takes."""
    types = tuple(dict.fromkeys(kind for kinds in accept.values() for kind in kinds))
    return uaprof.write(
        PushCharacteristics(
            types=types,
            encodings=tuple(name for name in content_coding.CODINGS if name != "identity"),
            applications=tuple(application_id_of_ari(ari.lower()) for ari in accept),
            largest_bytes=largest_bytes,
        )
    )


class ProfileServer:
    """Answers GET of one path with one document; a context manager."""

    def __init__(self, content: bytes, *, host: str, port: int, path: str = "/profile.rdf") -> None:
        self._content = content
        self._path = path
        self._place = (host, port)
        self._open = 0

    async def __aenter__(self) -> str:
        """Return the document's URL."""
        self._server = await asyncio.start_server(self._serve, *self._place, limit=_LONGEST_HEAD)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{self._path}"

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_READ_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("ascii", "replace")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"")
        if path != self._path:
            return _response("404 Not Found", b"")
        return _response("200 OK", self._content, with_body=method == b"GET")


def _response(status: str, content: bytes, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {uaprof.UAPROF_TYPE}\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (content if with_body else b"")
