"""One running installation with its HTTP front for the tests of this folder."""

import itertools
from collections.abc import Iterator

import pytest

from tests.fakes.initiator import NotificationSink, PushInitiator
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack

SETTINGS: Settings = {
    "notify": {"first_retry_s": 0.1, "longest_retry_s": 0.2, "timeout_s": 2},
    "api": {"max_body_bytes": 200_000, "max_addresses": 50},
    'application."text.ua"': {"content_types": ["text/plain"], "max_bytes": 1000},
    'application."slow.ua"': {"retry": {"attempts": 50, "first_s": 0.3, "longest_s": 0.3}},
    "initiator.narrow": {
        "password": PASSWORD,
        "applications": ["mms.*"],
        "recipients": ["sip:*@home1.example"],
    },
}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All processes, running."""
    with Stack(tmp_path_factory.mktemp("front"), SETTINGS) as running:
        yield running


@pytest.fixture
def core(front: Stack) -> Iterator[SipPeer]:
    """The next hop: S-CSCF and handset in one."""
    with SipPeer(front.core_port) as peer:
        yield peer


@pytest.fixture
def initiator(front: Stack) -> Iterator[PushInitiator]:
    """A content provider that may do everything."""
    with PushInitiator(front.http, "trusted", PASSWORD) as provider:
        yield provider


@pytest.fixture
def sink() -> Iterator[NotificationSink]:
    """Where that content provider takes results."""
    with NotificationSink() as server:
        yield server


@pytest.fixture
def push_id() -> str:
    """A push-id that no test has used."""
    return f"{next(_numbers)}@pi.example"
