"""Every folder of tests/sipp-scenarios: the behaviour in its name happens on the socket."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from omapush.push.values import Result
from omapush.store import hosted, watches
from tests.conftest import MakeStack
from tests.harness.session_device import SESSIONS, employ, transferred
from tests.harness.sipp import Outcome, Sipp
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

FOLDER = Path(__file__).parent.parent / "sipp-scenarios"
SCENARIOS = sorted(folder for folder in FOLDER.iterdir() if folder.is_dir() and folder.name[0] != "_")
KNOWN = {
    "local_ip", "tcp", "calls", "push", "result", "register", "registrations", "watching", "watch", "hosting",
    "hosted", "files", "transfers",
}  # fmt: skip
WATCHING: Settings = {"registration": {"watch": True, "first_retry_s": 0.2, "longest_retry_s": 1.0}}


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that subscribes to the reg event of who registers."""
    with Stack(tmp_path_factory.mktemp("watching"), WATCHING, ("redis", "sip")) as running:
        yield running


@pytest.fixture
def hosting(make_stack: MakeStack) -> Stack:
    """A stack with an application that subscribes to a sender, and leaves pushes in streams."""
    table = {
        "backend": "stream",
        "subscribe": ["sip:psa@other.example"],
        "identity": "sip:mms@as.example",
        "content_types": ["image/*"],
    }
    return make_stack({'hosted."mms.ua"': table}, parts=("redis", "sip"))


@pytest.fixture(scope="module")
def transfers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that opens sessions, and a media worker that the test plays."""
    with Stack(tmp_path_factory.mktemp("transfers"), SESSIONS, ("redis", "sip", "notifier")) as running:
        employ(running)
        yield running


def requirements(folder: Path) -> list[str]:
    """The ids in the folder's README."""
    found = re.search(r"^Requirements: (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert found, f"{folder}: README.md has no line 'Requirements: ...'"
    return found[1].split(", ")


def expected(folder: Path) -> dict[str, Any]:
    """
    What else the folder asks for, from its `scenario.json`.

    `local_ip`: address of the client. `tcp`: its transport. `calls`: how many the server takes. `push`:
    arguments of `Stack.submit`. `result`: fields of the push's result. `register`: whom the S-CSCF registers
    with us first. `registrations`: contacts kept for each address of record, null for no record.
    `watching`: whether we subscribe to the reg event. `watch`: state of the subscription at the end, by
    address of record. `hosting`: whether an application behind us subscribes to the sender that the server
    plays. `hosted`: pushes left for each application at the end. `transfers`: how the media worker reports
    m-lines of the session, in this order: position, MSRP status, and positions whose m-lines have to be
    closed before. `files`: how many pushes like `push` are submitted.
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
def test_the_behaviour_in_the_folders_name_happens(
    folder: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    wanted = expected(folder)
    kind = next((name for name in ("watching", "hosting", "transfers") if name in wanted), "stack")
    stack: Stack = request.getfixturevalue(kind)
    ref = ""
    with ExitStack() as running:
        peers = []
        if (folder / "uas.xml").exists():
            calls = wanted.get("calls", 1)
            uas = Sipp(folder / "uas.xml", folder=tmp_path, local_port=stack.core_port, calls=calls)
            peers.append(running.enter_context(uas))
        if "push" in wanted:
            content = wanted["push"].pop("content", "hello").encode()
            for number in range(wanted.get("files", 1)):
                ref = stack.submit(content=content + b"." * number, **wanted["push"])
        if "register" in wanted:
            told = registered(wanted["register"], stack, tmp_path)
            assert told.exit_code == 0, str(told)
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
        for report in wanted.get("transfers", ()):
            transferred(stack, wanted["push"]["to"], wanted["push"]["app"], *report)
        for peer in peers:
            outcome = peer.finish()
            assert outcome.exit_code == 0, str(outcome)

    if ref:
        result = stack.result(ref)
        assert {name: getattr(result, name) for name in wanted["result"]} == wanted["result"]
    for aor, state in wanted.get("watch", {}).items():
        wait_until(lambda: state_of(stack, aor) == state, 5, lambda: f"{state}: {state_of(stack, aor)}")  # noqa: B023
    for application, number in wanted.get("hosted", {}).items():
        assert hosted.streamed(stack.store, application) == number
    for aor, contacts in wanted.get("registrations", {}).items():
        record = stack.registration(aor)
        assert (None if record is None else [contact.uri for contact in record.contacts]) == contacts


def registered(aor: str, stack: Stack, folder: Path) -> Outcome:
    """The S-CSCF whose address is the stack's next hop registers a user with one device."""
    return Sipp(
        FOLDER / "_shared" / "third-party-register.xml",
        folder=folder,
        to=stack.sip,
        inf=[[aor, "sip:first@127.0.0.1:5092", "mms.ua"]],
        keys={"expires": "720", "ue_expires": "600", "s_cscf": f"127.0.0.1:{stack.core_port}"},
    ).run()


def state_of(stack: Stack, aor: str) -> str:
    """State of our subscription to the user's reg event."""
    watch = watches.read(stack.store, aor)
    return watch.state if watch else ""


def test_each_folder_has_a_summary_and_asks_for_known_things_only() -> None:
    assert len(SCENARIOS) >= 20
    for folder in SCENARIOS:
        assert (folder / "README.md").read_text().startswith("Summary: "), folder
        wanted = expected(folder)
        assert set(wanted) <= KNOWN, folder
        assert set(wanted.get("result", {})) <= set(Result._fields), folder
        assert ("push" in wanted) == ("result" in wanted), folder
