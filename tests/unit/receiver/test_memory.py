"""What is known after a restart: pushes that were taken are not shown twice."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush.errors import BadConfiguration
from omapush.receiver import FileMemory, Links, Push, Refused
from tests.fakes.content_host import ContentHost
from tests.harness.markdown import ROOT
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import registered, request
from tests.unit.receiver.session_bench import CONTENT, begun, bench
from tests.unit.receiver.test_links import INNER, link_type

SAME_CALL = {"Call-ID": "c1", "CSeq": "7 MESSAGE", "From": "<sip:psa@home1.example>;tag=t"}
NAMES = [f"{number:032x}" for number in range(100)]


def add(memory: FileMemory, *names: str) -> None:
    asyncio.run(memory.add(names))


def known(memory: FileMemory) -> list[str]:
    async def one_by_one() -> list[str]:
        return [name for name in NAMES if await memory.knows([name])]

    return asyncio.run(one_by_one())


# ---- the file ----------------------------------------------------------------------------------------------


def test_what_was_added_is_known_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    with FileMemory(file) as memory:
        add(memory, *NAMES[:2])
        add(memory, NAMES[2])
    with FileMemory(file, sync=False) as memory:
        assert known(memory) == NAMES[:3]
        assert asyncio.run(memory.knows(["f" * 32, NAMES[1]]))
        assert not asyncio.run(memory.knows(["f" * 32]))
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_newest_names_count_and_the_file_stays_small(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    with FileMemory(file, most=10) as memory:
        for name in NAMES:
            add(memory, name)
            assert file.stat().st_size <= 33 * 20
        assert known(memory) == NAMES[-10:]
    with FileMemory(file, most=10) as memory:
        assert known(memory) == NAMES[-10:]
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_ends_anywhere_is_read_up_to_its_last_whole_name(tmp_path: Path) -> None:
    whole = "".join(f"{name}\n" for name in NAMES[:3]).encode()
    for end in range(len(whole) + 1):
        file = tmp_path / f"taken{end}"
        file.write_bytes(whole[:end])
        with FileMemory(file, sync=False) as memory:
            assert known(memory) == NAMES[: end // 33]
            add(memory, NAMES[50])
        with FileMemory(file) as memory:
            assert known(memory) == [*NAMES[: end // 33], NAMES[50]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(junk=st.binary(max_size=200))
def test_a_file_of_anything_is_taken_and_mended(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "taken"
    file.write_bytes(junk + b"\n" + NAMES[7].encode() + b"\n")
    with FileMemory(file) as memory:
        assert NAMES[7] in known(memory)
        add(memory, NAMES[8])
    with FileMemory(file) as memory:
        assert {NAMES[7], NAMES[8]} <= set(known(memory))


def test_a_file_serves_one_process_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    with FileMemory(file, most=1) as memory:
        for name in NAMES[:5]:  # the file has been replaced meanwhile
            add(memory, name)
        with pytest.raises(BadConfiguration, match="another process uses it"):
            FileMemory(file)
    FileMemory(file).close()


def test_a_place_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"memory: .*/missing/taken: No such file"):
        FileMemory(tmp_path / "missing" / "taken")
    with pytest.raises(BadConfiguration, match="most: at least one"):
        FileMemory(tmp_path / "taken", most=0)


WRITER = """
import asyncio, sys
from pathlib import Path
from omapush.receiver import FileMemory

async def main() -> None:
    memory = FileMemory(Path(sys.argv[1]), most=7, sync=False)
    for number in range(10**9):
        await memory.add([f"{number:032x}"])
        print(number, flush=True)

asyncio.run(main())
"""


def test_killed_at_any_moment_it_knows_what_it_had_accepted(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    for lines in (1, 30, 200):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, file], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}
        )
        assert writer.stdout is not None
        for _ in range(lines):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        last = int((writer.stdout.read().split() or [b"0"])[-1]) or lines - 1
        writer.wait(10)
        writer.stdout.close()
        with FileMemory(file, most=7) as memory:
            newest = [f"{number:032x}" for number in range(max(0, last - 5), last + 1)]
            assert all(asyncio.run(memory.knows([name])) for name in newest), (lines, last)


def test_a_disk_that_is_full_is_told_and_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "taken"
    with FileMemory(file) as memory:
        add(memory, NAMES[0])
        write = memory_write(monkeypatch, octets=10)
        with pytest.raises(OSError, match="no room"):
            add(memory, NAMES[1])
        assert write == [33]
        monkeypatch.undo()
        add(memory, NAMES[2])
    assert file.read_text().split() == [NAMES[0], NAMES[2]]


def memory_write(monkeypatch: pytest.MonkeyPatch, *, octets: int) -> list[int]:
    """Let only so many octets of each write come through; what was wanted is in the list."""
    wanted: list[int] = []
    original = os.write

    def short(file: int, data: bytes) -> int:
        wanted.append(len(data))
        return original(file, data[:octets])

    monkeypatch.setattr(os, "write", short)
    return wanted


# ---- the device --------------------------------------------------------------------------------------------


def pushed(
    peer: SipPeer, device: ReceiverThread, push_id: str, headers: Mapping[str, str] | None = None
) -> int:
    named = {"X-Push-Id": push_id, **(headers or {})}
    body = INNER if "Content-Type" in named else b"x"
    return peer.ask(request(peer, "MESSAGE", named, body), device.receiver.address).status


def test_a_push_that_comes_again_after_a_restart_is_answered_and_not_shown(tmp_path: Path) -> None:
    with FileMemory(tmp_path / "taken") as memory:
        with registered(memory=memory) as (peer, device):
            assert pushed(peer, device, "p1") == pushed(peer, device, "of another name", SAME_CALL) == 200
        with registered(memory=memory) as (peer, device):
            assert pushed(peer, device, "p1") == 200
            assert pushed(peer, device, "of a third name", SAME_CALL) == 200
            assert device.pushes == []
            assert device.receiver.delivery.duplicates == 2
            assert pushed(peer, device, "p2") == 200
            assert len(device.pushes) == 1
        with registered(memory=memory, uri="sip:bob@home1.example") as (peer, device):
            assert pushed(peer, device, "p1") == 200
            assert len(device.pushes) == 1  # another user's


def test_a_push_that_was_refused_is_shown_after_a_restart(tmp_path: Path) -> None:
    def refuse(_push: Push) -> None:
        raise Refused

    with FileMemory(tmp_path / "taken") as memory:
        with registered(memory=memory) as (peer, device):
            device.decide = refuse
            assert pushed(peer, device, "p1") == 603
        with registered(memory=memory) as (peer, device):
            assert pushed(peer, device, "p1") == 200
            assert len(device.pushes) == 1


def test_without_a_memory_every_push_is_new_after_a_restart() -> None:
    for _ in range(2):
        with registered() as (peer, device):
            assert pushed(peer, device, "p1") == 200
            assert len(device.pushes) == 1


def test_a_file_that_was_taken_in_a_session_is_reported_and_not_shown_again(tmp_path: Path) -> None:
    with FileMemory(tmp_path / "taken") as memory:
        for expected in (1, 0):
            with bench(memory=memory) as on:
                file = begun(on)[1]
                file.session.send(CONTENT, "image/png", message_id="the.message")
                assert file.session.wait_for_report().header("Status") == "000 200 OK"
                assert len(on.device.pushes) == expected


def test_a_link_counts_as_taken_when_its_content_is(tmp_path: Path) -> None:
    links = Links(domains=("127.0.0.1",), pause_s=0.01, tries=1)
    with FileMemory(tmp_path / "taken") as memory, ContentHost(CONTENT) as host:
        with registered(memory=memory, links=links) as (peer, device):
            wrong = {"Content-Type": link_type(host.url, b"something else")}
            right = {"Content-Type": link_type(host.url, CONTENT)}
            assert pushed(peer, device, "p1", wrong) == 200
            device.wait_for("fetch_failed")
            assert pushed(peer, device, "p1", right) == 200
            device.wait_for("fetched")
            assert len(device.pushes) == 1
        with registered(memory=memory, links=links) as (peer, device):
            assert pushed(peer, device, "p1", right) == 200
            assert device.receiver.delivery.duplicates == 1
            assert device.told("link") == []


class Database:
    """Pushes and their names in one transaction, as a program of one's own would have them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS pushes (content BLOB)")
            database.execute("CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file)) as database, database:
            yield database

    def store(self, push: Push) -> None:
        with self._open() as database:
            database.execute("INSERT INTO pushes VALUES (?)", (push.read(),))
            database.executemany("INSERT INTO names VALUES (?)", [(name,) for name in push.names])

    def contents(self) -> list[bytes]:
        with self._open() as database:
            return [content for (content,) in database.execute("SELECT content FROM pushes")]

    async def knows(self, names: Sequence[str]) -> bool:
        with self._open() as database:
            marks = ",".join("?" * len(names))
            found = database.execute(f"SELECT 1 FROM names WHERE name IN ({marks})", names)
            return found.fetchone() is not None

    async def add(self, names: Sequence[str]) -> None:
        """They are there since `store`."""


def test_a_database_that_keeps_the_names_with_the_push_has_it_once_whenever_the_device_dies(
    tmp_path: Path,
) -> None:
    database = Database(tmp_path / "pushes.db")
    with registered(memory=database) as (peer, device):

        def store_and_die(push: Push) -> None:
            database.store(push)
            raise SystemError("killed before the answer")

        device.decide = store_and_die
        assert pushed(peer, device, "p1") == 500
    with registered(memory=database) as (peer, device):
        device.decide = database.store
        assert pushed(peer, device, "p1") == 200
        assert device.receiver.delivery.duplicates == 1
        assert pushed(peer, device, "p2") == 200
    assert database.contents() == [b"x", b"x"]
    with bench(memory=database) as on:
        on.device.decide = database.store
        for _ in range(2):
            file = begun(on)[1]
            file.session.send(CONTENT, "image/png", message_id="the.message")
            assert file.session.wait_for_report().header("Status") == "000 200 OK"
    assert database.contents() == [b"x", b"x", CONTENT]


def test_without_a_memory_a_push_has_no_names() -> None:
    with registered() as (peer, device):
        assert pushed(peer, device, "p1") == 200
        assert device.pushes[0].names == ()


class BrokenMemory:
    """The database is away."""

    async def knows(self, names: Sequence[str]) -> bool:
        raise ConnectionError

    async def add(self, names: Sequence[str]) -> None:
        raise ConnectionError


def test_a_memory_that_fails_keeps_no_push_from_its_application() -> None:
    with registered(memory=BrokenMemory()) as (peer, device):
        assert pushed(peer, device, "p1") == 200
        assert pushed(peer, device, "p1") == 200
        wait_until(lambda: len(device.pushes) == 1, 5, "the push, once")
