"""A whitelist that somebody else keeps: a Push Management Object in a file or at a URL, read by and by."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx

from omapush.errors import MalformedXml, PushError, shortened
from omapush.protocol import push_mo
from omapush.protocol.reginfo_xml import MAX_BYTES
from omapush.receiver.whitelist import Trusted, Whitelist

_URL: Final = ("https://", "http://")
_TIMEOUT_S: Final = 10.0


class PolicyUnavailable(PushError):
    """The document cannot be had, or is none."""


class DevicePolicy:
    """
    The rules of a device as its operator's document has them; who is not in it may not push.

    Redirections are not followed. When it cannot be read again, what was read last holds on.
    """

    def __init__(self, source: str, *, every_s: float = 3_600.0, tls: ssl.SSLContext | None = None) -> None:
        """`source`: URL or path. `tls`: None is the system's trust store."""
        self.source = source
        self.whitelist = Whitelist(closed=True)
        self._every_s = every_s
        self._tls = tls
        self._etag = ""

    def why_not(self, senders: tuple[str, ...], application: str = "", content_type: str = "") -> str:
        """Return why these identities may not do that; empty: they may."""
        return self.whitelist.why_not(senders, application, content_type)

    async def load(self) -> bool:
        """
        Read the document and obey it; False: it is still the same.

        Raises:
            PolicyUnavailable: nobody serves it, it is too large, or no Push Management Object.
        """
        data = await (self._fetched() if self.source.startswith(_URL) else self._read())
        if data is None:
            return False
        try:
            found = whitelist_of(data)
        except MalformedXml as error:
            raise PolicyUnavailable(f"{self.source}: {error}") from None
        changed, self.whitelist = found != self.whitelist, found
        return changed

    async def keep(self, tell: Callable[[str, Mapping[str, object]], object]) -> None:
        """Read it again for ever; `tell` is called with `policy_changed` and `policy_not_read`."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                if await self.load():
                    tell("policy_changed", {"source": self.source, "senders": len(self.whitelist.entries)})
            except PolicyUnavailable as error:
                tell("policy_not_read", {"reason": str(error)})

    async def _read(self) -> bytes:
        try:
            with Path(self.source).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PolicyUnavailable(f"{self.source}: {error.strerror}") from None

    async def _fetched(self) -> bytes | None:
        """Return what the server has; None: what we have already."""
        asked = {"Accept": push_mo.PUSH_MO_TYPE} | ({"If-None-Match": self._etag} if self._etag else {})
        tls = True if self._tls is None else self._tls
        try:
            async with (
                httpx.AsyncClient(verify=tls, timeout=_TIMEOUT_S, trust_env=False) as client,
                client.stream("GET", self.source, headers=asked) as response,
            ):
                if response.status_code == 304:
                    return None
                if response.status_code != 200:
                    raise PolicyUnavailable(f"{self.source}: HTTP {response.status_code}")
                data = b""
                async for piece in response.aiter_bytes():
                    data += piece
                    if len(data) > MAX_BYTES:
                        raise PolicyUnavailable(f"{self.source}: more than {MAX_BYTES} bytes")
                self._etag = response.headers.get("etag", "")
                return data
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            problem = shortened(str(error) or type(error).__name__)
            raise PolicyUnavailable(f"{self.source}: {problem}") from None


def whitelist_of(document: bytes) -> Whitelist:
    """
    Return the rules that a Push Management Object is.

    Raises:
        MalformedXml: it is none.
    """
    entries: list[Trusted] = []
    for sender in push_mo.read(document):
        if not sender.applications:
            entries.append(Trusted(sender.address))
        for one in sender.applications:
            entries.append(Trusted(sender.address, (one.name,) if one.name else (), one.content_types))
    return Whitelist(tuple(entries), closed=True)
