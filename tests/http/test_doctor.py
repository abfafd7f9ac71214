"""`omapush doctor` on a running installation: nothing is wrong, and what is broken then is named."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.store import nodes
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until


@pytest.fixture(autouse=True)
def all_there(front: Stack, core: SipPeer) -> None:
    kinds = {"sip", "api", "notifier"}
    wait_until(lambda: {one.kind for one in nodes.live(front.store)} == kinds, 30, "all processes")
    assert core


def doctor(front: Stack) -> tuple[int, dict[str, dict[str, str]]]:
    run_dir = front.config.redis.url.removeprefix("unix://").rpartition("/")[0]
    words = ["--config", str(front.config_file), "doctor", "--run-dir", run_dir, "--json"]
    done = CliRunner().invoke(app, words)
    listed = json.loads(done.stdout[: done.stdout.rindex("]") + 1])
    return done.exit_code, {one["check"]: one for one in listed}


def test_a_healthy_installation_has_no_finding(front: Stack) -> None:
    code, found = doctor(front)

    assert [one for one in found.values() if one["state"] == "wrong"] == []
    assert code == 0
    assert len([one for one in found.values() if one["state"] == "ok"]) >= 20
    assert found["memory manager"]["cause"] == "tlsf"


def test_a_node_out_of_service_and_a_dead_notifier_are_named(front: Stack) -> None:
    nodes.drain(front.store, front.config.node, 1)
    front.kill("notifier")
    try:
        wait_until(
            lambda: doctor(front)[1]["processes"]["state"] == "wrong", 30, "the notifier's sign to end"
        )
        code, found = doctor(front)
    finally:
        nodes.undrain(front.store, front.config.node)
        front.start("notifier")
    assert code == 1
    assert "notifier" in found["processes"]["cause"]
    assert front.config.node in found["drained"]["cause"]
    assert found["drained"]["action"].startswith("omapush undrain")
