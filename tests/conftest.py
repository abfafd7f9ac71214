"""What tests share: one running stack for those that leave it as it was, own ones for those that break it."""

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import httpx
import hypothesis
import pytest
import structlog

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PARTS, Settings, Stack

pytest_plugins = ("tests.conformance",)

# How long an example takes says something about the machine only; what CI tries is the same each time.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

# A shell that runs something behind its back has it ignore Ctrl-C, and with it all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROFILES: Settings = {
    'application."strict.ua"': {"accept_contact": "strict"},
    'application."plain.ua"': {"accept_contact": "none"},
    'application."wrapped.ua"': {"form": "wrapped"},
    'application."gzip.ua"': {"gzip": True},
    'application."marked.ua"': {"push_id_header": True, "priority_header": True},
    'application."known.ua"': {"unregistered": "refuse"},
    'application."held.ua"': {"accept_contact": "strict", "no_match": "hold"},
    'application."patient.ua"': {
        "unregistered": "hold",
        "retry_absent": {"attempts": 1, "first_s": 600.0, "longest_s": 600.0},
    },
    'application."awaited.ua"': {"retry_absent": {"attempts": 3, "first_s": 600.0, "longest_s": 600.0}},
    'application."choosy.ua"': {"no_match": "refuse"},
    'application."daring.ua"': {"accept_contact": "strict", "no_match": "send"},
    'application."dialog.ua"': {"methods": ["NOTIFY"], "no_match": "hold"},
    'application."asking.ua"': {"methods": ["NOTIFY", "REFER"]},
    'application."asking-first.ua"': {"methods": ["NOTIFY", "REFER", "MESSAGE"]},
    'application."closed.ua"': {"subscribers": "refuse"},
    'application."pending.ua"': {"subscribers": "pend"},
    'application."typed.ua"': {"content_types": ["image/*"]},
    'application."once.ua"': {"retry": {"attempts": 1, "first_s": 0.05, "longest_s": 0.1}},
    'application."thrice.ua"': {"retry": {"attempts": 3, "first_s": 0.05, "longest_s": 0.1}},
}
"Applications of the shared stack, one for each thing that a profile can say."

# Some machines tell Python to keep nothing that it compiled; tests start the same code hundreds of times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Each client of httpx reads a hundred certificates, 27 ms of a processor; almost all speak plain HTTP here.
pytest.MonkeyPatch().setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))

# A run that is told to end ends what it has started, as after Ctrl-C.
signal.signal(signal.SIGTERM, signal.default_int_handler)

OWN_STACKS = pytest.StashKey[list[Stack]]()
MakeStack = Callable[..., Stack]


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command that sets up its log does so for its test alone, whose standard error is closed after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running Redis, Kamailio and notifier for all tests that leave them as they were."""
    with Stack(tmp_path_factory.mktemp("stack"), PROFILES, ("redis", "sip", "notifier")) as running:
        yield running


@pytest.fixture
def make_stack(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeStack]:
    """Start a stack of the test's own, with its settings and parts; ended after the test."""
    with ExitStack() as running:

        def make(settings: Settings | None = None, parts: tuple[str, ...] = PARTS) -> Stack:
            made = Stack(tmp_path / "stack", settings, parts)
            request.node.stash.setdefault(OWN_STACKS, []).append(made)
            return running.enter_context(made)

        yield make


@pytest.fixture
def core(stack: Stack) -> Iterator[SipPeer]:
    """The shared stack's next hop: S-CSCF and handset in one."""
    with SipPeer(stack.core_port) as peer:
        yield peer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the processes logged."""
    report = yield
    if report.failed:
        stacks = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Stack)]
        for each in [*stacks, *item.stash.get(OWN_STACKS, [])]:
            report.sections.append(("process logs", each.logs()))
    return report
