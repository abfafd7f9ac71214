"""The audit record of a running installation: what is in it, what is not, and what happens without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from omapush.audit.journal import Journal
from tests.fakes.initiator import PushInitiator
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.http.test_command import omapush
from tests.http.test_json import body

KEY = b"sixteen bytes or more"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("audit")
    (place / "key").write_bytes(KEY)
    return place


@pytest.fixture(scope="module")
def kept(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation that keeps the record."""
    audit = {"folder": str(folder / "record"), "key_file": str(folder / "key")}
    with Stack(tmp_path_factory.mktemp("audited"), {"audit": audit}) as running:
        yield running


@pytest.fixture
def api(kept: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=kept.http, auth=("trusted", PASSWORD), timeout=10, trust_env=False) as one:
        yield one


def entries(kept: Stack, *words: str) -> list[dict[str, Any]]:
    shown = omapush(kept, "audit", "show", "--json", *words)
    assert (shown.returncode, shown.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found


def test_a_push_is_in_the_record_when_its_initiator_has_the_answer(kept: Stack, api: httpx.Client) -> None:
    answer = api.post("/v1/pushes", json=body("json@pi"))
    with PushInitiator(kept.http, "trusted", PASSWORD) as provider:
        provider.push("pap@pi", ["sip:alice@home1.example"], b"hello")

    assert answer.status_code == 201
    by_json, by_pap = entries(kept, "--what", "json@pi") + entries(kept, "--what", "pap@pi")
    assert (by_json["who"], by_json["did"], by_json["result"]) == ("initiator/trusted", "submit", "1001")
    assert (by_pap["who"], by_pap["did"], by_pap["result"]) == ("initiator/trusted", "submit", "1001")
    assert by_json["from"] == by_pap["from"] == "127.0.0.1"


def test_who_took_a_push_back_is_found_by_its_push_id_whichever_way_it_was_done(
    kept: Stack, api: httpx.Client
) -> None:
    soon = {"deliver_after": "2030-01-01T00:00:00Z", "application": "mms.ua"}
    api.post("/v1/pushes", json=body("a/b@pi", **soon))
    ref = api.post("/v1/pushes", json=body("other@pi", **soon)).json()["ref"]
    api.post("/v1/pushes/a%2Fb@pi/cancel", json={})
    api.post(f"/v1/pushes/{ref}/cancel", json={})
    api.post("/v1/pushes/a%2Fb@pi/pause")
    with PushInitiator(kept.http, "trusted", PASSWORD) as provider:
        provider.cancel("other@pi")

    def done(push_id: str) -> list[tuple[str, str]]:
        return [(one["did"], one["result"]) for one in entries(kept, "--what", push_id)]

    assert done("a/b@pi") == [("submit", "1001"), ("cancel", "1000"), ("pause", "422")]
    assert done("other@pi") == [("submit", "1001"), ("cancel", "1000"), ("cancel", "1000")]


def test_entries_are_listed_from_a_time_on_and_no_other_text_is_one(kept: Stack, api: httpx.Client) -> None:
    api.post("/v1/pushes", json=body("timed@pi"))

    assert entries(kept, "--what", "timed@pi", "--since", "2026-01-01 00:00")
    assert entries(kept, "--what", "timed@pi", "--since", "2100-01-01T02:00+02:00") == []
    assert omapush(kept, "audit", "show", "--since", "yesterday").returncode == 2


def test_refusals_and_log_ins_that_failed_are_in_it_and_reads_are_not(kept: Stack, api: httpx.Client) -> None:
    api.post("/v1/pushes", json=body("wrong@pi", to=["nobody at all"]))
    api.get("/v1/pushes/unknown@pi")
    api.get("/v1/pushes", auth=("reader", "a secret word"))
    httpx.get(f"{kept.http}/v1/pushes", trust_env=False)  # shows no credentials: nobody tries to log in
    api.post("/v1/pushes", json=body("stranger@pi"), auth=("stranger", "a secret word"))

    refused, failed = entries(kept, "--what", "wrong@pi")[-1], entries(kept, "--did", "log-in")[-1]
    assert refused["result"] == "400"
    assert [one["more"]["claimed"] for one in entries(kept, "--did", "log-in")] == ["reader", "stranger"]
    assert (failed["who"], failed["more"], failed["result"]) == ("nobody", {"claimed": "stranger"}, "401")
    everything = entries(kept)
    assert not any("unknown@pi" in one["what"] for one in everything)
    assert "a secret word" not in json.dumps(everything)
    assert "hello" not in json.dumps(everything)


def test_starts_and_commands_of_operators_are_in_it(kept: Stack) -> None:
    omapush(kept, "subscription", "end", "0" * 32)

    started = entries(kept, "--did", "start")
    assert {one["what"] for one in started} == {"sip", "api"}
    assert len({one["more"]["sha256"] for one in started}) == 1
    (ended,) = entries(kept, "--did", "end-subscription")
    assert ended["who"].startswith("operator/")


def test_the_command_proves_that_it_holds_and_finds_a_change(kept: Stack, folder: Path) -> None:
    sound = json.loads(omapush(kept, "audit", "verify", "--json").stdout)
    assert sound["problem"] == ""
    assert omapush(kept, "audit", "verify", "--head", sound["head"]).returncode == 0

    file = sorted((folder / "record").glob("*.jsonl"))[-1]
    whole = file.read_bytes()
    *most, _ = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(most))
    cut_off = omapush(kept, "audit", "verify", "--head", sound["head"])
    file.write_bytes(whole.replace(b"initiator/trusted", b"initiator/another", 1))
    changed = omapush(kept, "audit", "verify")
    file.write_bytes(whole)

    assert (cut_off.returncode, changed.returncode) == (1, 1)
    assert "not in the record" in cut_off.stderr
    assert "was changed" in changed.stderr
    assert omapush(kept, "audit", "verify").returncode == 0


def test_while_it_cannot_be_written_nothing_is_taken_and_reads_go_on(
    kept: Stack, api: httpx.Client, folder: Path
) -> None:
    file = sorted((folder / "record").glob("*.jsonl"))[-1]
    whole = file.read_bytes()
    file.write_bytes(b"what an intruder wrote\n")
    try:
        api.post("/v1/pushes", json=body("unrecorded@pi"))  # done when it turns out; it is in the log
        refused = api.post("/v1/pushes", json=body("refused@pi"))
        read = api.get("/v1/pushes/unrecorded@pi")
    finally:
        file.write_bytes(whole)

    assert (refused.status_code, read.status_code) == (503, 200)
    assert refused.headers["Retry-After"]
    assert api.get("/v1/pushes/refused@pi").status_code == 404
    wait_until(
        lambda: api.post("/v1/pushes", json=body("later@pi")).status_code in (200, 201), 10, "taken again"
    )
    assert Journal(folder / "record", KEY).verify().broken == ""
