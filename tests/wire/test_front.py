"""Two nodes behind one address: any takes anything, one is drained and comes back, one dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from demo import nodes
from omapush.cli.main import app
from tests.fakes.sip_text import SipText
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.sip_peer import SipPeer
from tests.harness.sip_ping import options_status
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import register

_numbers = count(1)


class Behind(NamedTuple):
    """Two nodes, their front, the core."""

    first: Stack
    second: Stack
    address: tuple[str, int]
    core: SipPeer


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder, port = tmp_path_factory.mktemp("front"), free_port()
    front = f"127.0.0.1:{port}"
    settings: Settings = {"sip": {"aliases": [front], "contact": front}}
    with Stack(folder / "first", settings) as first:
        shared: Settings = {
            **settings,
            "redis": {"url": first.config.redis.url},
            "core": {"next_hop": first.config.core.next_hop},
        }
        with Stack(folder / "second", shared, ("sip", "api")) as second, SipPeer(first.core_port) as core:
            places = [f"127.0.0.1:{one.sip[1]}" for one in (first, second)]
            command = nodes.front_command(folder, front, places)
            with Process(command, log=folder / "front.log") as running:
                running.wait_until(lambda: options_status(("127.0.0.1", port)) == 200, 20, "front")
                yield Behind(first, second, ("127.0.0.1", port), core)


def asked(behind: Behind, number: int) -> int:
    raw = register(f"sip:user{number}@home1.example", behind.core)
    return behind.core.ask(raw, behind.address).status


def command(stack: Stack, *words: str) -> str:
    done = CliRunner().invoke(app, ["--config", str(stack.config_file), *words])
    assert done.exit_code == 0, done.output
    return done.output


class Load:
    """The core registers users and a provider pushes to them, at both nodes in turn, until it is stopped."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: set[int] = set()
        self.refs: list[str] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            number = next(_numbers)
            self.statuses.add(asked(self._behind, number))
            self.refs.append(self._behind.first.submit(f"sip:user{number}@home1.example"))

    def goes_on(self, more: int = 15) -> None:
        known = len(self.refs)
        wait_until(lambda: len(self.refs) >= known + more, 30, "more requests")


@pytest.mark.timeout(90)
def test_a_node_is_drained_and_comes_back_under_load_and_nothing_fails(behind: Behind) -> None:
    first, second = behind.first, behind.second
    with Load(behind) as load:
        load.goes_on()
        assert "drained" in command(second, "drain", first.config.node)
        wait_until(lambda: options_status(first.sip) == 503, 5, "OPTIONS refused by the node")
        load.goes_on()
        command(first, "undrain")
        load.goes_on()
    assert load.statuses == {200}
    for ref in load.refs:
        assert {one.state for one in first.finished(ref, deadline_s=30).results} == {"delivered"}
    pushed = [one.header("Call-ID") for one in behind.core.requests if one.method == "MESSAGE"]
    assert len(pushed) == len(set(pushed))


@pytest.mark.timeout(150)
def test_a_dialog_goes_on_at_the_other_node_when_its_own_dies(behind: Behind) -> None:
    """Contact and Route name the front, so a refresh finds a node that never saw the dialog."""
    device = Subscriber(behind.first, behind.core)
    device.stack = behind.first
    begun = ask_front(behind, device)
    assert begun.status == 200
    device.to_tag = begun.header("To").rpartition(";tag=")[2]
    front = f"127.0.0.1:{behind.address[1]}"
    assert begun.header("Contact") == f"<sip:{front}>"
    device.notifies(1)

    behind.first.kill("sip")
    assert ask_front(behind, device).status == 200
    assert options_status(behind.address) == 200
    # Killed before it stored the answer to the first one, its place is waited for as long as for any answer.
    device.notifies(2, deadline_s=behind.second.config.delivery.transaction_s + 20)
    ref = behind.second.submit("sip:later@home1.example")
    assert behind.second.result(ref, 30).state == "delivered"
    behind.first.start("sip")


def ask_front(behind: Behind, device: Subscriber) -> SipText:
    """Send a SUBSCRIBE of the dialog to the front; the node that has it may just have died."""
    raw = device.subscribe(expires="600", accept="", **wants("mms.ua"))
    return behind.core.ask(raw, behind.address, deadline_s=15)
