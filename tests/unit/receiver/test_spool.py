"""Contents on their way into files: any order, the hash, what is kept of an interrupted one."""

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.receiver.spool import Shelf, Spool

CONTENT = bytes(range(256)) * 4


@contextmanager
def shelf(most_partial: int = 4) -> Iterator[tuple[Shelf, Path]]:
    with tempfile.TemporaryDirectory() as name:
        yield Shelf(Path(name), most_partial=most_partial), Path(name)


@given(st.lists(st.integers(1, len(CONTENT) - 1), unique=True, max_size=12), st.randoms(), st.booleans())
def test_pieces_in_any_order_give_the_content_and_its_hash(
    cuts: list[int], order: object, twice: bool
) -> None:
    edges = [0, *sorted(cuts), len(CONTENT)]
    pieces = list(itertools.pairwise(edges))
    order.shuffle(pieces)  # type: ignore[attr-defined]
    with shelf() as (own, _):
        spool = own.open("key")
        for number, (start, end) in enumerate(pieces):
            assert not spool.has_all(len(CONTENT))
            if twice:
                spool.write(start, bytes(end - start))  # wrong octets, which the next ones replace
            spool.write(start, CONTENT[start:end])
            assert spool.prefix <= sum(stop - begin for begin, stop in pieces[: number + 1])
        assert spool.has_all(len(CONTENT))
        assert not spool.has_all(len(CONTENT) - 1)
        assert spool.sha1() == hashlib.sha1(CONTENT).digest()
        spool.take(own.place("name.bin"))


@given(st.integers(0, len(CONTENT)), st.integers(0, 50))
def test_what_is_kept_is_what_came_without_a_gap(prefix: int, gap: int) -> None:
    with shelf() as (own, _):
        first = own.open("key")
        first.write(0, CONTENT[:prefix])
        first.write(prefix + gap + 1, b"beyond a gap")
        first.keep()

        again = own.open("key")
        assert again.prefix == prefix
        again.write(prefix, CONTENT[prefix:])
        assert again.has_all(len(CONTENT))
        assert again.sha1() == hashlib.sha1(CONTENT).digest()


def test_the_same_file_twice_at_a_time_is_two_files() -> None:
    with shelf() as (own, folder):
        one, other = own.open("key"), own.open("key")
        assert one.path != other.path
        one.write(0, b"one")
        other.write(0, b"other")
        assert one.sha1() == hashlib.sha1(b"one").digest()
        other.keep()  # nobody finds it again
        one.keep()
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["key.part"]


def test_what_a_crash_left_without_a_name_is_removed_and_what_is_in_use_is_not() -> None:
    with shelf() as (own, folder):
        used = own.open()
        (folder / "partial" / "left.new").write_bytes(b"x")
        Shelf(folder, most_partial=4)
        assert list(folder.rglob("*.new")) == [used.path]


def test_the_oldest_interrupted_files_go_first_but_none_that_is_in_use() -> None:
    with shelf(most_partial=1) as (own, folder):
        for number, name in enumerate(("oldest", "middle", "newest")):
            spool = own.open(name)
            spool.write(0, b"x")
            spool.keep()
            os.utime(spool.path, (number, number))
        used = own.open("oldest")
        own.tidy()
        assert sorted(path.stem for path in folder.rglob("*.part")) == ["newest", "oldest"]
        used.drop()


def test_starting_over_forgets_all() -> None:
    with shelf() as (own, _):
        spool = own.open("key")
        spool.write(0, CONTENT)
        spool.start_over()
        assert (spool.prefix, spool.has_all(0)) == (0, True)
        spool.write(0, b"new")
        assert spool.sha1() == hashlib.sha1(b"new").digest()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError):
        Shelf(tmp_path / "file", most_partial=1)


def test_a_spool_needs_a_name_of_its_own(tmp_path: Path) -> None:
    Spool(tmp_path / "a")
    with pytest.raises(FileExistsError):
        Spool(tmp_path / "a")
