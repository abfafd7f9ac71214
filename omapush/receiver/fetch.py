"""One content fetched by HTTP into a file: never more than it may be, going on where it was interrupted."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

import httpx

from omapush import clock
from omapush.errors import PushError, shortened
from omapush.receiver.spool import Spool

# Content-Range of one range                              RFC 9110 14.4
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)")
_NOT_NOW: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"Answers after which the same request may do better."
_LONGEST_PAUSE_S: Final = 60.0


class NotFetched(PushError):
    """The content cannot be had."""


class _Interrupted(Exception):
    """What was asked for did not come to its end; it may go on."""

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s
        "What the server asks for, at least."


@dataclass
class _Content:
    """What the server said of the content, by which it knows whether it is the same later on."""

    etag: str = ""


class Wanted(NamedTuple):
    """What is fetched, and the bounds of it."""

    url: str
    expires_ms: int
    size: int | None
    "None: not told."
    sha1: bytes
    "Empty: not told."
    largest_bytes: int


class Pace(NamedTuple):
    """How a device fetches."""

    tries: int
    "In all that bring nothing new; one that brings octets counts anew."
    pause_s: float
    "Before the second one; doubles."
    stalled_s: float
    "A connection on which nothing comes for so long has failed."


@lru_cache(maxsize=1)
def system_tls() -> ssl.SSLContext:
    """Return what connections are checked with where a device has no CAs of its own; one for all of them."""
    return httpx.create_ssl_context(trust_env=False)


class Fetcher:
    """
    Fetches for one device; redirections are not followed: they would lead past the list of hosts.

    No connection stays open after its answer: links are rare, and nobody would be there to close it.
    """

    def __init__(self, pace: Pace, tls: ssl.SSLContext | None) -> None:
        self._pace = pace
        self._client = httpx.AsyncClient(
            verify=tls or system_tls(),
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=httpx.Timeout(pace.stalled_s),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def fetch(self, wanted: Wanted, spool: Spool) -> None:
        """
        Fill the spool with the content, checked against size and hash.

        Raises:
            NotFetched: it is not there, not what was promised, or too large; or the link has run out.
            OSError: no room for it.
        """
        pause_s, left = self._pace.pause_s, self._pace.tries
        content = _Content()
        while not (spool.prefix and spool.prefix == wanted.size):
            had = spool.prefix
            try:
                await self._some(wanted, spool, content)
                break
            except (_Interrupted, httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                grown = spool.prefix > had
                left, pause_s = (self._pace.tries - 1, self._pace.pause_s) if grown else (left - 1, pause_s)
                problem = str(error) or type(error).__name__
                wait_s = max(pause_s, getattr(error, "wait_s", 0.0))
                if left <= 0 or clock.now_ms() + wait_s * 1000 >= wanted.expires_ms:
                    raise NotFetched(shortened(problem, 200)) from None
                await asyncio.sleep(wait_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._check(wanted, spool)

    async def _some(self, wanted: Wanted, spool: Spool, content: _Content) -> None:
        """Fetch from where the spool ends, of the same content as before."""
        headers = {"Accept-Encoding": "identity"}
        if spool.prefix:
            headers["Range"] = f"bytes={spool.prefix}-"
            headers |= {"If-Range": content.etag} if content.etag else {}
        async with self._client.stream("GET", wanted.url, headers=headers) as response:
            self._place(response, spool)
            etag = response.headers.get("etag", "")
            content.etag = "" if etag.startswith("W/") else etag
            most = wanted.largest_bytes if wanted.size is None else wanted.size
            async for piece in response.aiter_raw():
                if spool.prefix + len(piece) > most:
                    raise NotFetched(f"more than {most} bytes come")
                spool.write(spool.prefix, piece)
        if wanted.size is not None and spool.prefix < wanted.size:
            raise _Interrupted(f"{spool.prefix} bytes came, the link says {wanted.size}")

    @staticmethod
    def _place(response: httpx.Response, spool: Spool) -> None:
        """Make the spool end where the answer begins."""
        status = response.status_code
        if status in _NOT_NOW:
            raise _Interrupted(f"HTTP {status}", _retry_after_s(response))
        if status not in (200, 206):
            raise NotFetched(f"HTTP {status}")
        if status == 200:
            if spool.prefix:
                spool.start_over()
            return
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found[1]) != spool.prefix:
            raise NotFetched("the server sends another range than was asked for")

    @staticmethod
    def _check(wanted: Wanted, spool: Spool) -> None:
        if wanted.sha1 and spool.sha1() != wanted.sha1:
            raise NotFetched("its hash is not the one of the link")


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE_S)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, min(until - clock.now_ms() / 1000, _LONGEST_PAUSE_S))
