"""The master goes where Redis is reached by TLS and a user alone: we speak so with the next one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.harness.redis_servers import RedisCluster, Watched
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register
from tests.wire.test_redis_failover import Provider, expect_delivered, kill_master


@pytest.fixture(params=[RedisCluster, Watched], ids=["Cluster", "Sentinel"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster | Watched]:
    kind: type[RedisCluster | Watched] = request.param
    with kind(tmp_path / "redis", guarded=True) as running:
        yield running


def users_at(servers: RedisCluster | Watched, index: int) -> set[str]:
    """Who is connected to a server, its replicas and Sentinels aside, and the operator who asks."""
    listed = servers.client(index).client_list(_type="normal")
    return {one["user"] for one in listed if not one["name"].startswith("sentinel")} - {"default"}


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_promoted_replica_is_spoken_to_with_the_same_certificate_and_user(
    servers: RedisCluster | Watched, tmp_path: Path
) -> None:
    settings = {**servers.settings, "user_shards": 4, "push_shards": 4, "timeout_ms": 1_000}
    assert servers.settings["url"].startswith("rediss+")
    with ExitStack() as running:
        parts = ("sip", "api", "notifier")
        stack = running.enter_context(Stack(tmp_path / "stack", {"redis": settings}, parts))
        core = running.enter_context(SipPeer(stack.core_port))
        provider = running.enter_context(Provider(stack))
        provider.goes_on()
        before = servers.master()
        replica = servers.replica_of(before)
        assert users_at(servers, before) == {"psa"}
        with pytest.raises(redis.RedisError):
            redis.Redis(host="127.0.0.1", port=servers.ports[replica]).ping()

        taking_over = kill_master(servers)
        taking_over.start()
        taking_over.join()
        provider.goes_on()
        wait_until(
            lambda: core.ask(register("sip:a@home1.example", core), stack.sip, deadline_s=20).status == 200,
            30,
            "REGISTER taken",
        )
        provider.stop()

        assert servers.master() == replica
        assert users_at(servers, replica) == {"psa"}
        assert provider.wrong == []
        expect_delivered(stack, provider.accepted)
        assert "Traceback" not in stack.logs(100_000)
