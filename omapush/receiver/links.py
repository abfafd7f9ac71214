"""
Pushes that come as links (RFC 4483): checked, answered, and only then fetched and handed over.

What can be told from the link is told before anything is fetched, as the answer to the request. A fetch that
fails after that has nobody to be reported to: it is counted here, and told to whom embeds the receiver.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from omapush import clock, log
from omapush.errors import PushError
from omapush.protocol import content_coding, external_body
from omapush.protocol.external_body import ExternalBody
from omapush.protocol.file_transfer import safe_file_name
from omapush.protocol.multipart import media_type
from omapush.receiver.agent import Agent
from omapush.receiver.fetch import Fetcher, Pace, Wanted
from omapush.receiver.push import AnswerWith, Push, Reason, Refused
from omapush.receiver.spool import Shelf, Spool

HandOver = Callable[[Push, str], Awaitable[None]]
"Gives a push to the application of that name; raises Refused."
Ended = Callable[[bool], Awaitable[None]]
"Told whether the application has got what the link leads to."
_FILE_NAME: Final = re.compile(r'filename="?([^";]{1,255})', re.IGNORECASE)
_MOST_REASONS: Final = 256


class Links:
    """The links of one device."""

    def __init__(self, agent: Agent, hand_over: HandOver) -> None:
        self._agent = agent
        self._settings = agent.settings.links
        self._hand_over = hand_over
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(self._settings.at_once)
        self._fetcher: Fetcher | None = None
        self._temporary: Path | None = None
        self.fetched = 0
        "Contents that were handed over."
        self.failures: Counter[str] = Counter()
        "By reason: not fetched, not what the link says, or refused by the application."

    @property
    def are_followed(self) -> bool:
        """Links are refused with 415 unless somebody said from where contents may be fetched."""
        return bool(self._settings.domains)

    def read(self, content_type: str, body: bytes) -> ExternalBody | None:
        """
        Return the link that a request brings; None: it brings content.

        Raises:
            MalformedMime: a link that cannot be read. Refused, AnswerWith: one that is not followed.
        """
        if not content_type or media_type(content_type, "Content-Type").essence != external_body.TYPE:
            return None
        if not self.are_followed:
            raise Refused(Reason.TYPE, "links are not followed here")
        link = external_body.read(content_type, body)
        self._check(link)
        return link

    def _check(self, link: ExternalBody) -> None:
        url = urlsplit(link.url)
        scheme = url.scheme.lower()
        if scheme not in self._settings.schemes or not url.hostname or url.username is not None:
            raise AnswerWith(403, f"links by {scheme} are not followed here", phrase="Forbidden")
        if not any(_pattern(one).fullmatch(url.hostname.lower()) for one in self._settings.domains):
            raise AnswerWith(403, f"nothing is fetched from {url.hostname}", phrase="Forbidden")
        if link.size is not None and link.size > self._settings.largest_bytes:
            raise Refused(Reason.TOO_LARGE, f"{link.size} bytes, at most {self._settings.largest_bytes}")
        if link.expires_ms <= clock.now_ms():
            raise Refused(Reason.UNAVAILABLE, "the link has run out")
        if len(self._tasks) >= self._settings.waiting:
            raise Refused(Reason.NO_ROOM, "too many contents are being fetched")

    def follow(self, link: ExternalBody, push: Push, name: str, ended: Ended) -> None:
        """Fetch the content for application `name`, and hand it over; `push` is what the request said."""
        task = asyncio.create_task(self._followed(link, push, name, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop fetching, and forget what was not handed over."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._fetcher is not None:
            await self._fetcher.close()
            self._fetcher = None
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, True)
            self._temporary = None

    # ---- fetching ---------------------------------------------------------------------------------------

    async def _followed(self, link: ExternalBody, push: Push, name: str, ended: Ended) -> None:
        told: dict[str, object] = {"application": push.application, "url": link.url, "bytes": link.size}
        self._agent.tell("link", told)
        try:
            async with self._slots:
                whole = await self._fetched(link, push)
            await self._hand_over(whole, name)
        except (Refused, PushError, OSError) as error:
            self._failed(str(error), told)
            await ended(False)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the others go on
            log.get().exception("receiver_failed", task="fetch")
            self._failed("a defect of the receiver", told)
            await ended(False)
        else:
            await ended(True)
            self.fetched += 1
            self._agent.tell("fetched", {**told, "bytes": whole.size})

    def _failed(self, reason: str, told: dict[str, object]) -> None:
        self.failures[reason[:100]] += 1
        if len(self.failures) > _MOST_REASONS:  # reasons hold what peers wrote
            self.failures = Counter(dict(self.failures.most_common(_MOST_REASONS // 2)))
        self._agent.tell("fetch_failed", {**told, "reason": reason})

    async def _fetched(self, link: ExternalBody, push: Push) -> Push:
        wanted = Wanted(link.url, link.expires_ms, link.size, link.sha1, self._settings.largest_bytes)
        shelf = Shelf(self._folder(), most_partial=0)
        spool = shelf.open()
        try:
            await self._with().fetch(wanted, spool)
            return self._whole(link, push, spool, shelf)
        finally:
            spool.drop()

    def _whole(self, link: ExternalBody, push: Push, spool: Spool, shelf: Shelf) -> Push:
        """The push as if its content had come in the request, or as a file where it is large."""
        written = link.header("Content-Disposition")
        found = _FILE_NAME.search(written)
        whole = replace(
            push,
            content=b"",
            content_type=link.header("Content-Type"),
            headers=(*push.headers, *link.headers),
            content_uri=link.url,
            name=safe_file_name(found[1]) if found else "",
            disposition=written.partition(";")[0].strip().lower(),
        )
        size, coding = spool.prefix, link.header("Content-Encoding")
        if size <= self._settings.in_memory_bytes or coding:
            content = content_coding.decode(
                spool.path.read_bytes(), coding, most_bytes=self._settings.largest_bytes
            )
            return replace(whole, content=content, size=len(content))
        place = shelf.place(whole.name)
        spool.take(place)
        return replace(whole, path=place, size=size)

    def _with(self) -> Fetcher:
        if self._fetcher is None:
            settings = self._settings
            pace = Pace(settings.tries, settings.pause_s, settings.stalled_s)
            self._fetcher = Fetcher(pace, settings.tls)
        return self._fetcher

    def _folder(self) -> Path:
        if self._settings.folder is not None:
            return Path(self._settings.folder)
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="omapush-links-"))
        return self._temporary


@lru_cache(maxsize=256)
def _pattern(domain: str) -> re.Pattern[str]:
    """`*` is every host, `*.home1.example` every host below that domain, anything else one host."""
    if domain == "*":
        return re.compile(".+")
    if domain.startswith("*."):
        return re.compile(r"(?:[^.]+\.)+" + re.escape(domain[2:].lower()))
    return re.compile(re.escape(domain.lower().strip("[]")))
