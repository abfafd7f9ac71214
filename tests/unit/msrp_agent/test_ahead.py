"""What is offered is in memory before it is asked for, as far as there is room, and while it is offered."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from omapush.errors import StoreUnavailable
from omapush.msrp_agent.ahead import Ahead, Part
from omapush.msrp_agent.content import Library
from omapush.store.contents import PIECE

MEGABYTE = 4 * PIECE
CONTENTS = {name: os.urandom(MEGABYTE + 10) for name in ("one", "two", "three")}


class Store:
    """Contents in memory, and what was asked for; `gate`: no answer before it is open."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, ref: str, first: int, count: int) -> Sequence[bytes] | None:
        self.asked.append((ref, first, count))
        await self.gate.wait()
        if ref not in CONTENTS:
            raise StoreUnavailable("away")
        whole = [CONTENTS[ref][at : at + PIECE] for at in range(0, len(CONTENTS[ref]), PIECE)]
        return whole[first : first + count]


def whole(ref: str) -> Part:
    return Part(ref, 0, MEGABYTE + 10)


def run(work: Callable[[Store, Library, Ahead], Awaitable[None]], kept: int = 100 * MEGABYTE) -> None:
    async def carried_out() -> None:
        store = Store()
        library = Library(store.read, kept, 0)
        ahead = Ahead(library)
        await work(store, library, ahead)
        ahead.close()

    asyncio.run(carried_out())


async def is_quiet() -> None:
    """Whatever can go on without waiting for something has."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_contents_are_read_in_the_order_of_their_offers_and_not_again_by_who_sends_them() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        ahead.offered("s1", [whole("one")])
        ahead.offered("s2", [whole("two")])
        await is_quiet()
        assert store.asked == [("one", 0, 4), ("one", 4, 1), ("two", 0, 4), ("two", 4, 1)]
        assert ahead.sessions == {"s1", "s2"}

        ahead.offered("s1", [])
        found = [*await library.pieces("one", 0, 4), *await library.pieces("one", 4, 1)]
        assert b"".join(piece.octets for piece in found) == CONTENTS["one"]
        assert len(store.asked) == 4
        assert ahead.sessions == {"s2"}

    run(work)


def test_a_part_is_read_where_only_that_is_wanted() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        ahead.offered("s1", [Part("one", PIECE + 5, PIECE)])
        await is_quiet()
        assert store.asked == [("one", 1, 2)]

    run(work)


def test_a_content_for_many_is_read_once() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        for session in ("s1", "s2", "s1"):
            ahead.offered(session, [whole("one")])
            await is_quiet()
        assert len(store.asked) == 2
        ahead.offered("s1", ())
        assert ahead.sessions == {"s2"}

    run(work)


def test_no_more_than_half_of_what_is_kept_is_for_offers_and_an_answer_makes_room() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        ahead.offered("s1", [whole("one")])
        ahead.offered("s2", [whole("two")])  # one piece of it still has room
        ahead.offered("s3", [whole("three")])
        await is_quiet()
        assert store.asked == [("one", 0, 4), ("one", 4, 1), ("two", 0, 1)]
        assert ahead.sessions == {"s1", "s2"}

        ahead.offered("s1", [])
        ahead.offered("s3", [whole("three")])
        await is_quiet()
        assert store.asked[3:] == [("three", 0, 4), ("three", 4, 1)]

    run(work, kept=12 * PIECE)


def test_nothing_is_read_where_nothing_is_kept() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        ahead.offered("s1", [whole("one")])
        await is_quiet()
        assert store.asked == []
        assert ahead.sessions == set()

    run(work, kept=0)


def test_what_is_offered_no_more_is_read_no_further() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        store.gate.clear()
        ahead.offered("s1", [whole("one")])
        ahead.offered("s2", [whole("two")])
        ahead.offered("s3", [whole("three")])
        await is_quiet()
        ahead.offered("s1", ())
        ahead.offered("s2", ())
        store.gate.set()
        await is_quiet()
        assert store.asked == [("one", 0, 4), ("three", 0, 4), ("three", 4, 1)]

    run(work)


def test_a_content_that_cannot_be_read_holds_up_no_other() -> None:
    async def work(store: Store, library: Library, ahead: Ahead) -> None:
        ahead.offered("s1", [whole("gone"), whole("one")])
        await is_quiet()
        assert store.asked == [("gone", 0, 4), ("one", 0, 4), ("one", 4, 1)]

    run(work)
