"""`omapush registrations AOR --match`: for each contact whether it is kept, and why."""

import json

import pytest

from omapush import clock
from omapush.protocol.third_party_register import EmbeddedContact
from omapush.push.registration import Report
from omapush.store import registrations
from omapush.store.client import Store
from tests.harness.stack import Stack
from tests.unit.cli.test_main import run

ALICE = "sip:alice@home1.example"
STRICT = 'Accept-Contact: *;+g.oma.pusheventapp="ulp.ua";require;explicit'
PUSH = "+g.oma.pusheventapp"


def contact(name: str, *features: tuple[str, str | None], q: float | None = None) -> EmbeddedContact:
    return EmbeddedContact(
        uri=f"sip:{name}@192.0.2.1",
        expires=None if name != "gone" else 0,
        q=q,
        instance=None,
        pub_gruu=None,
        feature_params=features,
        applications=(),
    )


@pytest.fixture
def alice(store: Store) -> str:
    """Alice with a phone, a tablet, and a device that says nothing of itself."""
    contacts = (
        contact("phone", (PUSH, "ulp.ua,mms.ua")),
        contact("tablet", (PUSH, "mms.ua")),
        contact("legacy", q=0.5),
    )
    now_ms = clock.now_ms()
    report = Report(ALICE, 600, "sip:s", "", contacts, False, "register", (), "", "", now_ms, ())
    registrations.capture(store, [report])
    return ALICE


def test_each_contact_is_kept_or_dropped_with_its_reason_in_order_of_preference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack, alice: str
) -> None:
    words = ("--config", redis_only.config_file, "registrations", alice, "--match", STRICT)
    assert run(monkeypatch, *words) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines[1:4]] == [
        ["kept", "sip:phone@192.0.2.1"],
        ["kept", "sip:legacy@192.0.2.1"],
        ["dropped", "sip:tablet@192.0.2.1"],
    ]
    assert "no preference applies" in " ".join(lines[2])
    assert 'tag +g.oma.pusheventapp is "mms.ua"' in " ".join(word for line in lines[3:] for word in line)


def test_json_has_scores_and_reasons_and_headers_may_be_compact_and_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack, alice: str
) -> None:
    match = ("--match", 'a: *;+g.oma.pusheventapp="mms.ua"', "--match", 'j: *;+g.oma.pusheventapp="ulp.ua"')
    words = ("--config", redis_only.config_file, "registrations", alice, *match, "--json")
    assert run(monkeypatch, *words) == 0

    shown = json.loads(capsys.readouterr().out)
    assert [(one["uri"], one["kept"], one["q"], one["score"]) for one in shown["contacts"]] == [
        ("sip:tablet@192.0.2.1", True, 1.0, 1.0),
        ("sip:legacy@192.0.2.1", True, 0.5, 1.0),
        ("sip:phone@192.0.2.1", False, 1.0, 0.0),
    ]
    assert shown["aor"] == alice
    assert all(one["reasons"] for one in shown["contacts"])


def test_when_nobody_is_left_the_answer_of_the_core_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack, store: Store
) -> None:
    contacts = (contact("tablet", (PUSH, "mms.ua")),)
    registrations.capture(
        store,
        [Report(ALICE, 600, "sip:s", "", contacts, False, "register", (), "", "", clock.now_ms(), ())],
    )
    words = ("--config", redis_only.config_file, "registrations", ALICE, "--match", STRICT)
    assert run(monkeypatch, *words) == 0
    assert "480" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["Contact: *", "Accept-Contact", "Accept-Contact: +a", ""])
def test_what_is_no_preference_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    redis_only: Stack,
    alice: str,
    wrong: str,
) -> None:
    words = ("--config", redis_only.config_file, "registrations", alice, "--match", wrong)
    assert run(monkeypatch, *words) == 1
    refusal = capsys.readouterr().err
    assert refusal.startswith("omapush: ")
    assert refusal.count("\n") == 1


def test_matching_needs_a_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_only: Stack, store: Store
) -> None:
    assert run(monkeypatch, "--config", redis_only.config_file, "registrations", "--match", STRICT) == 1
    assert "--match needs AOR" in capsys.readouterr().err
