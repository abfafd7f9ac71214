"""`omapush push` against a running installation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from omapush.push.values import push_ref
from omapush.store import pushes
from tests.harness.sip_peer import OK, SipPeer
from tests.harness.stack import Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until


def omapush(front: Stack, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "omapush.cli.main", "--config", front.config_file, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content.txt"
    path.write_text("hello")
    return path


@pytest.mark.parametrize("method", [(), ("--method", "message")], ids=["by PAP", "by JSON"])
def test_a_push_is_sent_and_waited_for(
    front: Stack, core: SipPeer, file: Path, push_id: str, method: tuple[str, ...]
) -> None:
    to = f"sip:cli{push_id.partition('@')[0]}@home1.example"
    what = ("--to", to, "--app", "mms.ua", "--type", "text/plain", "--file", file)
    sent = omapush(
        front, "push", "send", *what, *method, "--initiator", "trusted", "--push-id", push_id, "--wait"
    )

    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout.startswith(f"{push_id}\ndelivered  200 OK  MESSAGE")
    assert [one.body for one in core.pushes(to)] == [b"hello"]
    again = omapush(front, "push", "send", *what, *method, "--initiator", "trusted", "--push-id", push_id)
    if method:  # JSON knows a repeat from another push
        assert (again.returncode, again.stdout) == (0, f"{push_id}\n")
    else:
        assert (again.returncode, again.stdout) == (1, "")
        assert "refused: 2007" in again.stderr
    assert len(core.pushes(to)) == 1
    shown = json.loads(omapush(front, "push", "show", push_id, "--json").stdout)
    assert shown["recipients"][0]["state"] == "delivered"


def subscribed(front: Stack, core: SipPeer, application: str) -> Subscriber:
    device = Subscriber(front, core)
    device.begin(**wants(application))
    device.settle()
    return device


def to_subscribers(application: str, file: Path, push_id: str) -> tuple[str | Path, ...]:
    what = ("--app", application, "--type", "text/plain", "--file", file, "--push-id", push_id)
    return ("push", "send", "--subscribers", *what, "--initiator", "trusted")


def test_a_push_to_all_subscribers_is_sent_and_waited_for(
    front: Stack, core: SipPeer, file: Path, push_id: str
) -> None:
    devices = [subscribed(front, core, "fan.ua") for _ in range(3)]

    sent = omapush(front, *to_subscribers("fan.ua", file, push_id), "--wait")

    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout == f"{push_id}\nfinished  delivered 3\n"
    assert [device.notifies(2)[-1].body for device in devices] == [b"hello"] * 3
    shown = json.loads(omapush(front, "push", "show", push_id, "--json").stdout)
    assert (shown["state"], shown["counts"], shown["subscribed"]) == ("finished", {"delivered": 3}, 3)
    assert "deliveries made  3" in omapush(front, "push", "show", push_id).stdout
    assert "delivered" in omapush(front, "push", "explain", push_id).stdout


def test_without_anybody_subscribed_a_push_to_all_is_over_at_once(
    front: Stack, core: SipPeer, file: Path, push_id: str
) -> None:
    sent = omapush(front, *to_subscribers("nobody.ua", file, push_id), "--wait")

    assert (sent.returncode, sent.stdout) == (0, f"{push_id}\nfinished  nobody was subscribed\n")


def test_a_push_to_all_is_paused_resumed_and_aborted(
    front: Stack, core: SipPeer, file: Path, push_id: str
) -> None:
    core.policy = lambda _: OK if _.method != "NOTIFY" or not _.body else None
    subscribed(front, core, "steered.ua")
    omapush(front, *to_subscribers("steered.ua", file, push_id))

    for what, now in (
        ("pause", "paused"),
        ("resume", "running"),
        ("abort", "aborted"),
        ("resume", "aborted"),
    ):
        steered = omapush(front, "push", what, push_id)
        assert (steered.returncode, steered.stdout.split()[0]) == (0, now), steered.stderr

    core.policy = lambda _: OK
    wait_until(lambda: finished(front, push_id), 60, "the end")
    assert omapush(front, "push", "abort", push_id).stdout.startswith("finished")


def finished(front: Stack, push_id: str) -> bool:
    known = pushes.read(front.store, push_ref("trusted", push_id))
    assert known is not None
    assert known.subscribers is not None
    return known.subscribers.state == "finished"


def test_a_push_that_names_its_recipients_cannot_be_paused(
    front: Stack, core: SipPeer, file: Path, push_id: str
) -> None:
    what = ("--to", "sip:a@home1.example", "--app", "mms.ua", "--type", "text/plain", "--file", file)
    omapush(front, "push", "send", *what, "--initiator", "trusted", "--push-id", push_id)

    paused = omapush(front, "push", "pause", push_id)

    assert (paused.returncode, paused.stdout) == (1, "")
    assert "only a push to all subscribers" in paused.stderr


@pytest.mark.parametrize("whom", [(), ("--to", "sip:a@home1.example", "--subscribers")])
def test_a_push_is_either_to_recipients_or_to_subscribers(
    front: Stack, file: Path, whom: tuple[str, ...]
) -> None:
    sent = omapush(front, "push", "send", *whom, "--app", "mms.ua", "--type", "text/plain", "--file", file)

    assert sent.returncode == 2
    assert "--subscribers" in sent.stderr


@pytest.mark.parametrize("method", [(), ("--method", "MESSAGE")], ids=["PAP", "JSON"])
@pytest.mark.parametrize(("option", "value"), [("--to", "http://home1.example/a"), ("--type", "plain")])
def test_a_refusal_names_the_option(
    front: Stack, file: Path, option: str, value: str, method: tuple[str, ...]
) -> None:
    given = {"--to": "sip:a@home1.example", "--app": "mms.ua", "--type": "text/plain", option: value}
    words = [word for pair in given.items() for word in pair]

    sent = omapush(front, "push", "send", *words, "--file", file, *method, "--initiator", "trusted")

    assert (sent.returncode, sent.stdout) == (1, "")
    assert f" {option}: " in sent.stderr


def test_pushes_to_a_user_are_listed_with_what_became_of_them(
    front: Stack, core: SipPeer, file: Path, push_id: str
) -> None:
    user = f"cli{push_id.partition('@')[0]}@home1.example"
    what = ("--app", "mms.ua", "--type", "text/plain", "--file", file, "--initiator", "trusted")
    for to, named in ((user, push_id), (f"other{user}", f"other{push_id}")):
        sent = omapush(front, "push", "send", "--to", f"sip:{to}", *what, "--push-id", named, "--wait")
        assert sent.returncode == 0

    rows = json.loads(omapush(front, "push", "list", "--user", user, "--json").stdout)
    assert [(one["push_id"], one["state"], one["result"]["state"]) for one in rows] == [
        (push_id, "finished", "delivered")
    ]
    table = omapush(front, "push", "list", "--user", f"sip:{user}", "--app", "mms.ua").stdout
    assert push_id in table
    assert "delivered" in table
    assert f"other{push_id}" not in table
    everything = omapush(front, "push", "list", "--most", "2", "--json").stdout
    assert [one["push_id"] for one in json.loads(everything)] == [f"other{push_id}", push_id]
    for none in (("--state", "running"), ("--until", "2020-01-01"), ("--app", "other.ua")):
        assert json.loads(omapush(front, "push", "list", "--user", user, *none, "--json").stdout) == []
    nothing = omapush(front, "push", "list", "--user", "sip:never@home1.example")
    assert (nothing.returncode, nothing.stdout.startswith("No such push is known")) == (0, True)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--user", "sip:"), ("--user", "alice"), ("--initiator", "stranger"), ("--since", "yesterday")],
)
def test_what_a_list_is_asked_for_in_vain_is_named(front: Stack, option: str, value: str) -> None:
    asked = omapush(front, "push", "list", option, value)

    assert asked.returncode != 0
    assert option in asked.stderr
    assert asked.stdout == ""
