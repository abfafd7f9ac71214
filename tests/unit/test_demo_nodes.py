"""What `make run NODES=2` starts: one front, nodes with addresses of their own, one Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import nodes
from omapush import config
from omapush.errors import PushRefused

PARTS = ("redis", "sip", "api", "notifier", "msrp", "scscf", "handset")
BASE = """
[sip]
listen = ["udp:127.0.0.1:5070", "tcp:127.0.0.1:5070"]
aliases = ["psa.home1.example"]
[initiator."a.b"]
password = "grüße \\"x\\""
[policy.night]
effect = "deny"
hours = { start = "22:00", end = "07:00", days = ["mon"] }
"""


def test_nodes_share_all_but_their_own_addresses_and_say_the_address_of_the_front(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(BASE)
    base = config.load(str(tmp_path / "base.toml"))

    procfile = nodes.prepare(tmp_path / "nodes", base, 2, PARTS)

    names = [line.partition(":")[0] for line in procfile.read_text().splitlines()]
    each = [f"{part}{number}" for number in (1, 2) for part in ("sip", "api", "notifier", "msrp")]
    assert sorted(names) == sorted(["redis", "front", "scscf", "handset", *each])
    first, second = (config.load(str(tmp_path / "nodes" / number / "omapush.toml")) for number in "12")
    assert (first.sip.listen[0], second.sip.listen[0]) == ("udp:127.0.0.1:5071", "udp:127.0.0.1:5072")
    assert (first.api.listen, second.api.listen) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert (first.msrp.listen, second.msrp.listen) == ("127.0.0.1:2855", "127.0.0.1:2857")
    for node in (first, second):
        assert (node.sip.contact, node.sip.aliases) == (
            "127.0.0.1:5070",
            ("psa.home1.example", "127.0.0.1:5070"),
        )
        assert (node.redis, node.policy, node.initiator) == (base.redis, base.policy, base.initiator)
    listed = (tmp_path / "nodes" / "front" / "nodes.list").read_text()
    assert listed == "1 sip:127.0.0.1:5071\n1 sip:127.0.0.1:5072\n"


@pytest.mark.parametrize("count", [0, 1, 9])
def test_other_numbers_of_nodes_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(PushRefused, match="NODES"):
        nodes.prepare(tmp_path, config.parse({}, "none.toml"), count, PARTS)
