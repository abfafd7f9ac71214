"""
Fetches the UAProf documents that devices name (PROP-CAP-3, docs/security.md).

The URL comes from outside, so the target is checked after the name was resolved, the connection goes to
the very address that was checked, and time, size and redirections are bounded.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urljoin

import httpx

from omapush import clock, log
from omapush.config import Capabilities, Config
from omapush.errors import PeerIsWrong, PushError, shortened
from omapush.notifier import reachable
from omapush.protocol import uaprof
from omapush.push import profile_document
from omapush.push.profile_document import Profile
from omapush.push.public_address import is_public
from omapush.store import profiles
from omapush.store.client import Store

MOST_REDIRECTS: Final = 3
MOST_AT_ONCE: Final = 4
_IDLE_S: Final = 0.2
_REST_S: Final = 1.0
_LEASE_MARGIN_MS: Final = 5_000
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class NotFetched(PushError):
    """A document that cannot be had: not allowed, not there, too large or too slow."""


class ProfileFetcher:
    """Fetches what is queued, a few at a time and each URL once among all nodes."""

    def __init__(self, config: Config, store: Store, client: httpx.AsyncClient) -> None:
        self._settings: Capabilities = config.capabilities
        self._allow = (lambda _: True) if config.capabilities.allow_private else is_public
        self._store = store
        self._client = client

    async def run(self) -> None:
        """Work for ever; Redis being away only makes it wait."""
        while True:
            try:
                found = await self.fetch_due()
                await asyncio.sleep(0 if found else _IDLE_S)
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
                await asyncio.sleep(_REST_S)

    async def fetch_due(self) -> int:
        """Fetch up to MOST_AT_ONCE documents that are due; returns how many were."""
        lease_ms = int(self._settings.fetch_timeout_s * 1000) + _LEASE_MARGIN_MS
        urls = await asyncio.to_thread(
            profiles.borrow, self._store, clock.now_ms(), lease_ms=lease_ms, most=MOST_AT_ONCE
        )
        await asyncio.gather(*(self._settle(url) for url in urls))
        return len(urls)

    async def _settle(self, url: str) -> None:
        old = await asyncio.to_thread(profiles.read, self._store, url)
        profile = await self._profile(url, old)
        now_ms = clock.now_ms()
        if profile.failures:
            log.get().warning(
                "uaprof_not_fetched", url=shortened(url), problem=profile.problem, failures=profile.failures
            )
        kept_s = self._settings.profile_s
        await asyncio.to_thread(profiles.settle, self._store, profile, now_ms, kept_s=kept_s)

    async def _profile(self, url: str, old: Profile | None) -> Profile:
        try:
            document = await self._document(url)
            characteristics = uaprof.read(document)
        except (NotFetched, PeerIsWrong) as error:
            return profile_document.failed(old, url, str(error), clock.now_ms())
        return profile_document.fetched(url, document, characteristics, clock.now_ms())

    async def _document(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._settings.fetch_timeout_s):
                for _ in range(MOST_REDIRECTS + 1):
                    found = await self._get(url)
                    if isinstance(found, bytes):
                        return found
                    url = found
        except TimeoutError:
            raise NotFetched(f"not there within {self._settings.fetch_timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise NotFetched(f"{type(error).__name__}: {shortened(str(error))}") from None
        raise NotFetched(f"redirected more than {MOST_REDIRECTS} times")

    async def _get(self, url: str) -> bytes | str:
        """Return the document, or where it says to look instead."""
        target = httpx.URL(url)
        if target.scheme not in ("http", "https") or not target.host or target.userinfo:
            raise NotFetched("not a plain http or https URL")
        try:
            address = await reachable.address_of(target, self._allow)
        except reachable.NotReachable as error:
            raise NotFetched(f"{error}, and capabilities.allow_private is false") from None
        request = self._client.build_request(
            "GET",
            target.copy_with(host=address),
            headers={"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": target.host},
        )
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return urljoin(url, response.headers["location"])
            return await self._body(response)
        finally:
            await response.aclose()

    async def _body(self, response: httpx.Response) -> bytes:
        if response.status_code != 200:
            raise NotFetched(f"HTTP {response.status_code}")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise NotFetched("compressed, although identity was asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._settings.profile_bytes:
                raise NotFetched(f"larger than {self._settings.profile_bytes} bytes")
        return bytes(body)
