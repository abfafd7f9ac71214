"""Every folder of tests/sipp-scenarios: the behaviour in its name happens on the socket."""

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from omapush.push.values import Result
from tests.harness.sipp import Sipp
from tests.harness.stack import Stack

FOLDER = Path(__file__).parent.parent / "sipp-scenarios"
SCENARIOS = sorted(folder for folder in FOLDER.iterdir() if folder.is_dir() and folder.name[0] != "_")


def requirements(folder: Path) -> list[str]:
    """The ids in the folder's README."""
    found = re.search(r"^Requirements: (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert found, f"{folder}: README.md has no line 'Requirements: ...'"
    return found[1].split(", ")


def expected(folder: Path) -> dict[str, Any]:
    """
    What else the folder asks for, from its `scenario.json`.

    `local_ip`: address of the client. `tcp`: its transport. `push`: arguments of `Stack.submit`.
    `result`: fields of the push's result. `registrations`: contacts kept for each address of record, null
    for no record.
    """
    file = folder / "scenario.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(folder, id=folder.name, marks=pytest.mark.req(*requirements(folder)))
        for folder in SCENARIOS
    ],
)
def test_the_behaviour_in_the_folders_name_happens(folder: Path, stack: Stack, tmp_path: Path) -> None:
    wanted = expected(folder)
    ref = ""
    with ExitStack() as running:
        peers = []
        if (folder / "uas.xml").exists():
            uas = Sipp(folder / "uas.xml", folder=tmp_path, local_port=stack.core_port)
            peers.append(running.enter_context(uas))
        if "push" in wanted:
            content = wanted["push"].pop("content", "hello").encode()
            ref = stack.submit(content=content, **wanted["push"])
        if (folder / "uac.xml").exists():
            uac = Sipp(
                folder / "uac.xml",
                folder=tmp_path,
                to=stack.sip,
                local_ip=wanted.get("local_ip", "127.0.0.1"),
                tcp=wanted.get("tcp", False),
                keys={"core_port": str(stack.core_port)},
            )
            peers.append(running.enter_context(uac))
        for peer in peers:
            outcome = peer.finish()
            assert outcome.exit_code == 0, outcome

    if ref:
        result = stack.result(ref)
        assert {name: getattr(result, name) for name in wanted["result"]} == wanted["result"]
    for aor, contacts in wanted.get("registrations", {}).items():
        record = stack.registration(aor)
        assert (None if record is None else [contact.uri for contact in record.contacts]) == contacts


def test_each_folder_has_a_summary_and_asks_for_known_things_only() -> None:
    assert len(SCENARIOS) >= 20
    for folder in SCENARIOS:
        assert (folder / "README.md").read_text().startswith("Summary: "), folder
        wanted = expected(folder)
        assert set(wanted) <= {"local_ip", "tcp", "push", "result", "registrations"}, folder
        assert set(wanted.get("result", {})) <= set(Result._fields), folder
        assert ("push" in wanted) == ("result" in wanted), folder
