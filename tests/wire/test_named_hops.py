"""Next hops that are known by name, and what DNS says about them."""

from pathlib import Path

import pytest

from tests.harness.name_server import NameServer, StackThatAsks, is_possible
from tests.harness.sip_peer import SipPeer

NAME = "scscf.home1.example"
USERS = [f"sip:named{i}@home1.example" for i in range(200)]

pytestmark = pytest.mark.skipif(not is_possible(), reason="only root may give Kamailio another resolv.conf")


def test_a_name_that_dns_lets_nobody_keep_is_not_looked_up_for_each_push(tmp_path: Path) -> None:
    """A sender sends nothing while it looks a name up, and some registries of services say 0."""
    with SipPeer() as core, NameServer({NAME: "127.0.0.1"}, ttl_s=0) as server:
        settings = {"core": {"next_hop": f"sip:{NAME}:{core.port};lr"}}
        with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
            results = stack.finished(stack.submit(USERS), deadline_s=30).results

            assert {result.state for result in results} == {"delivered"}
            assert 0 < server.asked[NAME] < len(USERS) / 4
