"""Content comes in order, in pieces of the store, and not before it is wanted."""

import asyncio
import os

import pytest

from omapush.errors import StoreUnavailable
from omapush.msrp_agent.content import LONG_READ, Content, ContentAway
from omapush.store.contents import PIECE

WHOLE = os.urandom(3 * LONG_READ + 12_345)


class Store:
    """Content in memory; `fails`: how often it is away before it answers."""

    def __init__(self, content: bytes | None = WHOLE, fails: int = 0) -> None:
        self.content = content
        self.fails = fails
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, length: int) -> bytes | None:
        self.asked.append((start, length))
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")
        return None if self.content is None else self.content[start : start + length]


async def all_of(content: Content, size: int) -> list[bytes]:
    found = []
    while piece := await content.next(size):
        found.append(piece)
    return found


@pytest.mark.parametrize("size", [10_000, PIECE, LONG_READ])
@pytest.mark.parametrize(
    ("start", "length"), [(0, len(WHOLE)), (1, 1), (PIECE - 1, 2), (300_000, 2_000_000), (7, 0)]
)
def test_the_octets_of_a_part_come_in_their_order(size: int, start: int, length: int) -> None:
    pieces = asyncio.run(all_of(Content(Store().read, start, length, 1), size))

    assert b"".join(pieces) == WHOLE[start : start + length]
    assert all(len(piece) <= size for piece in pieces)


def test_the_store_is_asked_for_whole_pieces_whatever_is_sent() -> None:
    store = Store()
    asyncio.run(all_of(Content(store.read, 0, len(WHOLE), 1), 10_000))

    assert all(start % PIECE == 0 and length <= PIECE for start, length in store.asked)
    assert len(store.asked) == len({start for start, _ in store.asked})


def test_no_more_than_one_read_is_ahead_of_what_is_sent() -> None:
    store = Store()

    async def first() -> int:
        content = Content(store.read, 0, len(WHOLE), 1)
        await content.next(LONG_READ)
        await asyncio.sleep(0)
        content.close()
        return sum(length for _, length in store.asked)

    assert asyncio.run(first()) <= 2 * LONG_READ


@pytest.mark.parametrize("content", [None, b"", WHOLE[:-1]], ids=["erased", "empty", "short"])
def test_content_that_is_not_there_is_an_error(content: bytes | None) -> None:
    with pytest.raises(ContentAway, match="not there any more"):
        asyncio.run(all_of(Content(Store(content).read, 0, len(WHOLE), 1), PIECE))


def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    pieces = asyncio.run(all_of(Content(Store(WHOLE[:100], fails=1).read, 0, 100, 5), PIECE))

    assert b"".join(pieces) == WHOLE[:100]


def test_a_store_that_stays_away_is_an_error() -> None:
    with pytest.raises(ContentAway, match="the store is away"):
        asyncio.run(all_of(Content(Store(fails=99).read, 0, 100, 0), PIECE))
