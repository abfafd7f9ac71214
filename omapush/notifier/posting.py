"""POST to initiators, only at addresses that were checked; redirections are not followed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from omapush.notifier.reachable import Judged

_KEPT_S: Final = 4.0
"A connection that is not used for this time is closed: many servers close it after 5 s."
_PORTS: Final = {"http": 80, "https": 443}


class Posted(NamedTuple):
    """The answer."""

    status: int
    content_type: str
    body: bytes
    "The part that was read: one byte more than wanted if there was more."
    retry_after: str = ""
    "The header of that name."


class Broken(Exception):
    """
    There was no connection, TLS did not trust the server, the answer was not complete, or the request cannot
    be sent.
    """


class _JudgedOnly(AbstractResolver):
    """A resolver that returns the address that was checked, and no other."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        address = await self._judged.address_of(host, port)
        version = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = ResolveResult(
            hostname=host, host=address, port=port, family=version, proto=0, flags=socket.AI_NUMERICHOST
        )
        return [found]

    async def close(self) -> None:
        """There is nothing to close."""


class Poster:
    """The connections of one event loop; to be entered and left there."""

    def __init__(self, judged: Judged, largest: int) -> None:
        """`largest`: largest number of bytes to read of an answer."""
        self._judged = judged
        self._largest = largest

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=_JudgedOnly(self._judged),
            use_dns_cache=False,
            ssl=httpx.create_ssl_context(trust_env=False),
            limit=0,
            keepalive_timeout=_KEPT_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # the caller bounds the exchange as a whole
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "omapush", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """
        Return the answer of `url`.

        Raises:
            NotReachable: the host has no address, or one that results may not go to.
            Broken: there is no answer.
        """
        try:
            target = yarl.URL(url)
            if target.scheme not in _PORTS or not target.raw_host:
                raise Broken("not http:// or https:// with a host")
            # A host that is an address is not resolved, so it is judged here.
            await self._judged.address_of(target.raw_host, target.port or _PORTS[target.scheme])
            async with self._session.post(
                target, data=body, headers=headers, allow_redirects=False
            ) as response:
                read = await self._beginning(response.content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        said = response.headers
        return Posted(response.status, said.get("Content-Type", ""), read, said.get("Retry-After", ""))

    async def _beginning(self, content: aiohttp.StreamReader) -> bytes:
        body = bytearray()
        while len(body) <= self._largest and (piece := await content.read(self._largest + 1 - len(body))):
            body += piece
        return bytes(body)
