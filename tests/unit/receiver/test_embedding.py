"""What a program that uses the library may do: paths as text, and a function of its own that fails."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from omapush.receiver import FileMemory, Receiver, Sessions
from tests.harness.sip_peer import SipPeer
from tests.unit.receiver.core import ALICE, FAST, grant, requests
from tests.unit.receiver.session_bench import CONTENT, begun, bench, send


@pytest.mark.req("PRA-REG-1")
def test_a_device_whose_listener_fails_stays_registered_and_asks_again() -> None:
    """An exception of `on_event` would have ended the task that refreshes the registration."""

    def fails(_event: str, _fields: Mapping[str, object]) -> None:
        raise TypeError("the program's own mistake")

    async def ask_twice(proxy: str) -> None:
        async with Receiver(ALICE, proxy, {"mms.ua": print}, on_event=fails, timers=FAST) as device:
            await device.refresh()

    with SipPeer(policy=grant) as peer:
        asyncio.run(ask_twice(f"sip:127.0.0.1:{peer.port}"))
        expires = [one.header("Expires") for one in requests(peer, "REGISTER")]

    assert (len(expires), expires[-1]) == (3, "0")


def test_a_memory_may_be_named_by_text(tmp_path: Path) -> None:
    with FileMemory(str(tmp_path / "taken")) as memory:
        asyncio.run(memory.add(["a" * 32]))
        assert asyncio.run(memory.knows(["a" * 32]))


def test_a_folder_for_files_may_be_named_by_text(tmp_path: Path) -> None:
    with bench(sessions=Sessions(folder=str(tmp_path / "files"))) as on:
        _, file = begun(on)
        send(file)
        (push,) = on.device.wait_for_pushes(1)
        assert push.path is not None
        assert push.path.is_relative_to(tmp_path / "files")
        assert push.read() == CONTENT
