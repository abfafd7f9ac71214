"""Names of next hops: who asks for them, who looks them up, and how long what was found is used."""

import importlib
import sys
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from omapush import clock, resolving
from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri

OURS = ("window", "hop_state", "named_hops", "name_lookups", "ksr_reader", "tcp_probe", "settings")
URI, NAME = "sip:SCSCF.home1.example:6060;lr", "sip:scscf.home1.example:6060"
NOW = 1_800_000_000_000
FOUND = resolving.Found((Server("192.0.2.1", 6060, "udp"), Server("2001:db8::1", 6060, "tcp")), 60.0)


class Kamailio:
    """Its tables and its queue, and a DNS that says what `says` has for a URI."""

    def __init__(self) -> None:
        self.table: dict[str, str] = {}
        self.queue: deque[str] = deque()
        self.asked: list[str] = []
        self.says: dict[str, resolving.Found | Exception] = {}
        self.now = 100.0

    async def find(self, uri: SipUri, **_: Any) -> resolving.Found:
        self.asked.append(str(uri))
        said = self.says.get(str(uri), resolving.DnsSilent("no answer"))
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def kamailio(monkeypatch: pytest.MonkeyPatch) -> Kamailio:
    made = Kamailio()
    fake = MagicMock(name="KSR")
    fake.htable.sht_get.side_effect = lambda _table, name: made.table.get(name)
    fake.htable.sht_sets.side_effect = lambda _table, name, value: made.table.update({name: value})
    fake.htable.sht_rm.side_effect = lambda _table, name: made.table.pop(name)
    fake.mqueue.mq_add.side_effect = lambda _queue, name, _value: made.queue.append(name)
    monkeypatch.setitem(sys.modules, "KSR", fake)
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    monkeypatch.setattr(clock, "now_ms", lambda: NOW)
    monkeypatch.setattr(resolving, "find", made.find)
    return made


@pytest.fixture
def modules(kamailio: Kamailio, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    made = {name: importlib.import_module(name) for name in OURS}
    monkeypatch.setattr(
        made["ksr_reader"],
        "next_queued",
        lambda _queue: (kamailio.queue.popleft(), "") if kamailio.queue else None,
    )
    yield made
    for name in OURS:
        sys.modules.pop(name, None)


@pytest.fixture
def names(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["named_hops"]


@pytest.fixture
def lookups(modules: dict[str, ModuleType]) -> Any:
    return modules["name_lookups"].Lookups()


SETTINGS = MagicMock(transports=("udp",), families=("A",))


def test_a_name_is_asked_for_once_and_then_known_to_all(
    names: ModuleType, lookups: Any, kamailio: Kamailio
) -> None:
    kamailio.says[NAME] = FOUND
    assert names.look(URI) == ((), 100, False)
    assert names.look(URI).wait_ms == 100
    assert list(kamailio.queue) == [NAME]

    lookups.run_once(SETTINGS)
    lookups.run_once(SETTINGS)

    uris = ("sip:192.0.2.1:6060;lr", "sip:[2001:db8::1]:6060;transport=tcp;lr")
    assert names.look(URI) == (uris, 0, False)
    assert kamailio.asked == [NAME]


def test_a_name_is_looked_up_again_when_its_time_is_over_and_forgotten_when_nobody_uses_it(
    names: ModuleType, lookups: Any, kamailio: Kamailio
) -> None:
    kamailio.says[NAME] = FOUND
    names.look(URI)
    lookups.run_once(SETTINGS)
    kamailio.now += 59.9
    lookups.run_once(SETTINGS)
    assert len(kamailio.asked) == 1
    kamailio.now += 0.2
    names.look(URI)
    lookups.run_once(SETTINGS)
    assert len(kamailio.asked) == 2

    kamailio.now += 600.1
    lookups.run_once(SETTINGS)
    assert (len(kamailio.asked), kamailio.table) == (2, {})


def test_an_address_that_holds_for_no_time_is_kept_for_five_seconds(
    names: ModuleType, lookups: Any, kamailio: Kamailio
) -> None:
    kamailio.says[NAME] = FOUND._replace(ttl_s=0.0)
    names.look(URI)
    for _ in range(50):
        lookups.run_once(SETTINGS)
        kamailio.now += 0.1

    assert len(kamailio.asked) == 1


def test_what_is_known_is_used_on_while_dns_is_silent(
    names: ModuleType, lookups: Any, kamailio: Kamailio
) -> None:
    kamailio.says[NAME] = FOUND
    names.look(URI)
    lookups.run_once(SETTINGS)
    del kamailio.says[NAME]
    kamailio.table.clear()  # it forgets by itself
    kamailio.now += 61
    lookups.run_once(SETTINGS)
    assert len(names.look(URI).uris) == 2

    kamailio.says[NAME] = resolving.NameNotFound("gone")
    kamailio.now += 5
    lookups.run_once(SETTINGS)
    assert names.look(URI) == ((), 0, False)
    kamailio.says[NAME] = FOUND
    kamailio.now += 30
    lookups.run_once(SETTINGS)
    assert len(names.look(URI).uris) == 2


def test_who_waits_for_a_name_does_not_wait_while_dns_is_silent(
    names: ModuleType, kamailio: Kamailio, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []

    def sleep(for_s: float) -> None:
        slept.append(for_s)
        kamailio.now += for_s

    monkeypatch.setattr(names.time, "sleep", sleep)
    assert names.wait_for(URI, 0.5) == ()
    assert 0.4 < sum(slept) < 0.6
    slept.clear()
    for uri in (URI, "sip:another.example"):
        assert names.wait_for(uri, 0.5) == ()
    assert slept == []

    kamailio.now += 5
    assert names.wait_for("sip:another.example", 0.5) == ()
    assert 0.4 < sum(slept) < 0.6
    monkeypatch.setattr(clock, "now_ms", lambda: NOW + 2_000)
    slept.clear()
    kamailio.now += 5
    assert names.wait_for(URI, 0.5) == ()
    assert slept == []


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sip:192.0.2.1:6060;lr", ""),
        ("sip:[2001:db8::1]:6060", ""),
        ("sip:scscf.example;maddr=192.0.2.1", ""),
        ('sip:a"],"x":["b;lr', ""),
        ("tel:+1555", ""),
        ("", ""),
        ("sip:mark@Home1.Example;lr;transport=TCP", "sip:home1.example;transport=tcp"),
        ("sips:home1.example:5061", "sips:home1.example:5061"),
        ("sip:a.example;maddr=b.example;lr", "sip:b.example"),
    ],
)
def test_only_what_dns_decides_about_is_a_name(names: ModuleType, uri: str, name: str) -> None:
    assert names.name_of(uri) == name
    if not name:
        assert names.look(uri) == ((uri,), 0, False)


def test_a_large_request_stays_with_udp_where_the_uri_says_so(names: ModuleType, kamailio: Kamailio) -> None:
    kamailio.table["sip:a.example;transport=udp"] = "udp|192.0.2.1|5060"

    assert names.look("sip:a.example;transport=udp").uris == ("sip:192.0.2.1:5060;transport=udp;lr",)


def test_a_server_that_is_down_is_not_the_first(names: ModuleType, kamailio: Kamailio) -> None:
    uris = ("sip:192.0.2.1:6060;lr", "sip:192.0.2.2:6060;lr")
    assert names.first_up(uris) == uris[0]
    kamailio.table[f"down:{names.hop_of(uris[0])}"] = str(NOW + 1)
    assert names.first_up(uris) == uris[1]
    kamailio.table[f"down:{names.hop_of(uris[1])}"] = str(NOW + 1)
    assert names.first_up(uris) == uris[0]
    assert names.first_up(()) == ""
