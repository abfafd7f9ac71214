"""Pushes to all subscribers of an application, with real Kamailio: one NOTIFY each; pause, abort, kill."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from omapush import clock
from omapush.protocol.sip_uri import SipUri
from omapush.push.subscription import Subscription
from omapush.store import fanouts, outbox, pushes, subscriptions
from omapush.store.subscriptions import Placed
from tests.fakes.initiator import PushInitiator
from tests.fakes.sip_text import SipText
from tests.harness.records import subscription
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until

MANY = 300


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all tests, each of which has an application of its own."""
    with Stack(tmp_path_factory.mktemp("fan-out")) as running:
        yield running


@pytest.fixture
def core(own: Stack) -> Iterator[SipPeer]:
    with SipPeer(own.core_port) as peer:
        yield peer


@pytest.fixture
def app() -> str:
    """To which nobody has subscribed before."""
    return f"app-{secrets.token_hex(4)}.ua"


@pytest.fixture
def api(own: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=own.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


def placed(new: Subscription, _old: Subscription | None) -> Placed[None]:
    return Placed(new, None, None)


def subscribe_many(stack: Stack, core: SipPeer, number: int, application: str) -> list[str]:
    """Store so many subscriptions as SUBSCRIBEs would have left them; returns their users."""
    now_ms = clock.now_ms()
    users = [f"sip:many{secrets.token_hex(4)}@home1.example" for _ in range(number)]
    records = {}
    for aor in users:
        contact = f"sip:{SipUri.parse(aor).user}@127.0.0.1:{core.port}"
        new = subscription(
            aor,
            secrets.token_hex(8),
            now_ms,
            application=application,
            call_id=secrets.token_hex(8),
            remote_target=contact,
        )
        records[new.id] = new
    subscriptions.change_all(stack.store, {name: partial(placed, new) for name, new in records.items()})
    return users


def pushed(api: httpx.Client, app: str, **members: Any) -> str:
    push_id = f"{secrets.token_hex(4)}@fan.example"
    least = {"application": app, "content_type": "text/plain", "content": "to all", "push_id": push_id}
    answer = api.post("/v1/pushes", json={**least, "subscribers": True, **members})
    assert answer.status_code == 201, answer.text
    return push_id


def state(api: httpx.Client, push_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"/v1/pushes/{push_id}", params={"events": "true"}).json()
    return shown


def finished(api: httpx.Client, push_id: str, deadline_s: float = 60) -> dict[str, Any]:
    wait_until(
        lambda: state(api, push_id)["state"] == "finished", deadline_s, lambda: f"{state(api, push_id)}"
    )
    return state(api, push_id)


def notified(core: SipPeer, content: bytes = b"to all") -> Counter[str]:
    """How many NOTIFYs with this content each user got, repeats of one request aside."""
    seen: dict[tuple[str, str], SipText] = {}
    for one in core.requests:
        if one.method == "NOTIFY" and one.body == content:
            seen[one.header("Call-ID"), one.header("CSeq")] = one
    return Counter(one.header("To").partition("<")[2].partition(">")[0] for one in seen.values())


def test_every_subscriber_gets_one_notify(own: Stack, core: SipPeer, api: httpx.Client, app: str) -> None:
    users = subscribe_many(own, core, MANY, app)
    real = Subscriber(own, core)
    real.begin(**wants(app))
    real.settle()
    subscribe_many(own, core, 5, f"other-{app}")

    push_id = pushed(api, app)

    shown = finished(api, push_id)
    assert notified(core) == Counter([*users, real.aor])
    assert shown["counts"] == {"delivered": MANY + 1}
    assert shown["subscribers"] == {
        "subscribed": MANY + 1,
        "made": MANY + 1,
        "ended": MANY + 1,
        "aborted": False,
    }
    assert [line["name"] for line in shown["events"]] == ["accepted"]
    with PushInitiator(own.http, "trusted", PASSWORD) as by_pap:
        told = by_pap.status(push_id).find("statusquery-result")
    assert (told["message-state"], told["desc"]) == ("delivered", f"{MANY + 1} subscribers")
    assert outbox.depth(own.store).all == 0
    assert fanouts.jobs(own.store, range(own.store.layout.user_shards)) == []
    assert pushes.not_handed_over(own.store, clock.now_ms()) == []


def test_who_does_not_take_it_is_counted_and_named(
    own: Stack, core: SipPeer, api: httpx.Client, app: str
) -> None:
    users = subscribe_many(own, core, 20, app)
    gone, busy = users[0], users[1]

    def answer(one: SipText) -> Says:
        return Says(481) if gone in one.header("To") else Says(603) if busy in one.header("To") else OK

    core.policy = answer
    shown = finished(api, pushed(api, app))

    assert shown["counts"] == {"delivered": 18, "undeliverable": 1, "aborted": 1}
    said = {
        line["text"].partition(": ")[0]: line["text"] for line in shown["events"] if line["name"] == "final"
    }
    assert "5027 no longer subscribed" in said[gone]
    assert "5026" in said[busy]
    assert not [one for one in core.requests if one.method == "MESSAGE"]


def test_a_paused_push_sends_nothing_and_goes_on_when_resumed(
    own: Stack, core: SipPeer, api: httpx.Client, app: str
) -> None:
    users = subscribe_many(own, core, MANY, app)
    core.policy = lambda _: None
    push_id = pushed(api, app)
    wait_until(lambda: len(notified(core)) >= 50, 20, "some NOTIFYs under way")
    for _ in range(2):
        assert api.post(f"/v1/pushes/{push_id}/pause").json()["state"] == "paused"
    core.policy = lambda _: OK
    wait_until(
        lambda: state(api, push_id)["subscribers"]["ended"] == len(notified(core)), 40, "the answers counted"
    )
    before = len(notified(core))
    assert before < MANY
    another = pushed(api, f"other-{app}", content="another")
    assert finished(api, another)["counts"] == {}
    assert len(notified(core)) == before

    assert api.post(f"/v1/pushes/{push_id}/resume").json()["state"] == "running"

    assert finished(api, push_id)["counts"] == {"delivered": MANY}
    assert notified(core) == Counter(users)


def test_an_aborted_push_ends_for_all_that_nothing_was_sent_to(
    own: Stack, core: SipPeer, api: httpx.Client, app: str
) -> None:
    subscribe_many(own, core, MANY, app)
    core.policy = lambda _: None
    push_id = pushed(api, app)
    wait_until(lambda: len(notified(core)) >= 50, 20, "some NOTIFYs under way")
    for _ in range(2):
        assert api.post(f"/v1/pushes/{push_id}/abort").json()["state"] == "aborted"
    core.policy = lambda _: OK

    shown = finished(api, push_id)

    sent = len(notified(core))
    assert sent < MANY
    assert shown["counts"]["delivered"] == sent
    assert shown["counts"]["cancelled"] == shown["subscribers"]["made"] - sent
    assert shown["subscribers"]["aborted"] is True
    assert api.post(f"/v1/pushes/{push_id}/resume").json()["state"] == "finished"


def test_after_kill_9_of_kamailio_it_goes_on_where_it_stopped(
    own: Stack, core: SipPeer, api: httpx.Client, app: str
) -> None:
    users = subscribe_many(own, core, MANY, app)
    push_id = pushed(api, app)
    wait_until(lambda: len(notified(core)) >= 60, 20, "some NOTIFYs")
    own.kill("sip")
    core.catch_up()
    reached = notified(core)
    stored = api.get(f"/v1/pushes/{push_id}").json()["counts"].get("delivered", 0)
    own.start("sip")

    shown = finished(api, push_id)

    got = notified(core)
    assert set(got) == set(users)
    assert shown["counts"] == {"delivered": MANY}
    twice = [user for user, times in got.items() if times > 1]
    assert set(twice) <= set(reached)
    assert len(twice) <= len(reached) - stored  # only what was in flight


def test_a_push_to_subscribers_that_cannot_be_one_is_refused(api: httpx.Client, app: str) -> None:
    def refused(**members: Any) -> tuple[int, str]:
        least = {"application": app, "content_type": "text/plain", "content": "x", "subscribers": True}
        answer = api.post("/v1/pushes", json={**least, **members})
        return answer.status_code, answer.json()["field"]

    assert refused(to=["sip:alice@home1.example"]) == (400, "to")
    assert refused(subscribers=False) == (400, "to")
    assert refused(method="MESSAGE") == (422, "method")
    assert refused(notify_url="http://pi.example/") == (422, "notify_url")
    assert refused(content="x" * 30_001) == (422, "content")
    named = {"push_id": "1@pi", "to": ["sip:alice@home1.example"], "application": app, "content": "x"}
    api.post("/v1/pushes", json={**named, "content_type": "text/plain"})
    answer = api.post("/v1/pushes/1@pi/pause")
    assert (answer.status_code, answer.json()["field"]) == (422, "push")
