"""What watchers of the page Now are sent: pieces that changed, for as long as they may look."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from omapush import config
from omapush.errors import Overloaded, StoreUnavailable
from omapush.pap_http.console import history, live
from omapush.pap_http.console.live import Live
from omapush.pap_http.console.pages import Pages
from omapush.store import pulse
from omapush.store.client import Store
from omapush.store.outbox import Depth
from omapush.store.pulse import Pulse
from omapush.store.totals import Totals


def made() -> Live:
    """One that never looks at a store by itself."""
    nothing = Depth(0, 0, 0, 0, 0)
    return Live(config.parse({}, "x.toml"), cast(Store, None), Pages(), lambda: nothing, lambda: 0.0)


async def always() -> bool:
    return True


async def never() -> bool:
    return False


async def taken(events: AsyncIterator[str], number: int) -> list[str]:
    """The next so many events, the signs of life between them left out."""
    found: list[str] = []
    async for event in events:
        if event.startswith("event:") and not event.startswith("event: beat"):
            found.append(event)
            if len(found) == number:
                break
    return found


def test_a_watcher_gets_all_pieces_and_then_those_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_EVERY_S", 0.01)

    async def watched() -> tuple[list[str], list[str]]:
        shown = made()
        shown._put("rates", "one\ntwo")
        shown._put("parts", "p")
        events = cast(Any, shown.events(always))
        first = await taken(events, 2)
        shown._put("rates", "one\ntwo")  # as it was: nothing to tell
        shown._put("parts", "q")
        return first, await taken(events, 1)

    first, later = asyncio.run(watched())
    assert first == ["event: rates\ndata: one\ndata: two\n\n", "event: parts\ndata: p\n\n"]
    assert later == ["event: parts\ndata: q\n\n"]


def test_every_piece_has_data_for_browsers_drop_an_event_without() -> None:
    shown = made()
    alarms = Pages().render("now_alarms.html", alarms=(), at_ms=0)
    shown._put("alarms", alarms)
    (event,) = asyncio.run(taken(cast(Any, shown.events(always)), 1))

    assert re.search("^data: .*[^ ]", event, re.MULTILINE)


def test_who_may_not_look_any_more_is_shown_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_ASK_EVERY_S", -1)

    async def watched(is_welcome: Callable[[], Awaitable[bool]]) -> list[str]:
        shown = made()
        shown._put("rates", "secret")
        return [event async for event in shown.events(is_welcome)]

    assert not any("secret" in event for event in asyncio.run(watched(never)))


def test_no_more_watch_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_WATCHERS", 1)

    async def two() -> None:
        shown = made()
        first = cast(Any, shown.events(always))
        await anext(first)
        with pytest.raises(Overloaded):
            await anext(cast(Any, shown.events(always)))
        await first.aclose()  # who goes away makes room
        await anext(cast(Any, shown.events(always)))

    asyncio.run(two())


def test_what_was_refused_here_is_told_to_all_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when Redis was away for a second: then with the next look."""
    told: list[int] = []
    answers = iter([True, False, True, True])

    def read(_store: Store, newly: int) -> Pulse:
        if not next(answers):
            raise StoreUnavailable("away")
        told.append(newly)
        return Pulse(Totals(0, {}), 0, 0, 0, 100 + sum(told))

    monkeypatch.setattr(pulse, "read", read)
    refused = iter([2.0, 5.0, 6.0, 6.0])
    nothing = Depth(0, 0, 0, 0, 0)
    shown = Live(
        config.parse({}, "x.toml"), cast(Store, None), Pages(), lambda: nothing, lambda: next(refused)
    )

    async def seconds() -> None:
        for _ in range(4):
            await shown._second()

    asyncio.run(seconds())
    assert told == [2, 4, 0]
    assert shown._history.last is not None
    assert history.refused(shown._history.last) == 106
