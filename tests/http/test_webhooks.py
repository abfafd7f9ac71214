"""Results as signed JSON: what is posted, by which secrets, again until it is taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from omapush.store import owed
from tests.fakes.webhook import Posted, WebhookSink, is_from_omapush
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until
from tests.http.conftest import SETTINGS

NEW = "the new secret of the provider"
OLD = "the old secret of the provider"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("webhooks")
    (folder / "secret").write_text(f"{OLD}\n")
    more: Settings = {
        "initiator.signed": {
            "password": PASSWORD,
            "webhook_secrets": [NEW],
            "webhook_secret_files": [str(folder / "secret")],
        }
    }
    with Stack(folder, {**SETTINGS, **more}) as running:
        yield running


@pytest.fixture
def api(front: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.http, auth=("signed", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def hook() -> Iterator[WebhookSink]:
    with WebhookSink() as server:
        yield server


def push(api: httpx.Client, push_id: str, to: list[str], url: str, **members: Any) -> httpx.Response:
    least = {"application": "mms.ua", "content_type": "text/plain", "content": "x", "notify_as": "json"}
    return api.post("/v1/pushes", json={"push_id": push_id, "to": to, "notify_url": url, **least, **members})


def named(posted: Posted, name: str) -> str:
    return posted.headers[name]


def test_each_result_is_posted_once_signed_with_both_secrets(
    front: Stack, api: httpx.Client, core: SipPeer, hook: WebhookSink, push_id: str
) -> None:
    to = ["sip:hook1@home1.example", "192.0.2.7"]
    answer = push(api, push_id, to, hook.url)
    assert (answer.status_code, answer.json()["notify_as"]) == (201, "json")

    posted = hook.wait_for(2)
    wait_until(lambda: owed.count(front.store) == 0, 10, "all are settled")

    assert len(hook.wait_for(2)) == 2
    by_address = {one.told["recipient"]["address"]: one for one in posted}
    assert by_address.keys() == set(to)
    good, wrong = (by_address[address].told for address in to)
    assert (good["push_id"], good["ref"]) == (push_id, answer.json()["ref"])
    assert (good["recipient"]["state"], good["recipient"]["code"]) == ("delivered", "1000")
    assert (good["recipient"]["sip_code"], good["recipient"]["delivery_method"]) == (200, "confirmed")
    assert (wrong["recipient"]["state"], wrong["recipient"]["code"]) == ("undeliverable", "2002")
    for one in posted:
        assert named(one, "Content-Type") == "application/json"
        assert named(one, "Omapush-Id") == f"{one.told['ref']}.{one.told['recipient']['index']}"
        assert named(one, "Omapush-Signature").count("v1=") == 2
        for secret in (NEW, OLD):
            assert is_from_omapush(one.headers, one.body, secret, time.time())
        assert not is_from_omapush(one.headers, one.body, "a secret of somebody else", time.time())
        assert not is_from_omapush(one.headers, one.body + b" ", NEW, time.time())
        assert not is_from_omapush(one.headers, one.body, NEW, time.time() + 301)
        later = {**one.headers, "Omapush-Timestamp": str(int(named(one, "Omapush-Timestamp")) + 1)}
        assert not is_from_omapush(later, one.body, NEW, time.time())


def test_a_result_that_is_not_taken_comes_again_under_its_name_and_after_a_death(
    front: Stack, api: httpx.Client, core: SipPeer, hook: WebhookSink, push_id: str
) -> None:
    hook.fail_next(500, 302)
    push(api, push_id, ["sip:hook2@home1.example"], hook.url)
    hook.wait_for(1)
    front.restart("notifier")

    posted = hook.wait_for(3, 40)  # what was under way at its death comes back after its lease

    assert [one.answered for one in posted] == [500, 302, 204]
    assert len({named(one, "Omapush-Id") for one in posted}) == 1
    assert len({one.body for one in posted}) == 1
    assert all(is_from_omapush(one.headers, one.body, NEW, time.time()) for one in posted)
    wait_until(lambda: owed.count(front.store) == 0, 20, "settled")


def test_without_a_secret_signed_results_cannot_be_asked_for(front: Stack, hook: WebhookSink) -> None:
    with httpx.Client(base_url=front.http, auth=("trusted", PASSWORD), trust_env=False) as unsigned:
        answer = push(unsigned, "unsigned", ["sip:a@home1.example"], hook.url)

    assert (answer.status_code, answer.json()["field"]) == (422, "notify_as")


def test_no_secret_is_in_any_log(front: Stack, api: httpx.Client, core: SipPeer, hook: WebhookSink) -> None:
    push(api, "secret-log", ["sip:hook3@home1.example"], hook.url)
    hook.wait_for(1)

    logs = "".join(Path(front.folder / f"{part}.log").read_text() for part in ("api", "notifier", "sip"))
    assert NEW not in logs
    assert OLD not in logs
