"""A node is drained under load: nothing fails, others take over, it says when it is done, it comes back."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.push import nodes as rules
from omapush.push.nodes import DRAINED, SERVING
from omapush.store import nodes, outbox_views
from tests.harness.sip_peer import SipPeer
from tests.harness.sip_ping import options_status
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

USERS = [f"sip:user{i}@home1.example" for i in range(60)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Stack, SipPeer]]:
    """Two nodes on one Redis, and the core."""
    folder = tmp_path_factory.mktemp("drain")
    with Stack(folder / "first") as first:
        settings = {
            "redis": {"url": first.config.redis.url},
            "core": {"next_hop": first.config.core.next_hop},
        }
        with Stack(folder / "second", settings, ("sip", "api")) as second, SipPeer(first.core_port) as core:
            wait_until(lambda: len(owners(first)) == 2, 30, "shards at both nodes")
            yield first, second, core


def owners(stack: Stack) -> set[str]:
    return {owner.get("node", "") for owner in outbox_views.owners(stack.store).values()}


def command(stack: Stack, *words: str) -> str:
    done = CliRunner().invoke(app, ["--config", str(stack.config_file), *words])
    assert done.exit_code == 0, done.output
    return done.output


def submit_by_json(stack: Stack) -> int:
    body = {"application": "mms.ua", "to": [USERS[0]], "content_type": "text/plain", "content": "hello"}
    url, auth = f"{stack.http}/v1/pushes", ("trusted", PASSWORD)
    return httpx.post(url, json=body, auth=auth, trust_env=False, timeout=5).status_code


def test_a_node_is_drained_under_load_and_comes_back_without_a_push_that_fails(
    two: tuple[Stack, Stack, SipPeer],
) -> None:
    first, second, core = two
    before = [first.submit(USERS) for _ in range(5)]
    assert "drained" in command(second, "drain", first.config.node)
    during = [first.submit(USERS) for _ in range(5)]

    assert options_status(first.sip) == 503
    assert options_status(second.sip) == 200
    assert httpx.get(f"{first.http}/readyz", trust_env=False).status_code == 503
    assert httpx.get(f"{first.http}/healthz", trust_env=False).status_code == 200
    assert submit_by_json(first) == 503
    refused = httpx.post(f"{first.http}/pap", auth=("trusted", PASSWORD), trust_env=False)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert submit_by_json(second) == 201
    wait_until(lambda: owners(first) == {second.config.node}, 5, "shards at the other node")
    for ref in (*before, *during):
        assert {one.state for one in first.finished(ref, deadline_s=30).results} == {"delivered"}

    assert "serves" in command(first, "undrain")
    wait_until(lambda: len(owners(first)) == 2, 30, "shards at both nodes again")
    assert options_status(first.sip) == 200
    assert submit_by_json(first) == 201
    after = first.submit(USERS)
    assert {one.state for one in first.finished(after).results} == {"delivered"}
    pushed = [message.header("Call-ID") for message in core.requests if message.method == "MESSAGE"]
    assert len(pushed) == len(set(pushed))  # nothing was sent twice for it


def test_a_node_that_starts_again_while_it_is_drained_stays_so(two: tuple[Stack, Stack, SipPeer]) -> None:
    first, second, _ = two
    command(first, "drain", second.config.node)
    second.parts["api"].kill()
    second.parts["api"].start()
    listed = json.loads(command(first, "nodes", "--json"))
    assert {one["node"]: one["state"] for one in listed}[second.config.node] == DRAINED

    def is_drained_again() -> bool:
        signs = [one for one in nodes.live(first.store) if one.node == second.config.node]
        return {one.kind: one.pid for one in signs}.get("api") == second.parts["api"].pid and (
            rules.node_state(signs) == DRAINED
        )

    wait_until(is_drained_again, 30, "the new api is drained")
    command(first, "undrain", second.config.node)
    states = {one.state for one in nodes.live(first.store)}
    assert states == {SERVING}


def test_processes_log_from_another_level_on_for_a_while(two: tuple[Stack, Stack, SipPeer]) -> None:
    first, second, _ = two
    assert "logs debug until" in command(first, "log", "level", "debug", "--for", "1h")
    levels = {(one.node, one.log_level) for one in nodes.live(first.store)}
    assert levels == {(first.config.node, "debug"), (second.config.node, "info")}
    command(first, "log", "level", "debug", "--for", "1s")
    wait_until(lambda: {one.log_level for one in nodes.live(first.store)} == {"info"}, 10, "as configured")
    done = CliRunner().invoke(
        app, ["--config", str(first.config_file), "log", "level", "info", "--for", "soon"]
    )
    assert done.exit_code == 1


def test_a_node_that_is_not_there_is_not_drained(two: tuple[Stack, Stack, SipPeer], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--config", str(two[0].config_file), "drain", "no-such-node"])
    assert done.exit_code == 1
