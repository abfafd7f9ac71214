"""`omapush push explain` of a push to many: what came of how many first, then those who did not get it."""

from __future__ import annotations

import json

import pytest

from omapush import clock
from omapush.cli import main as command
from omapush.push.values import Event, Result
from omapush.store import pushes
from omapush.store.client import Store
from omapush.store.pushes import Stored
from tests.harness.stack import Stack
from tests.store.conftest import Make

MANY = 120


def explained(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int | str | None, str]:
    config = str(stack.config_file)
    monkeypatch.setattr("sys.argv", ["omapush", "--config", config, "push", "explain", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


@pytest.fixture
def ref(store: Store, make: Make) -> str:
    """A push to many: one did not get it, one waits."""
    one = make.submission(*(f"sip:user{number}@home1.example" for number in range(MANY)), notify_url="")
    assert pushes.accept_all(store, [one]) == [True]
    now_ms = clock.now_ms()
    good = Result("delivered", "1000", "delivered (200 OK)", "MESSAGE", 200, 1, now_ms)
    bad = Result("aborted", "5030", "not processable (415)", "MESSAGE", 415, 1, now_ms)
    results = [(number, bad if number == 77 else good) for number in range(MANY - 1)]
    stored = [
        Stored(one.push.ref, number, result, True, Event(now_ms, number, "final", result.desc))
        for number, result in results
    ]
    pushes.store_results(store, stored, now_ms=now_ms, retention_s=600)
    return one.push.ref


def test_the_first_screen_says_what_came_of_how_many_and_who_did_not_get_it(
    redis_only: Stack, ref: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = explained(redis_only, monkeypatch, capsys, ref)

    words = [line.split() for line in said.splitlines()]
    assert code in (0, None)
    assert ["118", "delivered", "1000"] in words
    assert ["1", "aborted", "5030"] in words
    assert words.index(["118", "delivered", "1000"]) < 20
    assert "[77] address of sip:user77@home1.example" in said
    assert f"[{MANY - 1}] address of" in said
    assert "now:  delivered" not in said
    assert "lines more" in said
    assert len(words) < 110


@pytest.mark.parametrize("named", ["sip:user77@home1.example", "77", "address of sip:user77@home1.example"])
def test_one_of_many_is_explained_alone(
    redis_only: Stack,
    ref: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: str,
) -> None:
    code, said = explained(redis_only, monkeypatch, capsys, ref, "--recipient", named)
    _, shown = explained(redis_only, monkeypatch, capsys, ref, "--recipient", named, "--json")

    assert code in (0, None)
    assert "now:  aborted (PAP 5030)" in said
    assert "user76" not in said
    assert [one["address"] for one in json.loads(shown)["standings"]] == [
        "address of sip:user77@home1.example"
    ]
    assert {one["recipient"] for one in json.loads(shown)["events"]} == {-1, 77}


def test_who_is_no_recipient_is_refused_by_name(
    redis_only: Stack, ref: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = explained(redis_only, monkeypatch, capsys, ref, "--recipient", "sip:nobody@home1.example")

    assert code == 1
    assert f"sip:nobody@home1.example is none of the {MANY} recipients" in said
