"""Limits of initiators: refused by name, in PAP and JSON, at every api node; and nothing accepted is lost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from omapush.store import keys
from tests.fakes.initiator import PushInitiator, user_address
from tests.harness.sip_peer import OK, SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until

FEW = 10
SETTINGS: Settings = {
    "initiator.slow": {"password": PASSWORD, "rate": 0.01, "burst": FEW},
    **{f"initiator.busy{n}": {"password": PASSWORD, "outstanding": FEW} for n in range(6)},
    "initiator.daily": {"password": PASSWORD, "daily": FEW},
    "initiator.free": {"password": PASSWORD},
    'application."awaited.ua"': {"unregistered": "hold"},
}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("limited"), SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def second(front: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Another api node on the same Redis; its Kamailio is only there for /readyz."""
    settings = {
        **SETTINGS,
        "redis": {"url": front.config.redis.url},
        "core": {"next_hop": front.config.core.next_hop},
    }
    with Stack(tmp_path_factory.mktemp("second"), settings, ("sip", "api")) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(front: Stack) -> None:
    """Nobody has submitted anything. What is outstanding stays so: such tests have their own initiators."""
    for name in ("slow", "daily"):
        front.db.delete(keys.limits(name))


def submit(front: Stack, name: str, number: int, app: str = "awaited.ua") -> httpx.Response:
    body = {
        "to": [f"sip:{name}{number}@home1.example"],
        "application": app,
        "content_type": "text/plain",
        "content": "Hello",
    }
    return httpx.post(
        f"{front.http}/v1/pushes", auth=(name, PASSWORD), json=body, trust_env=False, timeout=20
    )


def usage(front: Stack) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "omapush.cli.main", "--config", str(front.config_file)]
    command += ["initiators", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return {one["initiator"]: one for one in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("slow", "4001", "rate limit of 0.01 deliveries a second"),
        ("busy0", "4001", "limit of 10 outstanding deliveries"),
        ("daily", "2001", "daily limit of 10 deliveries"),
    ],
)
def test_json_gets_429_with_retry_after_and_the_limits_name(
    front: Stack, name: str, code: str, says: str
) -> None:
    assert [submit(front, name, n).status_code for n in range(FEW)] == [201] * FEW
    refused = submit(front, name, FEW)

    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    problem = json.dumps(refused.json())
    assert says in problem
    assert code in problem
    assert submit(front, "free", 0).status_code == 201


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("slow", "4001", "rate limit"),
        ("daily", "2001", "daily limit"),
        ("busy1", "4001", "outstanding"),
    ],
)
def test_pap_gets_the_code_a_desc_that_names_the_limit_and_retry_after(
    front: Stack, name: str, code: str, says: str
) -> None:
    with PushInitiator(front.http, name, PASSWORD) as provider:
        everyone = [user_address(f"sip:pap{name}{n}@home1.example") for n in range(FEW)]
        assert provider.push(f"{name}-all", everyone, b"x", app="awaited.ua").code == "1001"
        refused = provider.push(f"{name}-more", everyone[0], b"x", app="awaited.ua")
        assert (refused.http_status, refused.code) == (202, code)
        assert says in refused.find("response-result")["desc"]

        too_many = provider.push(f"{name}-most", [*everyone, user_address("sip:x@home1.example")], b"x")
        assert too_many.code in ("2001", "4001")
        assert provider.status(f"{name}-more").code == "2004", "nothing of it is stored"


def test_the_limit_of_outstanding_deliveries_holds_at_all_api_nodes_together(
    front: Stack, second: Stack
) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda n: submit((front, second)[n % 2], "busy2", 100 + n).status_code, range(40))
        )

    assert sorted(set(answers)) == [201, 429]
    assert answers.count(201) == FEW


def test_what_ends_makes_room_and_what_was_accepted_is_delivered(front: Stack) -> None:
    with SipPeer(front.core_port, policy=lambda _: None) as core:
        accepted = [submit(front, "busy3", 200 + n, app="mms.ua") for n in range(FEW)]
        assert submit(front, "busy3", 300, app="mms.ua").status_code == 429
        assert usage(front)["busy3"]["usage"]["outstanding"] == FEW

        core.policy = lambda _: OK
        pushes = [one.headers["Location"].rpartition("/")[2] for one in accepted]
        wait_until(lambda: submit(front, "busy3", 301, app="mms.ua").status_code == 201, 10, "room again")
        wait_until(lambda: states(front, pushes) == {"delivered"}, 10, lambda: f"{states(front, pushes)}")
        wait_until(lambda: usage(front)["busy3"]["usage"]["outstanding"] == 0, 10, "all of them have ended")


def states(front: Stack, pushes: list[str]) -> set[str]:
    shown = [
        httpx.get(
            f"{front.http}/v1/pushes/{push}", auth=("busy3", PASSWORD), trust_env=False, timeout=20
        ).json()
        for push in pushes
    ]
    return {recipient["state"] for one in shown for recipient in one["recipients"]}


def test_a_push_id_that_was_used_costs_nothing(front: Stack) -> None:
    with PushInitiator(front.http, "daily", PASSWORD) as provider:
        to = user_address("sip:twice@home1.example")
        assert provider.push("same", to, b"x", app="awaited.ua").code == "1001"
        for _ in range(FEW):
            assert provider.push("same", to, b"x", app="awaited.ua").code == "2007"
    assert usage(front)["daily"]["usage"]["today"] == 1


def test_the_command_lists_limits_and_what_counts_for_them(front: Stack) -> None:
    for n in range(FEW + 2):
        submit(front, "slow", 400 + n)
    submit(front, "free", 400)
    listed = usage(front)

    assert listed["slow"]["limits"] == {"rate": 0.01, "burst": FEW, "outstanding": 0, "daily": 0}
    assert listed["slow"]["usage"]["today"] == FEW
    assert listed["slow"]["usage"]["refused"] == {"rate": 2, "outstanding": 0, "daily": 0}
    assert listed["free"]["usage"] is None
    assert "password" not in json.dumps(listed)


def test_metrics_tell_what_is_outstanding_and_refused(front: Stack) -> None:
    for n in range(FEW + 1):
        submit(front, "busy4", 500 + n)
    text = httpx.get(f"{front.http}/metrics", trust_env=False, timeout=20).text

    assert f'omapush_initiator_outstanding{{initiator="busy4"}} {FEW}.0' in text
    assert 'omapush_limited_total{initiator="busy4",limit="outstanding"}' in text
    assert 'initiator="free"' not in text


def test_a_full_outbox_refuses_before_any_limit_counts(tmp_path: Path) -> None:
    # The outbox is looked at now and then: what comes between two looks must not reach the limit.
    settings: Settings = {
        **SETTINGS,
        "api": {"max_waiting": 5},
        "initiator.daily": {"password": PASSWORD, "daily": 100_000},
    }
    with Stack(tmp_path / "full", settings) as front:
        answers: list[httpx.Response] = []

        def is_full() -> bool:
            answers.append(submit(front, "daily", len(answers)))
            return answers[-1].status_code != 201

        wait_until(is_full, 10, "the outbox is full")
        assert answers[-1].status_code == 503
        assert int(answers[-1].headers["Retry-After"]) > 0
        counted = usage(front)["daily"]["usage"]
        assert counted["today"] == counted["outstanding"] == len(answers) - 1
