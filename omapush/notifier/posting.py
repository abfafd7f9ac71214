"""POST to initiators, at addresses that were judged and no others; nothing is followed."""

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
"A connection without an exchange for so long is closed: many servers do it after 5."
_PORTS: Final = {"http": 80, "https": 443}


class Posted(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    body: bytes
    "As far as it was read: one byte more than wanted when there was more."
    retry_after: str = ""
    "As the header of that name says."


class Broken(Exception):
    """No connection, none that TLS trusts, or no whole answer; or a URL or header that nobody can send."""


class _JudgedOnly(AbstractResolver):
    """Gives connections the address that was judged, and no other."""

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
        """Nothing is kept here."""


class Poster:
    """The connections of one event loop; to be entered and left there."""

    def __init__(self, judged: Judged, largest: int) -> None:
        """`largest`: bytes wanted of an answer."""
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
