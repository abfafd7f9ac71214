"""`omapush reload`: refused as a whole when wrong, else taken by every process; no request is lost."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.push.values import push_ref
from omapush.store import nodes
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import request

KINDS = {"sip", "api", "notifier"}
USER = "sip:alice@home1.example"
SECRET = "a secret of sixteen bytes"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, SipPeer]]:
    with Stack(tmp_path_factory.mktemp("reload")) as stack, SipPeer(stack.core_port) as core:
        wait_until(lambda: {one.kind for one in nodes.live(stack.store)} == KINDS, 30, "all processes")
        yield stack, core


class Rewritten:
    def __init__(self, stack: Stack, before: str) -> None:
        self._stack = stack
        self._before = before

    def with_lines(self, *lines: str, **keys: str) -> None:
        """Write the file with tables behind it, and with keys of tables that it has (`core__ioi='"x"'`)."""
        text = self._before
        for name, value in keys.items():
            table, key = name.split("__")
            kept = [line for line in _table(text, table) if not line.startswith(f"{key} = ")]
            text = text.replace(_head(text, table), f"[{table}]\n" + "".join([*kept, f"{key} = {value}\n"]))
        self._stack.config_file.write_text(text + "".join(f"{line}\n" for line in lines))

    def reload(self, *options: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["--config", str(self._stack.config_file), "reload", *options])
        assert done.exit_code == code, done.output
        return done.output + str(done.exception or "")


def _head(text: str, table: str) -> str:
    return f"[{table}]\n" + "".join(_table(text, table))


def _table(text: str, table: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    start = lines.index(f"[{table}]\n") + 1
    ends = [at for at in range(start, len(lines)) if lines[at].startswith("[")]
    return lines[start : ends[0] if ends else len(lines)]


@pytest.fixture
def rewritten(running: tuple[Stack, SipPeer]) -> Iterator[Rewritten]:
    """The file as a test changes it; afterwards as it was, and taken."""
    stack, _ = running
    before = stack.config_file.read_text()
    yield Rewritten(stack, before)
    stack.config_file.write_text(before)
    done = CliRunner().invoke(app, ["--config", str(stack.config_file), "reload"])
    assert done.exit_code == 0, done.output


def submit(stack: Stack, name: str, password: str, **more: Any) -> httpx.Response:
    body = {"application": "mms.ua", "to": [USER], "content_type": "text/plain", "content": "hello", **more}
    return httpx.post(
        f"{stack.http}/v1/pushes", json=body, auth=(name, password), trust_env=False, timeout=10
    )


def test_a_wrong_file_changes_nothing_and_names_the_key(
    running: tuple[Stack, SipPeer], rewritten: Rewritten, tmp_path: Path
) -> None:
    stack, _ = running
    right = tmp_path / "right.toml"
    right.write_text(stack.config_file.read_text())
    rewritten.with_lines(
        "[initiator.new]", f'password = "{SECRET}"', "[initiator.worse]", 'password = "x"', "rate = -1"
    )
    of_another_node = CliRunner().invoke(app, ["--config", str(right), "reload"])
    said = rewritten.reload(code=1)

    assert of_another_node.exit_code == 1
    assert "nothing is changed" in str(of_another_node.exception)
    assert "rate" in str(of_another_node.exception)
    assert str(stack.config_file) in said
    assert "initiator" in said
    assert "rate" in said
    assert SECRET not in said
    assert submit(stack, "new", SECRET).status_code == 401


def test_every_process_takes_what_is_new_and_says_so(
    running: tuple[Stack, SipPeer], rewritten: Rewritten
) -> None:
    stack, core = running
    rewritten.with_lines(
        "[initiator.new]",
        f'password = "{SECRET}"',
        '[application."mms.ua"]',
        'form = "wrapped"',
        'accept_contact = "none"',
        "retry = { attempts = 1, first_s = 0.1, longest_s = 0.1 }",
        core__ioi='"other.example"',
        core__trusted_peers='["192.0.2.0/24"]',
        sip__workers="1",
    )
    shown = rewritten.reload("--check")
    assert SECRET not in shown
    assert "***" in shown
    assert submit(stack, "new", SECRET).status_code == 401

    told = json.loads(rewritten.reload("--json"))
    changes = {one["key"]: one for one in told["changes"]}
    assert changes["core.ioi"]["new"] == '"other.example"'
    assert changes["sip.workers"]["restart"] == "sip"
    assert {words.split()[1] for words in told["taken"]} == KINDS

    assert submit(stack, "new", SECRET).status_code == 201  # the api
    message = core.wait_for_push(USER)[-1]
    assert message.header("Content-Type") == "application/vnd.oma.push"  # a sender
    assert not message.all("Accept-Contact")
    assert "other.example" in message.header("P-Charging-Vector")
    register = request("REGISTER", USER, core.address, [("Expires", "600")])
    assert core.ask(register, stack.sip).status == 403  # a SIP worker: we are no trusted peer any more
    assert {one.phase for one in nodes.live(stack.store)} == {"taken"}


def test_a_plan_for_retries_is_taken_by_who_judges_answers(
    running: tuple[Stack, SipPeer], rewritten: Rewritten
) -> None:
    stack, core = running
    rewritten.with_lines(
        '[application."once.ua"]', "retry = { attempts = 1, first_s = 0.1, longest_s = 0.1 }"
    )
    rewritten.reload()
    core.policy = lambda _: Says(503, "Busy", {"Retry-After": "1"})
    try:
        result = stack.result(stack.submit(USER, app="once.ua"))
    finally:
        core.policy = lambda _: OK
    assert (result.sip_code, result.attempts) == (503, 1)  # by default there would be four


def test_no_push_is_lost_while_it_is_reloaded_again_and_again(
    running: tuple[Stack, SipPeer], rewritten: Rewritten
) -> None:
    stack, _ = running
    ended = threading.Event()
    answers: list[httpx.Response] = []

    def load() -> None:
        while not ended.is_set():
            answers.append(submit(stack, "trusted", PASSWORD))

    loader = threading.Thread(target=load)
    loader.start()
    try:
        for number in (3, 4):
            rewritten.with_lines(delivery__lifetime_s=f"{number}00000", delivery__log_s=f"{number}0000")
            rewritten.reload()
    finally:
        ended.set()
        loader.join()
    assert {one.status_code for one in answers} == {201}
    for one in answers:
        known = stack.finished(push_ref("trusted", one.json()["push_id"]), deadline_s=30)
        assert known.results[0].state == "delivered"


def test_without_redis_the_command_says_so(tmp_path: Path) -> None:
    file = tmp_path / "omapush.toml"
    file.write_text(f'[redis]\nurl = "unix://{tmp_path}/none.sock"\n')
    done = CliRunner().invoke(app, ["--config", str(file), "reload"])
    assert done.exit_code == 1
