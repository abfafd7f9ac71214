"""What moves: one look a second for all who watch, and server-sent events with the pieces that changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from omapush import clock
from omapush.config import Config
from omapush.errors import Overloaded, PushError
from omapush.pap_http.console import history, now_view
from omapush.pap_http.console.history import History, Sample
from omapush.pap_http.console.pages import Pages
from omapush.pap_http.console.system import System, look
from omapush.store import outbox, pulse
from omapush.store.client import Store

_EVERY_S: Final = 1.0
_LOOK_AT_PARTS_EVERY: Final = 3
"Seconds between two looks at the parts of the system, while somebody watches."
_ASK_EVERY_S: Final = 15.0
"How long who has logged out, or whose log-in has run out, is shown more."
MOST_WATCHERS: Final = 100


class Live:
    """One for the whole process: one round trip a second, and some more for all who watch together."""

    def __init__(
        self,
        config: Config,
        store: Store,
        pages: Pages,
        depth: Callable[[], outbox.Depth],
        refused: Callable[[], float],
    ) -> None:
        """`refused`: how many submissions this api has refused since its start."""
        self._config = config
        self._store = store
        self._pages = pages
        self._depth = depth
        self._refused = refused
        self._told_refused = 0
        "How many of them all others know of."
        self._history = History()
        self._watchers = 0
        self._pieces: dict[str, tuple[int, str]] = {}
        "Each piece of the page with the number of its last change."
        self._changes = 0
        self._changed = asyncio.Condition()
        self._seconds = 0
        self._recent_at = (-1.0, -1.0, -1.0)
        "What was counted when the newest pushes were read last."
        self.system = System((), ())

    def take(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config

    async def run(self) -> None:
        """Keep looking, for as long as the api runs."""
        due = clock.monotonic()
        while True:
            await self._second()
            due = max(due + _EVERY_S, clock.monotonic())
            await asyncio.sleep(due - clock.monotonic())

    async def _second(self) -> None:
        try:
            refused = int(self._refused())
            read = await asyncio.to_thread(pulse.read, self._store, refused - self._told_refused)
            self._told_refused = refused
            self._history.add(Sample(clock.monotonic(), read, self._depth()))
        except PushError:
            self._history.add(None)
        if self._watchers:
            await self.refresh()

    async def refresh(self) -> None:
        """Make the pieces anew that may have changed, and tell who watches."""
        if self._seconds % _LOOK_AT_PARTS_EVERY == 0 or not self.system.parts:
            self.system = await look(self._config, self._store)
            self._put("parts", self._pages.render("now_parts.html", system=self.system))
            standing = self._pages.render("now_alarms.html", alarms=self.system.alarms, at_ms=clock.now_ms())
            self._put("alarms", standing)
        self._seconds += 1
        self._put("rates", self._pages.render("now_rates.html", view=now_view.rates(self._history)))
        with suppress(PushError):
            await self._refresh_recent()
        async with self._changed:
            self._changed.notify_all()

    async def _refresh_recent(self) -> None:
        """Only when a push was accepted or ended since the last time, anywhere."""
        last = self._history.last
        if last is None:
            return
        counts = (history.accepted(last), history.delivered(last), history.failed(last))
        if counts == self._recent_at and "recent" in self._pieces:
            return
        rows = await asyncio.to_thread(now_view.recent, self._store, list(self._config.initiator))
        self._recent_at = counts
        self._put("recent", self._pages.render("now_recent.html", pushes=rows))

    def _put(self, name: str, html: str) -> None:
        known = self._pieces.get(name)
        if known is None or known[1] != html:
            self._changes += 1
            self._pieces[name] = (self._changes, html)

    async def pieces(self) -> dict[str, str]:
        """Return all pieces as they are now, for a page that is loaded."""
        if not self._watchers or "rates" not in self._pieces:  # nobody kept them fresh
            self._seconds = 0
            await self.refresh()
        return {name: html for name, (_, html) in self._pieces.items()}

    def events(self, is_welcome: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """
        Give server-sent events until the watcher goes away, or `is_welcome` says no.

        Raises:
            Overloaded: too many watch already.
        """
        if self._watchers >= MOST_WATCHERS:
            raise Overloaded("too many watch already", retry_after_s=30)
        return self._events(is_welcome)

    async def _events(self, is_welcome: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        self._watchers += 1
        sent, asked_at = 0, clock.monotonic()
        try:
            yield "retry: 2000\n\n"
            while True:
                if clock.monotonic() - asked_at > _ASK_EVERY_S:
                    asked_at = clock.monotonic()
                    if not await is_welcome():
                        return
                newer = [
                    (number, name, html) for name, (number, html) in self._pieces.items() if number > sent
                ]
                for number, name, html in sorted(newer):
                    sent = number
                    yield f"event: {name}\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
                yield "event: beat\ndata: .\n\n"  # browsers drop an event without data
                async with self._changed:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), 5 * _EVERY_S)
        finally:
            self._watchers -= 1
