"""Content comes in order, in pieces of the store, not before it is wanted, and once for many devices."""

import asyncio
import os
import re
from collections.abc import Sequence

import pytest

from omapush.errors import PushError, StoreUnavailable
from omapush.msrp_agent.content import PIECES_AT_ONCE, READS_AHEAD, Content, ContentAway, Library
from omapush.store.contents import PIECE

WHOLE = os.urandom(13 * PIECE + 12_345)
LONG = PIECES_AT_ONCE * PIECE


class Store:
    """Content in memory; `fails`: how often it is away before it answers."""

    def __init__(self, content: bytes | None = WHOLE, fails: int = 0, error: PushError | None = None) -> None:
        self.content = content
        self.fails = fails
        self.error = error or StoreUnavailable("away")
        self.asked: list[int] = []

    async def read(self, ref: str, first: int, count: int) -> Sequence[bytes] | None:
        assert ref == "ref"
        if self.fails:
            self.fails -= 1
            raise self.error
        self.asked.extend(range(first, first + count))
        if self.content is None:
            return None
        whole = [self.content[at : at + PIECE] for at in range(0, len(self.content), PIECE)]
        return whole[first : first + count]

    def library(self, kept: int = 0, patience_s: float = 1.0) -> Library:
        return Library(self.read, kept, patience_s)


async def all_of(content: Content, size: int) -> list[bytes]:
    found = []
    try:
        while pieces := (await content.next(size)).octets:
            assert all(pieces)
            found.append(b"".join(pieces))
    finally:
        content.close()
    return found


def read(library: Library, size: int, start: int = 0, length: int = len(WHOLE)) -> list[bytes]:
    return asyncio.run(all_of(Content(library, "ref", start, length), size))


@pytest.mark.parametrize("size", [10_000, PIECE, PIECE + 1, LONG])
@pytest.mark.parametrize(
    ("start", "length"),
    [(0, len(WHOLE)), (1, 1), (PIECE - 1, 2), (300_000, 2_000_000), (len(WHOLE) - 1, 1), (7, 0)],
)
def test_the_octets_of_a_part_come_in_their_order(size: int, start: int, length: int) -> None:
    found = read(Store().library(), size, start, length)

    assert b"".join(found) == WHOLE[start : start + length]
    assert all(len(piece) <= size for piece in found)


@pytest.mark.parametrize("size", [10_000, 100_000, LONG])
def test_each_piece_is_asked_for_once_whatever_is_sent(size: int) -> None:
    store = Store()
    read(store.library(), size)

    assert store.asked == list(range(14))


@pytest.mark.parametrize(
    ("size", "most"), [(10_000, 1), (PIECE - 1, 2), (LONG, (1 + READS_AHEAD) * PIECES_AT_ONCE)]
)
def test_what_is_read_ahead_of_what_is_sent_is_bounded(size: int, most: int) -> None:
    store = Store()

    async def first() -> None:
        content = Content(store.library(), "ref", 0, len(WHOLE))
        await content.next(size)
        await asyncio.sleep(0.05)
        content.close()

    asyncio.run(first())
    assert len(store.asked) <= most


def test_the_first_octets_are_read_before_they_are_asked_for() -> None:
    store = Store()

    async def begun() -> list[int]:
        content = Content(store.library(), "ref", 0, len(WHOLE))
        content.begin()
        await asyncio.sleep(0.05)
        asked = list(store.asked)
        assert b"".join((await content.next(10)).octets) == WHOLE[:10]
        content.close()
        return asked

    assert asyncio.run(begun()) == [0, 1]


def test_the_next_device_gets_what_was_kept() -> None:
    store = Store()
    library = store.library(kept=len(WHOLE))
    assert b"".join(read(library, LONG)) == b"".join(read(library, 10_000)) == WHOLE

    assert store.asked == list(range(14))


def test_what_is_there_is_sent_and_what_is_not_is_not_waited_for() -> None:
    async def first_lengths() -> list[int]:
        store = Store()
        library = store.library(kept=6 * PIECE)
        before = Content(library, "ref", 0, 6 * PIECE)
        while (await before.next(PIECE)).octets:
            pass
        content = Content(library, "ref", 0, len(WHOLE))
        cut = await content.next(16 * PIECE)
        content.close()
        return [len(octets) for octets in cut.octets]

    assert asyncio.run(first_lengths()) == [PIECE] * 4  # two of the next four would have to be read


def test_a_whole_content_that_is_kept_is_one_cut() -> None:
    store = Store()
    library = store.library(kept=len(WHOLE))
    read(library, LONG)

    assert read(library, 16 * PIECE) == [WHOLE]


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    store = Store()
    library = store.library(kept=3 * PIECE)
    read(library, PIECE, 0, 4 * PIECE)
    read(library, PIECE, PIECE, 3 * PIECE)
    assert store.asked == [0, 1, 2, 3]

    read(library, PIECE, 0, PIECE)
    assert store.asked == [0, 1, 2, 3, 0]


def test_a_piece_in_which_a_transaction_id_could_end_is_told_from_the_others() -> None:
    async def found() -> tuple[list[bool], bytes | bytearray]:
        store = Store()
        library = store.library(kept=LONG)
        end = f"-------{library.transaction()}".encode()
        store.content = WHOLE[: PIECE + 100] + end + WHOLE[PIECE + 100 + len(end) :]
        content = Content(library, "ref", 0, 3 * PIECE)
        cuts = [await content.next(PIECE) for _ in range(3)]
        content.close()
        again = Content(library, "ref", 0, 2 * PIECE)
        cuts.append(await again.next(2 * PIECE))
        again.close()
        return [cut.is_clear for cut in cuts], cuts[1].octets[0]

    clear, octets = asyncio.run(found())
    assert clear == [True, False, True, False]
    assert b"-------" in octets


def test_transaction_ids_are_long_and_never_the_same() -> None:
    library = Store().library()
    made = {library.transaction() for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+]{31}", one) for one in made)


@pytest.mark.parametrize(
    "content", [None, b"", WHOLE[:-1], WHOLE[: 5 * PIECE]], ids=["erased", "empty", "short", "cut"]
)
def test_content_that_is_not_there_is_an_error(content: bytes | None) -> None:
    with pytest.raises(ContentAway, match="not there any more"):
        read(Store(content).library(), LONG)


def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    assert b"".join(read(Store(fails=1).library(patience_s=5), LONG)) == WHOLE


def test_a_store_that_stays_away_is_an_error() -> None:
    with pytest.raises(ContentAway, match="the store is away"):
        read(Store(fails=99).library(patience_s=0), LONG)


def test_content_that_cannot_be_opened_is_an_error() -> None:
    with pytest.raises(ContentAway, match="no key"):
        read(Store(fails=1, error=PushError("no key opens it")).library(), LONG)
