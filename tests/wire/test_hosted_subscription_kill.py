"""Subscriptions of hosted applications outlive processes and nodes, and reach our own sender."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omapush.push.watch import content_package
from omapush.store import hosted, outbox_views, watches
from tests.conftest import MakeStack
from tests.fakes.backend import Backend
from tests.fakes.sip_text import SipText
from tests.harness.reg_event import Scscf
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

pytestmark = pytest.mark.req("PRA-SUB-1", "PRA-SUB-2", "PRA-GEN-2")

EVENT = "ua-profile;profile-type=oma-app"
PARTS = ("redis", "sip", "notifier")
APP = "kept.ua"
OURS = "sip:kept@as.example"
RETRY = {"attempts": 100, "first_s": 0.05, "longest_s": 0.2}
SENDERS = [f"sip:psa{number}@other.example" for number in range(12)]


def hosting(backend: Backend, *senders: str, **more: object) -> Settings:
    table = {"backend": backend.url, "retry": RETRY, "subscribe": list(senders), "identity": OURS, **more}
    return {"registration": {"watch": False, "first_retry_s": 0.2}, f'hosted."{APP}"': table}


def peer_of(core: SipPeer, stack: Stack, granted: str = "600") -> Scscf:
    senders = Scscf(core, stack.sip, package=EVENT, document="text/plain")
    senders.granted = granted
    return senders


def told(senders: Scscf, subscribe: SipText, body: bytes = b"", **words: str) -> int:
    state = words.pop("state", "active;expires=600")
    return senders.notify(subscribe, body, state=state, headers={"Event": "ua-profile", **words}).status


@contextmanager
def started(stack: Stack, granted: str = "600") -> Iterator[tuple[SipPeer, Scscf]]:
    """The senders are there before the server, which subscribes at its start."""
    with SipPeer(stack.core_port) as core:
        senders = peer_of(core, stack, granted)
        with stack:
            yield core, senders


@pytest.mark.timeout(120)
def test_kill_9_of_kamailio_loses_no_subscription_and_no_push(tmp_path: Path) -> None:
    """NOTIFYs that were not answered come again, and each push reaches the back end once."""
    with Backend() as backend:
        stack = Stack(tmp_path / "host", hosting(backend, *SENDERS), PARTS)
        with started(stack, "8") as (_, senders):
            firsts = {uri: senders.subscribe(uri) for uri in SENDERS}
            for first in firsts.values():
                assert told(senders, first, state="active;expires=8") == 200
            unanswered = {}
            for number, (uri, first) in enumerate(firsts.items()):
                if number == len(firsts) // 2:
                    stack.restart("sip")
                unanswered[uri] = told(senders, first, uri.encode(), state="active;expires=8")
            assert set(unanswered.values()) == {200}

            for uri, first in firsts.items():
                again = senders.subscribe(uri, 2, deadline_s=30)
                assert again.header("Call-ID") == first.header("Call-ID")
                assert int(again.header("CSeq").split()[0]) > int(first.header("CSeq").split()[0])
            posted = backend.wait_for(OURS, len(SENDERS), 30)
            wait_until(lambda: _waiting(stack) == [], 20, "all told")
            posted = backend.posted(OURS)
            assert Counter(one.body.decode() for one in posted) == Counter(SENDERS)
            assert {one.of("X-Push-Sender") for one in posted} == set(SENDERS)


@pytest.mark.timeout(120)
def test_a_push_that_a_dying_node_did_not_answer_is_delivered_once_when_it_comes_again(
    tmp_path: Path,
) -> None:
    """The same NOTIFY, with the same CSeq, before and after: stored or not, it becomes one push."""
    with Backend() as backend:
        stack = Stack(tmp_path / "host", hosting(backend, SENDERS[0]), PARTS)
        with started(stack) as (_, senders):
            first = senders.subscribe(SENDERS[0])
            assert told(senders, first) == 200
            for cseq in range(100, 130):
                senders.notify(first, f"{cseq}".encode(), cseq=cseq, headers={"Event": "ua-profile"})
            stack.kill("sip")
            stack.start("sip")
            for cseq in (129, 129, 130):
                answer = senders.notify(first, f"{cseq}".encode(), cseq=cseq, headers={"Event": "ua-profile"})
                assert answer.status == 200

            backend.wait_for(OURS, 31, 30)
            wait_until(lambda: _waiting(stack) == [], 20, "all told")
            bodies = Counter(one.body for one in backend.posted(OURS))
            assert bodies == Counter(f"{cseq}".encode() for cseq in range(100, 131))


@pytest.mark.timeout(120)
def test_two_nodes_subscribe_once_and_either_takes_the_push(tmp_path: Path) -> None:
    with Backend() as backend:
        first = Stack(tmp_path / "first", hosting(backend, *SENDERS), PARTS)
        settings: Settings = {
            **hosting(backend, *SENDERS),
            "redis": {"url": first.config.redis.url},
            "core": {"next_hop": first.config.core.next_hop},
        }
        with started(first, "6") as (_, senders), Stack(tmp_path / "second", settings, ("sip",)) as second:
            wait_until(lambda: len(_owning(first)) == 2, 15, "shards at both nodes")
            firsts = {uri: senders.subscribe(uri) for uri in SENDERS}
            for number, sent in enumerate(firsts.values()):
                at = (first, second)[number % 2].sip
                answer = senders.notify(
                    sent, b"x", state="active;expires=6", headers={"Event": "ua-profile"}, to=at
                )
                assert answer.status == 200
            assert {len({one.header("Call-ID") for one in senders.subscribes(uri)}) for uri in SENDERS} == {1}
            assert len(backend.wait_for(OURS, len(SENDERS))) == len(SENDERS)

            first.kill("sip")
            own = f"<sip:127.0.0.1:{second.sip[1]}>"
            for uri, sent in firsts.items():

                def moved(uri: str = uri) -> bool:
                    return senders.subscribes(uri)[-1].header("Contact") == own

                wait_until(moved, 30, lambda: f"{uri} at the node that is left")  # noqa: B023
                calls = {one.header("Call-ID") for one in senders.subscribes(uri)}
                assert calls == {sent.header("Call-ID")}


@pytest.mark.timeout(90)
def test_without_redis_a_notify_gets_503_and_its_push_comes_again(tmp_path: Path) -> None:
    with Backend() as backend:
        stack = Stack(tmp_path / "host", hosting(backend, SENDERS[0]), PARTS)
        with started(stack) as (_, senders):
            first = senders.subscribe(SENDERS[0])
            assert told(senders, first) == 200
            stack.kill("redis")
            assert told(senders, first, b"later") == 503
            stack.start("redis")
            wait_until(lambda: told(senders, first, b"later") == 200, 20, "Redis is back")
            assert len(backend.wait_for(OURS)) == 1


@pytest.mark.timeout(90)
def test_an_application_that_subscribes_no_more_is_told_nothing_more(tmp_path: Path) -> None:
    """What configuration takes away is neither refreshed nor begun anew; the sender learns it by 481."""
    with Backend() as backend:
        settings: Settings = {
            **hosting(backend, SENDERS[0], SENDERS[1]),
            'hosted."other.ua"': {"backend": "stream", "subscribe": [SENDERS[2]]},
        }
        stack = Stack(tmp_path / "host", settings, PARTS)
        with started(stack, "4") as (_, senders):
            firsts = [senders.subscribe(uri) for uri in SENDERS[:2]]
            assert [told(senders, one, state="active;expires=4") for one in firsts] == [200, 200]
            text = stack.config_file.read_text()
            lines = [line for line in text.splitlines() if SENDERS[0] not in line]
            stack.config_file.write_text("\n".join(lines) + "\n")
            stack.restart("sip")

            assert [told(senders, one, b"late", state="active;expires=4") for one in firsts] == [481, 481]
            known = [len(senders.subscribes(uri)) for uri in SENDERS[:2]]
            package = content_package(APP)

            def switched_off() -> bool:
                found = [watches.read(stack.store, uri, package) for uri in SENDERS[:2]]
                return all(watch is not None and watch.state == "waiting" for watch in found)

            wait_until(switched_off, 20, "both given up")
            assert [len(senders.subscribes(uri)) for uri in SENDERS[:2]] == known
            assert backend.posted(OURS) == []


@pytest.mark.req("PSA-NOT-1", "PRA-GEN-1", "PROP-X-2")
@pytest.mark.timeout(90)
def test_a_push_of_our_own_sender_reaches_an_application_behind_another_server_by_notify(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    psa = make_stack({f'application."{APP}"': {"methods": ["NOTIFY"]}}, parts=("redis", "sip"))
    own = f"sip:127.0.0.1:{psa.sip[1]};lr"
    with Backend() as backend:
        settings = {
            **hosting(backend, "sip:psa@home1.example"),
            "core": {"next_hop": own, "ioi": "as.example"},
        }
        with Stack(tmp_path / "host", settings, PARTS) as host:

            def active() -> bool:
                watch = watches.read(host.store, "sip:psa@home1.example", content_package(APP))
                return watch is not None and watch.state == "active"

            wait_until(active, 15, "a subscription")
            ref = psa.submit(OURS, b"by notify", app=APP)
            result = psa.result(ref)

            assert (result.state, result.code) == ("delivered", "1000"), result
            (posted,) = backend.wait_for(OURS)
            assert (posted.body, posted.of("X-Push-Method")) == (b"by notify", "NOTIFY")
            assert posted.of("X-Push-Sender") == "sip:psa@home1.example"


def _waiting(stack: Stack) -> list[object]:
    return list(hosted.everything(stack.store, APP))


def _owning(stack: Stack) -> set[str]:
    return {owner.get("node", "") for owner in outbox_views.owners(stack.store).values()}
