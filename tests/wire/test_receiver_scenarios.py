"""Every folder of tests/receiver-scenarios: `omapush receiver run` against SIPp."""

import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.msrp_peer import MsrpPeer
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.session_media import SessionMedia
from tests.harness.sipp import Sipp
from tests.harness.stack import ROOT

FOLDER = ROOT / "tests" / "receiver-scenarios"
SCENARIOS = sorted(folder for folder in FOLDER.iterdir() if folder.is_dir())
SETTINGS = {"args", "media", "register", "pushes", "events", "signals", "exit", "stderr"}


def requirements(folder: Path) -> list[str]:
    """The ids in the folder's README."""
    found = re.search(r"^Requirements: (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert found, f"{folder}: README.md has no line 'Requirements: ...'"
    return found[1].split(", ")


def settings(folder: Path) -> dict[str, Any]:
    """What the folder asks for besides its SIPp files."""
    file = folder / "scenario.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


class Device(Process):
    """`omapush receiver run --json` and what it told."""

    def __init__(self, folder: Path, port: int, proxy_port: int, args: Sequence[str]) -> None:
        self.address = ("127.0.0.1", port)
        command: list[str | Path] = [sys.executable, "-m", "omapush.cli.main", "receiver", "run"]
        super().__init__(
            [
                *command,
                *("--uri", "sip:alice@home1.example", "--proxy", f"sip:127.0.0.1:{proxy_port}"),
                *("--listen", f"127.0.0.1:{port}", "--app", "mms.ua", "--save", folder / "saved", "--json"),
                *args,
            ],
            log=folder / "receiver.log",
            cwd=ROOT,
        )

    def told(self) -> list[dict[str, Any]]:
        """Its events so far."""
        return list(json_lines(self.log_text()))

    def wait_for_event(self, event: str, count: int = 1) -> None:
        """Return once it told of an event so often."""
        self.wait_until(lambda: self.count(event) >= count, 10, f"{count} times {event}")

    def count(self, event: str) -> int:
        """How often it told of an event."""
        return sum(one["event"] == event for one in self.told())


def json_lines(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines of an output."""
    for line in text.splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(folder, id=folder.name, marks=pytest.mark.req(*requirements(folder)))
        for folder in SCENARIOS
    ],
)
def test_the_behaviour_in_the_folders_name_happens(folder: Path, tmp_path: Path) -> None:
    wanted = settings(folder)
    port, core_port = free_ports(2)
    args = [*wanted.get("args", ()), *([] if wanted.get("register") else ["--no-register"])]
    device = Device(tmp_path, port, core_port, args)
    with ExitStack() as running:
        peers = []
        if (folder / "uas.xml").exists():
            uas = Sipp(
                folder / "uas.xml",
                folder=tmp_path,
                local_port=core_port,
                keys={"device_port": str(port)},
                deadline_s=20,
            )
            peers.append(running.enter_context(uas))
        running.enter_context(device)
        media = None
        if "media" in wanted:
            media = SessionMedia(running.enter_context(MsrpPeer()), wanted["media"])
        if "exit" in wanted:
            assert device.wait_for_exit(10) == wanted["exit"]
            assert wanted["stderr"] in device.log_text()
        else:
            device.wait_for_event("ready")
            if (folder / "uac.xml").exists():
                keys = media.keys if media else None
                uac = Sipp(folder / "uac.xml", folder=tmp_path, to=device.address, keys=keys, deadline_s=20)
                running.enter_context(uac)
                if media:
                    media.transfer(uac)
                outcome = uac.finish()
                assert outcome.exit_code == 0, f"{outcome}\n{device.log_tail()}"
            if media:
                media.check()
            _check_told(device, wanted)
            assert device.stop() == 0, device.log_tail()
        for peer in peers:
            outcome = peer.finish()
            assert outcome.exit_code == 0, f"{outcome}\n{device.log_tail()}"


def _check_told(device: Device, wanted: Mapping[str, Any]) -> None:
    """Wait for the pushes and events that must come, and see that no other push did."""
    for number, name in enumerate(wanted.get("signals", ()), start=1):
        device.send_signal(getattr(signal, name))
        device.wait_for_event("registered", number + 1)
    events = [name for name in wanted.get("events", ()) if name != "stopped"]
    for name in set(events):
        device.wait_for_event(name, events.count(name))
    pushes = wanted.get("pushes", [])
    device.wait_for_event("push", len(pushes))
    told = [one for one in device.told() if one["event"] == "push"]
    assert len(told) == len(pushes), told
    for one, fields in zip(told, pushes, strict=True):
        assert {name: one[name] for name in fields} == fields
        if one["answer"] == 200:
            assert Path(one["saved"]).stat().st_size == one["bytes"]


def test_each_folder_has_a_summary_and_asks_for_known_things_only() -> None:
    assert len(SCENARIOS) >= 20
    for folder in SCENARIOS:
        assert (folder / "README.md").read_text().startswith("Summary: "), folder
        assert set(settings(folder)) <= SETTINGS, folder
        assert (folder / "uas.xml").exists() or (folder / "uac.xml").exists(), folder
