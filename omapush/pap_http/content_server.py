"""
`/content/{token}`: the content of a push for the one recipient who has its link (RFC 4483).

Plain ASGI, for a content may be 64 MB and is sent piece by piece as the device takes it. What was given to
the connection is noted at the push: it is the evidence of delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError, StoreUnavailable
from omapush.pap_http.limiter import Limiter
from omapush.pap_http.metrics import ContentMetrics
from omapush.protocol import byte_range
from omapush.push import link, link_outcome
from omapush.push.link import Claim
from omapush.push.values import Event, Push, Result
from omapush.store import contents, fetches, pushes
from omapush.store.client import Store

_BLOCK: Final = 65_536
"Bytes handed to the connection at a time: so much may be noted as given, and be lost."
_GUESSES_A_MINUTE: Final = 30

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]


class Refused(Exception):
    """The request is answered with a status and without content."""

    def __init__(self, status: int, problem: str, headers: Headers = ()) -> None:
        super().__init__(problem)
        self.status = status
        self.headers = headers


class Served(NamedTuple):
    """What a good link leads to."""

    claim: Claim
    push: Push
    result: Result
    etag: str


class ContentServer:
    """An ASGI application of its own, and part of the api."""

    def __init__(self, config: Config, store: Store, metrics: ContentMetrics) -> None:
        self.take(config)
        self._store = store
        self._metrics = metrics
        self._of_guesser = Limiter(_GUESSES_A_MINUTE)
        self._doubted = asyncio.Lock()
        "Held while a link is looked up for an address that tries too many wrong ones."
        self._downloads = 0

    def take(self, config: Config) -> None:
        """Serve as another configuration says from the next request on; the minutes of links begin anew."""
        self._settings = config.content
        self._retention_s = config.delivery.retention_s
        self._of_link = Limiter(config.content.requests_a_minute)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Run as an application by itself."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self.answer(scope, receive, send)

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            status = await self._answer(scope, receive, send)
        except Refused as refusal:
            status = refusal.status
            await _refuse(send, refusal)
        except StoreUnavailable as error:
            status = 503
            log.get().warning("content_not_served", problem=str(error))
            await _refuse(send, Refused(503, "not now", (("Retry-After", str(error.retry_after_s)),)))
        self._metrics.requests.labels(str(status)).inc()

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> int:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "only GET and HEAD", (("Allow", "GET, HEAD"),))
        served = await self._find(scope)
        asked = _headers(scope)
        if byte_range.is_known(asked.get("if-none-match", ""), served.etag):
            await _head(send, 304, (("ETag", served.etag),))
            await send({"type": "http.response.body"})
            return 304
        whole = range(served.push.size)
        try:
            part = byte_range.wanted(
                asked.get("range", ""), asked.get("if-range", ""), served.etag, served.push.size
            )
        except byte_range.NotSatisfiable:
            raise Refused(416, "not that long", (("Content-Range", f"bytes */{len(whole)}"),)) from None
        status, bytes_wanted = (200, whole) if part is None else (206, part)
        headers = _response_headers(served, bytes_wanted, is_part=part is not None)
        if scope["method"] == "HEAD":
            await _head(send, status, headers)
            await send({"type": "http.response.body"})
            return status
        await self._download(served, bytes_wanted, _Peer(scope, receive, send), status, headers)
        return status

    # Which content ---------------------------------------------------------------------------------

    async def _find(self, scope: Any) -> Served:
        """Return what the link leads to; who only guesses learns nothing, and has little looked up."""
        address = scope["client"][0] if scope.get("client") else ""
        token = link.read(scope["path"].rstrip("/").rpartition("/")[2])
        found = None if token is None else await self._looked_up(token.claim, address)
        if token is None or found is None or not link.is_genuine(token, found.secret):
            if not self._of_guesser.takes(address):
                raise Refused(429, "too many wrong links", (("Retry-After", "60"),))
            raise Refused(404, "no such content")
        claim = token.claim
        if not self._of_link.takes(f"{claim.ref}.{claim.recipient}"):
            raise Refused(429, "too many requests for this link", (("Retry-After", "60"),))
        if found.result is None or clock.now_ms() >= claim.until_ms:
            raise Refused(410, "the link has run out")
        if found.is_final and found.result.state != "delivered":
            raise Refused(410, "the push is over")
        described = await asyncio.to_thread(contents.describe, self._store, claim.ref)
        if described is None:
            raise Refused(410, "the content is not there any more")
        return Served(claim, found.push, found.result, f'"{described.sha256.hex()[:32]}"')

    async def _looked_up(self, claim: Claim, address: str) -> fetches.Served | None:
        """One after the other for an address that guesses: many devices may share it, and have good links."""
        if not self._of_guesser.is_used_up(address):
            return await asyncio.to_thread(fetches.served, self._store, claim.ref, claim.recipient)
        async with self._doubted:
            return await asyncio.to_thread(fetches.served, self._store, claim.ref, claim.recipient)

    # The content -----------------------------------------------------------------------------------

    async def _download(
        self, served: Served, wanted: range, peer: _Peer, status: int, headers: Headers
    ) -> None:
        if self._downloads >= self._settings.downloads:
            raise Refused(503, "too many downloads", (("Retry-After", "2"),))
        self._downloads += 1
        self._metrics.downloads.inc()
        given = 0
        try:
            first = await self._read(served, wanted.start, wanted.stop)
            if first is None:
                raise Refused(410, "the content is not there any more")
            await _head(peer.send, status, headers)
            async for size in self._blocks(served, wanted, first, peer):
                given += size
            if given == len(wanted):
                await peer.send({"type": "http.response.body"})
        finally:
            self._downloads -= 1
            self._metrics.downloads.dec()
            peer.close()
            self._metrics.bytes.inc(given)
            if given or not wanted:
                await asyncio.shield(self._note(served, range(wanted.start, wanted.start + given), peer))

    async def _blocks(self, served: Served, wanted: range, first: bytes, peer: _Peer) -> Any:
        """Send what is wanted; gives the size of each block that the connection took."""
        at, piece = wanted.start, first
        while at < wanted.stop:
            for start in range(0, len(piece), _BLOCK):
                block = piece[start : start + _BLOCK]
                async with asyncio.timeout(self._settings.stalled_s):
                    await peer.send({"type": "http.response.body", "body": block, "more_body": True})
                if peer.is_gone:
                    return
                yield len(block)
            at += len(piece)
            if at < wanted.stop:
                more = await self._read(served, at, wanted.stop)
                if not more:  # erased meanwhile: the connection ends before the length that was told
                    raise ConnectionError("the content was erased while it was sent")
                piece = more

    async def _read(self, served: Served, start: int, stop: int) -> bytes | None:
        """The rest of the piece that `start` is in, as far as it is wanted."""
        end = min((start // contents.PIECE + 1) * contents.PIECE, stop)
        return await asyncio.to_thread(contents.read, self._store, served.claim.ref, start, end - start)

    # The evidence ----------------------------------------------------------------------------------

    async def _note(self, served: Served, given: range, peer: _Peer) -> None:
        try:
            await asyncio.to_thread(self._store_fetch, served, given, peer.address)
        except PushError as error:  # the device will have to fetch once more, or the link runs out
            log.get().warning("fetch_not_noted", ref=served.claim.ref, problem=str(error))

    def _store_fetch(self, served: Served, given: range, address: str) -> None:
        """In a thread: into the event log, and into the result when that waits for it."""
        claim, now_ms = served.claim, clock.now_ms()
        said = f"bytes {given.start}-{given.stop - 1} of {served.push.size} to {address}"
        whole = f"all {served.push.size} bytes, the last of them to {address}"
        progress = fetches.note(
            self._store,
            claim.ref,
            claim.recipient,
            given,
            served.push.size,
            event=Event(now_ms, claim.recipient, "fetch", said),
            complete=Event(now_ms, claim.recipient, "fetched", whole),
        )
        if progress != "complete and waited for":
            return
        last = pushes.result_of(self._store, claim.ref, claim.recipient) or served.result
        verdict = link_outcome.fetched()
        result = link_outcome.result(verdict, last, now_ms)
        event = Event(now_ms, claim.recipient, "final", verdict.desc)
        final = pushes.Stored(claim.ref, claim.recipient, result, True, event)
        pushes.store_results(self._store, [final], now_ms=now_ms, retention_s=self._retention_s)
        fetches.close(self._store, [(claim.ref, claim.recipient)])


class _Peer:
    """The other side of one request."""

    def __init__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.address = scope["client"][0] if scope.get("client") else "an unknown address"
        self.send = send
        self._leaving = asyncio.ensure_future(_left(receive))

    @property
    def is_gone(self) -> bool:
        """The connection is closed: what is sent now goes nowhere."""
        return self._leaving.done()

    def close(self) -> None:
        """Look no longer."""
        self._leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _response_headers(served: Served, wanted: range, *, is_part: bool) -> Headers:
    headers = [
        *link.content_headers(served.push),
        ("Content-Length", str(len(wanted))),
        ("ETag", served.etag),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if is_part:
        headers.append(("Content-Range", f"bytes {wanted.start}-{wanted.stop - 1}/{served.push.size}"))
    return tuple(headers)


async def _head(send: Send, status: int, headers: Headers) -> None:
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _refuse(send: Send, refusal: Refused) -> None:
    text = f"{refusal}\n".encode()
    told = (("Content-Type", "text/plain"), ("Content-Length", str(len(text))), ("Cache-Control", "no-store"))
    await _head(send, refusal.status, (*told, *refusal.headers))
    await send({"type": "http.response.body", "body": text})
