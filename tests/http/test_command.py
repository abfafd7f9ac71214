"""`omapush push` against a running installation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack


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
    assert (again.returncode, again.stdout) == (1, "")
    assert "refused: 2007" in again.stderr
    shown = json.loads(omapush(front, "push", "show", push_id, "--json").stdout)
    assert shown["recipients"][0]["state"] == "delivered"
