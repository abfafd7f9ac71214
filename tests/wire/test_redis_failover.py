"""The master goes while pushes come: SIP and HTTP say 503 in time, what was accepted is delivered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Final

import httpx
import pytest
from redis.crc import key_slot

from tests.harness.redis_servers import RedisCluster, Watched
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register

_PAUSE_S: Final = 0.02
"From one push to the next: a steady load, not the most that goes."


class Provider:
    """A content provider that goes on pushing, whatever it is told, until it is stopped."""

    def __init__(self, stack: Stack) -> None:
        self.accepted: list[str] = []
        self.refused = 0
        self.wrong: list[str] = []
        self._stack = stack
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Push no more."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(auth=("trusted", PASSWORD), timeout=20, trust_env=False) as client:
            for number in count():
                if self._ended.wait(_PAUSE_S):
                    return
                body = {"to": [f"sip:u{number}@home1.example"], "application": "mms.ua", "content": "x"}
                body |= {"content_type": "text/plain", "push_id": f"{number}@pi"}
                answer = client.post(f"{self._stack.http}/v1/pushes", json=body)
                if answer.status_code == 201:
                    self.accepted.append(f"{number}@pi")
                elif answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0:
                    self.refused += 1
                else:
                    self.wrong.append(f"{answer.status_code}: {answer.text}")

    def goes_on(self, more: int = 20) -> None:
        """Return when so many more pushes have been accepted."""
        known = len(self.accepted)
        wait_until(lambda: len(self.accepted) >= known + more, 30, f"{more} more accepted")


# What a Cluster does when a master goes is in tests/store/test_cluster.py as well.
CLUSTER = pytest.param(RedisCluster, id="Cluster", marks=pytest.mark.long)


@pytest.fixture(params=[CLUSTER, pytest.param(Watched, id="Sentinel")])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster | Watched]:
    kind: type[RedisCluster | Watched] = request.param
    with kind(tmp_path / "redis") as running:
        yield running


def kill_master(servers: RedisCluster | Watched) -> threading.Thread:
    """End the master that has the most to do; the thread ends when its replica has taken over."""
    if isinstance(servers, RedisCluster):
        owner = servers.owner_of(key_slot(b"u0"))
        return threading.Thread(target=servers.kill_master, args=(owner,))
    return threading.Thread(target=servers.kill_master)


@pytest.mark.req("PSA-GEN-2")
@pytest.mark.timeout(120)
def test_a_master_that_goes_costs_a_few_seconds_and_no_push(
    servers: RedisCluster | Watched, tmp_path: Path
) -> None:
    redis = {**servers.settings, "user_shards": 4, "push_shards": 4, "timeout_ms": 1_000}
    with ExitStack() as running:
        stack = running.enter_context(Stack(tmp_path / "stack", {"redis": redis}, ("sip", "api", "notifier")))
        core = running.enter_context(SipPeer(stack.core_port))
        provider = running.enter_context(Provider(stack))
        provider.goes_on()
        assert core.ask(register("sip:a@home1.example", core), stack.sip).status == 200

        taking_over = kill_master(servers)
        taking_over.start()
        statuses = set()
        while taking_over.is_alive():
            answer = core.ask(register("sip:a@home1.example", core), stack.sip, deadline_s=4)
            statuses.add(answer.status)
            assert answer.status in (200, 503)
            assert answer.status == 200 or int(answer.header("Retry-After")) > 0
        provider.goes_on()
        wait_until(
            lambda: core.ask(register("sip:a@home1.example", core), stack.sip).status == 200,
            20,
            "REGISTER taken",
        )
        provider.stop()

        assert provider.wrong == []
        assert 503 in statuses or provider.refused, "nobody noticed that the master was gone"
        expect_delivered(stack, provider.accepted)
        delivered = {one.start_line.split()[1] for one in core.requests if one.method == "MESSAGE"}
        assert {f"sip:u{name.partition('@')[0]}@home1.example" for name in provider.accepted} <= delivered
        assert "Traceback" not in "".join(part.log_text() for part in stack.parts.values())


def expect_delivered(stack: Stack, accepted: list[str]) -> None:
    left = set(accepted)
    with httpx.Client(auth=("trusted", PASSWORD), timeout=20, trust_env=False, base_url=stack.http) as client:

        def none_left() -> bool:
            for push_id in list(left):
                shown = client.get(f"/v1/pushes/{push_id}").json()
                if shown["state"] == "finished":
                    assert shown["recipients"][0]["state"] == "delivered", shown
                    left.discard(push_id)
            return not left

        wait_until(none_left, 60, lambda: f"ends of {left}: {stack.logs()}")
