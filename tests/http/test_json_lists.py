"""Distribution lists by JSON and by command, and pushes to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from omapush.store import lists
from tests.conftest import MakeStack
from tests.fakes.initiator import NotificationSink
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, ROOT, Stack
from tests.harness.wait import wait_until
from tests.http.conftest import SETTINGS

ALICE = "sip:alice@home1.example"
BOB = "sip:bob@home1.example"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    limits = {"api": {"max_lists": 4, "max_members": 6, "max_addresses": 5}}
    with Stack(tmp_path_factory.mktemp("lists"), {**SETTINGS, **limits}) as running:
        yield running


@pytest.fixture
def api(front: Stack) -> Iterator[httpx.Client]:
    """A content provider without lists."""
    for one in lists.page(front.store, "trusted", after="", most=100):
        lists.delete(front.store, "trusted", one.name)
    with httpx.Client(base_url=front.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def narrow(front: Stack) -> Iterator[httpx.Client]:
    """A content provider for some recipients only."""
    with httpx.Client(base_url=front.http, auth=("narrow", PASSWORD), timeout=10, trust_env=False) as client:
        yield client


def make(api: httpx.Client, name: str, *members: str) -> None:
    assert api.put(f"/v1/lists/{name}").status_code == 201
    if members:
        answer = api.post(f"/v1/lists/{name}/members", json={"add": members})
        assert answer.status_code == 200, answer.text


def push(api: httpx.Client, push_id: str, **members: Any) -> httpx.Response:
    least = {"application": "mms.ua", "content_type": "text/plain", "content": "x"}
    return api.post("/v1/pushes", json={"push_id": push_id, **least, **members})


def fault(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["field"]


def states(api: httpx.Client, push_id: str) -> dict[str, str]:
    """Addresses with their codes, once all are final."""
    wait_until(lambda: api.get(f"/v1/pushes/{push_id}").json()["state"] == "finished", 10, "finished")
    return {one["address"]: one["code"] for one in api.get(f"/v1/pushes/{push_id}").json()["recipients"]}


def test_a_list_is_created_filled_shown_emptied_and_deleted(api: httpx.Client) -> None:
    created = api.put("/v1/lists/friends")
    assert (created.status_code, created.headers["Location"]) == (201, "/v1/lists/friends")
    assert api.put("/v1/lists/friends").status_code == 200

    changed = api.post("/v1/lists/friends/members", json={"add": [BOB, ALICE, "tel:+358-40-123", ALICE]})
    assert changed.json() == {"name": "friends", "members": 3, "added": 3, "removed": 0}
    assert api.get("/v1/lists/friends").json() == {"name": "friends", "members": 3}
    first = api.get("/v1/lists/friends/members", params={"limit": "2"}).json()
    assert first == {"members": [ALICE, BOB], "next": BOB}
    rest = api.get("/v1/lists/friends/members", params={"limit": "2", "after": first["next"]}).json()
    assert rest == {"members": ["tel:+35840123"], "next": ""}
    changed = api.post(
        "/v1/lists/friends/members", json={"remove": [BOB, "alice@home1.example"], "add": [BOB]}
    )
    assert changed.json() == {"name": "friends", "members": 2, "added": 0, "removed": 1}

    assert api.delete("/v1/lists/friends").status_code == 204
    for answer in (
        api.get("/v1/lists/friends"),
        api.get("/v1/lists/friends/members"),
        api.post("/v1/lists/friends/members", json={"add": [ALICE]}),
        api.delete("/v1/lists/friends"),
    ):
        assert fault(answer) == (404, "name")


def test_lists_come_page_by_page_up_to_their_limit(api: httpx.Client) -> None:
    for name in ("b", "a", "d", "c"):
        make(api, name)

    assert fault(api.put("/v1/lists/e")) == (422, "name")
    first = api.get("/v1/lists", params={"limit": "3"}).json()
    assert ([one["name"] for one in first["lists"]], first["next"]) == (["a", "b", "c"], "c")
    rest = api.get("/v1/lists", params={"limit": "3", "after": "c"}).json()
    assert rest == {"lists": [{"name": "d", "members": 0}], "next": ""}


def test_with_one_wrong_member_nothing_is_changed_and_the_entry_is_named(
    api: httpx.Client, narrow: httpx.Client
) -> None:
    make(api, "exact", ALICE)
    for members, status, field in (
        ({"add": [BOB, "192.0.2.7"]}, 400, "add[1]"),
        ({"remove": [ALICE, "x"]}, 400, "remove[1]"),
        ({"add": [BOB, f"sip:{'x' * 600}@home1.example"]}, 400, "add[1]"),
        ({"add": ["sip:%0d%0ax@home1.example\r\n"]}, 400, "add[0]"),
        ({"add": [f"sip:{number}@home1.example" for number in range(6)]}, 422, "add"),
        ({"add": [BOB], "other": 1}, 400, "other"),
        ({"add": "sip:bob@home1.example"}, 400, "add"),
        ({"add": [BOB] * 1_001}, 400, "add"),
    ):
        answer = api.post("/v1/lists/exact/members", json=members)
        assert fault(answer) == (status, field), answer.text
    assert api.get("/v1/lists/exact/members").json()["members"] == [ALICE]
    narrow.put("/v1/lists/narrow")
    answer = narrow.post("/v1/lists/narrow/members", json={"add": [ALICE, "sip:a@elsewhere.example"]})
    assert fault(answer) == (403, "add[1]")
    assert narrow.get("/v1/lists/narrow").json()["members"] == 0


@pytest.mark.parametrize("name", ["a%20b", "%ff", "x" * 65, "a%2Fb"])
def test_a_name_that_cannot_be_one_is_refused(api: httpx.Client, name: str) -> None:
    assert fault(api.put(f"/v1/lists/{name}")) == (400, "name")


def test_another_initiators_list_does_not_exist(api: httpx.Client, narrow: httpx.Client) -> None:
    make(api, "mine", ALICE)

    assert narrow.get("/v1/lists/mine").status_code == 404
    assert fault(push(narrow, "foreign", lists=["mine"])) == (422, "lists[0]")


def test_a_push_to_lists_reaches_each_member_once(api: httpx.Client, core: SipPeer) -> None:
    make(api, "one", "sip:l1@home1.example", "sip:l2@home1.example")
    make(api, "two", "sip:l2@home1.example", "sip:l3@home1.example")
    with NotificationSink() as sink:
        to = ["l1@home1.example"]
        answer = push(api, "to-lists", to=to, lists=["one", "two"], notify_url=sink.url)
        assert answer.status_code == 201, answer.text
        told = sink.wait_for(3)

    everybody = {"l1@home1.example", "sip:l2@home1.example", "sip:l3@home1.example"}
    assert {one.address for one in told} == everybody
    assert states(api, "to-lists") == dict.fromkeys(everybody, "1000")
    for number in (1, 2, 3):
        assert len(core.pushes(f"sip:l{number}@home1.example")) == 1


def test_the_members_are_those_at_acceptance_and_a_repeat_is_one_whoever_came_since(
    api: httpx.Client, core: SipPeer
) -> None:
    make(api, "moving", "sip:m1@home1.example")
    assert push(api, "moved", lists=["moving"]).status_code == 201
    api.post("/v1/lists/moving/members", json={"add": ["sip:m2@home1.example"]})

    assert push(api, "moved", lists=["moving"]).status_code == 200
    assert states(api, "moved") == {"sip:m1@home1.example": "1000"}
    assert core.pushes("sip:m2@home1.example") == []


def test_a_push_to_a_list_that_is_empty_missing_or_too_long_is_refused(api: httpx.Client) -> None:
    make(api, "empty")
    make(api, "long", *(f"sip:{number}@home1.example" for number in range(6)))

    assert fault(push(api, "refused", lists=["empty"])) == (422, "lists")
    assert fault(push(api, "refused", lists=["empty", "nothing"])) == (422, "lists[1]")
    assert fault(push(api, "refused", lists=["a b"])) == (422, "lists[0]")
    assert fault(push(api, "refused", lists=["long"])) == (400, "lists[0]")
    assert fault(push(api, "refused")) == (400, "to")
    assert fault(push(api, "refused", lists=["long"], subscribers=True)) == (400, "to")
    assert api.get("/v1/pushes/refused").status_code == 404


def test_a_member_that_the_account_lost_fails_alone(
    narrow: httpx.Client, core: SipPeer, front: Stack
) -> None:
    narrow.put("/v1/lists/lost")
    narrow.post("/v1/lists/lost/members", json={"add": ["sip:kept@home1.example"]})
    gone = "sip:gone@elsewhere.example"
    lists.change(front.store, "narrow", "lost", remove=[], add=[gone], most=10)

    assert push(narrow, "narrowed", lists=["lost"]).status_code == 201
    assert states(narrow, "narrowed") == {"sip:kept@home1.example": "1000", gone: "2001"}
    lists.change(front.store, "narrow", "lost", remove=["sip:kept@home1.example"], add=[], most=10)
    assert fault(push(narrow, "nobody", lists=["lost"])) == (403, "lists")


def omapush(front: Stack, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "omapush.cli.main", "--config", front.config_file, "lists", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        timeout=60,
        check=False,
    )


def test_the_command_does_the_same(front: Stack, api: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "members.txt"
    file.write_text(f"# friends\n{ALICE}  # first\n\ntel:+358-40-1\n")
    whose = ("--initiator", "trusted")

    assert omapush(front, "create", "cli", *whose).stdout == "created\n"
    assert omapush(front, "add", "cli", BOB, "--file", file, *whose).stdout == "3 added, 3 members\n"
    assert omapush(front, "remove", "cli", BOB, *whose).stdout == "1 removed, 2 members\n"
    assert omapush(front, "show", "cli", *whose).stdout == f"{ALICE}\ntel:+358401\n"
    assert "cli" in omapush(front, "show", *whose).stdout
    wrong = omapush(front, "add", "cli", "x", *whose)
    assert (wrong.returncode, "add[0]" in wrong.stderr) == (1, True)
    assert omapush(front, "delete", "cli", *whose).stdout == "deleted\n"
    assert "choose with --initiator" in omapush(front, "show").stderr


def test_lists_and_what_they_reach_outlive_the_api(make_stack: MakeStack) -> None:
    stack = make_stack({})
    with httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), trust_env=False) as before:
        make(before, "kept", ALICE)
    stack.restart("api")
    with httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), trust_env=False) as after:
        assert after.get("/v1/lists/kept/members").json()["members"] == [ALICE]
