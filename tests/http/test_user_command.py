"""`omapush user`: all that is kept of one user, shown and erased, in a running installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from omapush.push.values import push_ref
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import ROOT, Stack
from tests.harness.wait import wait_until

ERIN = "sip:erin@home1.example"
FRANK = "sip:frank@home1.example"


def omapush(front: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "omapush.cli.main", "--config", front.config_file, "user", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        timeout=60,
        check=False,
    )


def test_a_user_is_shown_erased_and_then_nowhere(
    front: Stack, core: SipPeer, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    to = [user_address(ERIN), user_address(FRANK)]
    assert initiator.push(push_id, to, b"x", app="mms.ua", notify_to=sink.url).code == "1001"
    sink.wait_for(2)
    ref = push_ref("trusted", push_id)
    wait_until(
        lambda: [one.name for one in front.known(ref).events].count("notified") == 2, 10, "both are noted"
    )

    shown = json.loads(omapush(front, "export", ERIN).stdout)
    assert shown["identities"] == [ERIN]
    (part,) = shown["pushes"]
    assert (part["push"]["push_id"], part["recipient"]["aor"]) == (push_id, ERIN)
    assert (part["result"]["state"], {one["name"] for one in part["events"]}) == (
        "delivered",
        {"sent", "final", "notified"},
    )

    erased = omapush(front, "erase", ERIN, "--yes", "--json")
    assert erased.returncode == 0, erased.stderr
    done = {one["what"]: (one["erased"], one["left"]) for one in json.loads(erased.stdout)}
    assert done["results of pushes"] == (1, 0)
    known = front.known(ref)
    assert [one.aor for one in known.recipients] == ["", FRANK]
    assert [one.state for one in known.results] == ["delivered", "delivered"]
    assert ERIN not in str(known)
    assert json.loads(omapush(front, "export", ERIN).stdout)["pushes"] == []
    assert initiator.status(push_id, user_address(FRANK)).code == "1000"
    assert initiator.status(push_id, user_address(ERIN)).code == "2003"


def test_what_waits_is_cancelled_and_its_initiator_told_before_it_is_erased(
    front: Stack, initiator: PushInitiator, sink: NotificationSink, push_id: str
) -> None:
    to = "sip:grace@home1.example"
    answer = initiator.push(
        push_id,
        user_address(to),
        b"x",
        app="mms.ua",
        notify_to=sink.url,
        deliver_after_timestamp="2040-01-01T00:00:00Z",
        deliver_before_timestamp="2041-01-01T00:00:00Z",
    )
    assert answer.code == "1001", answer

    first = omapush(front, "erase", to, "--yes")
    assert (first.returncode, "run it again" in first.stderr) == (1, True)
    assert [one.message_state for one in sink.wait_for(1)] == ["cancelled"]
    wait_until(lambda: omapush(front, "erase", to, "--yes").returncode == 0, 20, "told, so erased")

    assert to not in str(front.known(push_ref("trusted", push_id)))


def test_without_yes_it_asks_first(front: Stack) -> None:
    asked = omapush(front, "erase", "sip:nobody@home1.example")

    assert asked.returncode != 0
    assert "Erase all that is kept of sip:nobody@home1.example" in asked.stdout + asked.stderr


def test_what_is_no_uri_is_refused(front: Stack) -> None:
    wrong = omapush(front, "export", "erin")

    assert (wrong.returncode, "URI" in wrong.stderr) == (1, True)
