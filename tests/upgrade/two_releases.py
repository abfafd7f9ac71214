"""
`make test-upgrade FROM=commit`: a node of that commit and one of this checkout on one Redis, under load.

One node is drained, replaced by the other release, and takes part again. No push fails, none is lost, none
comes twice, nobody is told twice.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.push.values import push_ref
from omapush.store import outbox_views, owed, pushes
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, ROOT, Settings, Stack
from tests.harness.wait import wait_until
from tests.upgrade.builds import functions_of, unpacked
from tests.wire.requests import register

FROM: Final = os.environ.get("OMAPUSH_UPGRADE_FROM", "")
SETTINGS: Final[Settings] = {
    'application."mms.ua"': {"retry": {"attempts": 30, "first_s": 0.5, "longest_s": 2.0}}
}
_PAUSE_S: Final = 0.05
_USERS: Final = 50


class Provider(threading.Thread):
    """A content provider behind a load balancer: each push goes to a node that says it is ready, in turn."""

    def __init__(self, nodes: list[Stack], notify_to: str) -> None:
        super().__init__(daemon=True)
        self.accepted: list[str] = []
        self.at: Counter[str] = Counter()
        "Pushes that each node took."
        self.wrong: list[str] = []
        self._nodes, self._notify_to, self._ended = nodes, notify_to, threading.Event()
        self._asking = httpx.Client(trust_env=False, timeout=10)
        self._initiators = [PushInitiator(node.http, "trusted", PASSWORD) for node in nodes]

    def run(self) -> None:
        for number in count():
            if self._ended.wait(_PAUSE_S):
                return
            self._push(f"push-{number}", number)

    def end(self) -> None:
        """Push no more, and return when the last one is answered."""
        self._ended.set()
        self.join()

    def goes_on(self, node: Stack, more: int = 20) -> None:
        """Return when a node has taken so many more."""
        before = self.at[node.config.node]
        wait_until(lambda: self.at[node.config.node] >= before + more, 60, f"{more} more at {node.http}")

    def _push(self, push_id: str, number: int) -> None:
        """What a node that just began to drain refuses goes to the next one, as a load balancer has it."""
        answer: object = "no node is ready"
        to = user_address(f"sip:u{number % _USERS}@home1.example")
        for index in self._ready(number):
            answer = said = self._initiators[index].push(
                push_id, to, b"x", app="mms.ua", notify_to=self._notify_to
            )
            if said.code == "1001":
                self.accepted.append(push_id)
                self.at[self._nodes[index].config.node] += 1
                return
            if said.http_status != 503:
                break
        self.wrong.append(f"{push_id}: {answer}")

    def _ready(self, number: int) -> Iterator[int]:
        """The nodes that are, beginning with another one each time."""
        for turn in range(2 * len(self._nodes)):
            index = (number + turn) % len(self._nodes)
            try:
                if self._asking.get(f"{self._nodes[index].http}/readyz").status_code == 200:
                    yield index
            except httpx.HTTPError:
                continue


def command(stack: Stack, *words: str) -> None:
    done = CliRunner().invoke(app, ["--config", str(stack.config_file), *words])
    assert done.exit_code == 0, done.output


def owners(stack: Stack) -> set[str]:
    return {owner.get("node", "") for owner in outbox_views.owners(stack.store).values()}


@pytest.fixture(scope="module")
def older() -> Path:
    assert FROM, "OMAPUSH_UPGRADE_FROM names no commit"
    return unpacked(FROM)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("direction", ["up", "back"])
def test_a_node_is_replaced_by_another_release_under_load(
    direction: str, older: Path, tmp_path: Path
) -> None:
    before, after = (older, ROOT) if direction == "up" else (ROOT, older)
    loaded = [functions_of(before), functions_of(after)]
    own_parts = ("sip", "api", "notifier")
    with (
        NotificationSink() as sink,
        Stack(tmp_path / "first", SETTINGS, root=before) as first,
        SipPeer(first.core_port) as core,
    ):
        shared: Settings = {
            **SETTINGS,
            "redis": {"url": first.config.redis.url},
            "core": {"next_hop": first.config.core.next_hop},
        }
        with Stack(tmp_path / "second", shared, own_parts, root=after) as second:
            nodes = [first, second]
            wait_until(lambda: len(owners(first)) == 2, 60, "shards at both nodes")
            provider = Provider(nodes, sink.url)
            provider.start()
            for node in nodes:
                provider.goes_on(node)
                assert core.ask(register("sip:u1@home1.example", core), node.sip).status == 200
            kept = {one[1].decode() for one in first.db.function_list("omapush_*")}
            assert loaded[0] | loaded[1] <= kept, "each release has its functions beside those of the other"

            command(second, "drain", first.config.node)
            wait_until(lambda: owners(first) == {second.config.node}, 30, "all shards at the second node")
            first.replace(after, own_parts)
            command(second, "undrain", first.config.node)
            wait_until(lambda: len(owners(first)) == 2, 60, "shards at both nodes again")
            for node in nodes:
                provider.goes_on(node)
                assert core.ask(register("sip:u1@home1.example", core), node.sip).status == 200
            provider.end()

            assert provider.wrong == []
            _expect_delivered_once(first, provider.accepted, core, sink)
            assert "Traceback" not in first.logs(100_000) + second.logs(100_000)


def _expect_delivered_once(stack: Stack, accepted: list[str], core: SipPeer, sink: NotificationSink) -> None:
    for push_id in accepted:
        assert stack.result(push_ref("trusted", push_id), 60).state == "delivered"
    wait_until(lambda: owed.count(stack.store) == 0, 60, "all told")
    sent = Counter(one.header("Call-ID") for one in core.requests if one.method == "MESSAGE")
    branches = {one.branch for one in core.requests if one.method == "MESSAGE"}
    assert len(sent) == len(branches) == len(accepted), "a device got something twice"
    told = Counter(one.push_id for one in sink.received if one.answered == 202)
    assert told == Counter(accepted)
    assert pushes.not_handed_over(stack.store, 2**53) == []
