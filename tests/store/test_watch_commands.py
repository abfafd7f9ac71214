"""`omapush registrations AOR` and `omapush capabilities AOR` show what our subscriptions do."""

import json
from typing import Any

import pytest

from omapush import clock
from omapush.push.registration import Report
from omapush.push.watch import PRESENCE, REG, Package, Watch, wanted
from omapush.store import registrations, watches
from omapush.store.client import Store
from tests.harness.stack import Stack
from tests.unit.cli.test_main import run

AOR = "sip:watched@home1.example"
PROBLEM = "the last document cannot be read: XML: cut off"


def stored(store: Store, package: Package, **fields: Any) -> Watch:
    watch = wanted(AOR, clock.now_ms(), package)._replace(**fields)
    assert watches.replace(store, [watches.Change(b"", watch)]) == [True]
    return watch


@pytest.fixture
def presence(store: Store) -> Watch:
    """A user whose presence is watched, and whose last document is broken."""
    now_ms = clock.now_ms()
    report = Report(AOR, 600, "sip:s", "", (), False, "register", (), "", "", now_ms, ())
    registrations.capture(store, [report])
    stored(store, REG, state="waiting", why="answered 480")
    end_ms = now_ms + 600_000
    return stored(store, PRESENCE, state="active", why=PROBLEM, expires_ms=end_ms, due_ms=end_ms)


@pytest.mark.usefixtures("presence")
@pytest.mark.parametrize("command", ["registrations", "capabilities"])
def test_the_gap_in_a_users_presence_is_shown(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack
) -> None:
    assert run(monkeypatch, "--config", redis_only.config_file, command, AOR) == 0

    shown = " ".join(capsys.readouterr().out.split())
    assert f"watched ({PROBLEM})" in shown
    assert ("not watched before the next REGISTER (answered 480)" in shown) == (command == "registrations")


def test_programs_get_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack, presence: Watch
) -> None:
    found = []
    for command, name in (("registrations", "presence_watch"), ("capabilities", "presence")):
        assert run(monkeypatch, "--config", redis_only.config_file, command, AOR, "--json") == 0
        found.append(json.loads(capsys.readouterr().out)[name])

    assert found[0] == found[1]
    assert (found[0]["state"], found[0]["why"]) == ("active", PROBLEM)
    assert found[0]["expires"] == clock.iso(presence.expires_ms)


def test_where_presence_is_not_watched_nothing_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack, store: Store
) -> None:
    now_ms = clock.now_ms()
    report = Report(AOR, 600, "sip:s", "", (), False, "register", (), "", "", now_ms, ())
    registrations.capture(store, [report])
    assert run(monkeypatch, "--config", redis_only.config_file, "registrations", AOR) == 0
    assert "presence" not in capsys.readouterr().out

    assert run(monkeypatch, "--config", redis_only.config_file, "capabilities", AOR) == 1
    assert "nothing is known" in capsys.readouterr().err
