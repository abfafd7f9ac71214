"""Several nodes over one Redis: shards are shared out, and a node that dies is replaced by the others."""

from pathlib import Path

import pytest

from omapush.store import outbox_views
from tests.conftest import MakeStack
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import isc_route, request


def owning_nodes(stack: Stack) -> set[str]:
    return {owner.get("node", "") for owner in outbox_views.owners(stack.store).values()}


@pytest.mark.timeout(90)
def test_two_nodes_share_the_shards_and_one_takes_over_when_the_other_dies(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    first = make_stack(parts=("redis", "sip", "notifier"))
    settings = {
        "redis": {"url": first.config.redis.url},
        "core": {"next_hop": first.config.core.next_hop},
    }
    users = [f"sip:user{i}@home1.example" for i in range(40)]
    with SipPeer(first.core_port) as core, Stack(tmp_path / "second", settings, ("sip",)) as second:
        wait_until(lambda: len(owning_nodes(first)) == 2, 15, "shards at both nodes")
        assert {result.state for result in first.finished(first.submit(users)).results} == {"delivered"}
        assert {message.header("Via").partition(";")[0] for message in core.requests} == {
            f"SIP/2.0/UDP 127.0.0.1:{each.sip[1]}" for each in (first, second)
        }

        first.kill("sip")
        known = first.finished(first.submit(users), deadline_s=30)
        assert {result.state for result in known.results} == {"delivered"}
        assert owning_nodes(first) == {next(iter(owning_nodes(second)))}
        assert len(core.requests) == 2 * len(users)


def test_record_route_is_written_only_when_configured(make_stack: MakeStack) -> None:
    stack = make_stack({"sip": {"record_route": True}}, parts=("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        for method, expected in (("SUBSCRIBE", 1), ("MESSAGE", 0)):
            headers = [("Route", isc_route(stack.sip, core))]
            aor = f"sip:{method.lower()}@ims.lab"
            assert core.ask(request(method, aor, core.address, headers), stack.sip).status == 200
            routes = core.pushes(aor)[0].all("Record-Route")
            assert len(routes) == expected
            assert all(f"127.0.0.1:{stack.sip[1]}" in route for route in routes)
