"""`omapush subscriptions` and `omapush subscription`: lists, ends and approves."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.push.subscription import Subscription
from omapush.store import subscriptions
from omapush.store.client import Store
from tests.harness.stack import Stack
from tests.store.test_subscriptions import ALICE, BOB, put, subscription


@pytest.fixture
def three(store: Store) -> Sequence[Subscription]:
    found = (subscription(), subscription(ALICE, 2, ""), subscription(BOB)._replace(state="pending"))
    put(store, *found, owed_ms=None)
    return found


def run(stack: Stack, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["--config", str(stack.config_file), *words])
    return result.exit_code, result.stdout if result.exception is None else str(result.exception)


def listed(stack: Stack, *words: str) -> list[dict[str, object]]:
    code, printed = run(stack, "subscriptions", *words, "--json")
    assert code == 0
    return list(json.loads(printed))


def test_lists_all_or_those_of_a_user_or_of_an_application(
    redis_only: Stack, three: Sequence[Subscription]
) -> None:
    assert [one["aor"] for one in listed(redis_only)] == [ALICE, ALICE, BOB]
    assert {one["id"] for one in listed(redis_only, ALICE)} == {three[0].id, three[1].id}
    assert [one["aor"] for one in listed(redis_only, "--app", "mms.ua")] == [ALICE, BOB]
    assert [one["id"] for one in listed(redis_only, "SIP:bob@HOME1.example", "--app", "mms.ua")] == [
        three[2].id
    ]
    code, table = run(redis_only, "subscriptions")
    assert code == 0
    assert "device profile" in table
    assert "pending" in table
    assert run(redis_only, "subscriptions", "sip:nobody@home1.example")[1].startswith("No such subscription")


def test_one_is_ended_once_and_its_device_will_be_told(
    redis_only: Stack, store: Store, three: Sequence[Subscription]
) -> None:
    name = three[0].id

    assert run(redis_only, "subscription", "end", name, "--reason", "deactivated")[0] == 0

    stored = subscriptions.read(store, name)
    assert stored is not None
    assert (stored.state, stored.reason) == ("terminated", "deactivated")
    assert subscriptions.due(store, range(4), most=10).owed == [name]
    code, why = run(redis_only, "subscription", "end", name)
    assert (code, "has ended already" in why) == (1, True)


def test_one_that_waits_is_approved(redis_only: Stack, store: Store, three: Sequence[Subscription]) -> None:
    assert run(redis_only, "subscription", "approve", three[2].id)[0] == 0

    stored = subscriptions.read(store, three[2].id)
    assert stored is not None
    assert stored.state == "active"
    assert subscriptions.due(store, range(4), most=10).owed == [three[2].id]
    code, why = run(redis_only, "subscription", "approve", three[0].id)
    assert (code, "is active" in why) == (1, True)


@pytest.mark.parametrize(
    ("name", "why"), [("f" * 32, "no such subscription"), ("x", "32 hexadecimal digits")]
)
def test_an_unknown_one_is_refused_and_why_is_said(
    redis_only: Stack, store: Store, name: str, why: str
) -> None:
    for command in ("end", "approve"):
        code, said = run(redis_only, "subscription", command, name)
        assert (code, why in said) == (1, True)
