"""What the doctor asks Kamailio: each finding that is wrong says what follows and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from omapush.cli import kamailio_checks
from omapush.config import Config, Core
from tests.harness.stack import Stack
from tests.unit.cli.test_checks import assert_helpful

ARGUMENTS = "kamailio\n-f\nkamailio.cfg\n-x\n{}\n-X\n{}\n"
SHARED = "{{\n\ttotal: 1000000000\n\tfree: {}\n\tused: 1\n}}\n"
NOT_FOUND = "error: 400 - Not found\n"
RECORD = "{\n\tname: scscf.home1.example\n}\n"

Says = Callable[[dict[str, str]], list[str]]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let Kamailio answer, by what it is asked; returns what that was, as it comes."""

    def install(answers: dict[str, str]) -> list[str]:
        asked: list[str] = []

        def answer(command: list[str]) -> str:
            asked.append(" ".join(command[3:]))
            return answers.get(asked[-1], NOT_FOUND)

        monkeypatch.setattr(kamailio_checks, "output_of", answer)
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/sbin/{name}")
        return asked

    return install


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """A control socket, as far as its file goes."""
    path = tmp_path / "kamailio.ctl"
    path.touch()
    return path


def reaching(*uris: str) -> Config:
    return Config(path="test.toml", core=Core(next_hop=uris[0], next_hops=uris[1:]))


def test_a_kamailio_with_tlsf_is_ok(says: Says, control: Path) -> None:
    says({"core.arg": ARGUMENTS.format("tlsf", "tlsf")})
    assert kamailio_checks.memory_manager(control).state == "ok"


@pytest.mark.parametrize("arguments", ["kamailio\n-f\nkamailio.cfg\n", ARGUMENTS.format("tlsf", "qm")])
def test_another_memory_manager_is_wrong(says: Says, control: Path, arguments: str) -> None:
    says({"core.arg": arguments})
    assert_helpful(kamailio_checks.memory_manager(control))


def test_shared_memory_that_runs_out_is_wrong(says: Says, control: Path) -> None:
    says({"core.shmmem": SHARED.format(900_000_000)})
    assert kamailio_checks.shared_memory(control).state == "ok"
    says({"core.shmmem": SHARED.format(90_000_000)})
    assert_helpful(kamailio_checks.shared_memory(control))


def test_without_a_control_socket_nothing_is_said(tmp_path: Path) -> None:
    missing = tmp_path / "missing.ctl"
    named = kamailio_checks.next_hop_names(reaching("sip:scscf.home1.example"), missing)
    memory = (kamailio_checks.memory_manager(missing), kamailio_checks.shared_memory(missing))
    assert {one.state for one in (*memory, named)} == {"skipped"}


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_a_name_with_a_port_needs_an_address_in_dns(says: Says, control: Path, kind: str) -> None:
    core = reaching("sip:scscf.home1.example:6060;lr", "sip:127.0.0.1:5060")
    asked = says({"core.version": "kamailio 5.6.3", f"dns.lookup {kind} scscf.home1.example": RECORD})

    finding = kamailio_checks.next_hop_names(core, control)

    assert (finding.state, finding.cause) == ("ok", "scscf.home1.example:6060")
    assert not any("SRV" in one or "127.0.0.1" in one for one in asked)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_name_without_a_port_may_have_services(says: Says, control: Path, protocol: str) -> None:
    says({"core.version": "v", f"dns.lookup SRV _sip._{protocol}.home1.example": RECORD})
    assert kamailio_checks.next_hop_names(reaching("sip:home1.example"), control).state == "ok"


def test_addresses_need_no_dns(says: Says, control: Path) -> None:
    asked = says({})
    core = reaching(
        "sip:127.0.0.1", "sip:[::1]", "sip:[::1]:5060;lr", "sip:192.0.2.1:6060", "sip:[2001:db8::1]"
    )
    assert kamailio_checks.next_hop_names(core, control).state == "ok"
    assert asked == []


def test_a_name_that_only_others_find_is_named(says: Says, control: Path) -> None:
    says({"core.version": "v", "dns.lookup A known.home1.example": RECORD})
    core = reaching("sip:known.home1.example:5060", "sip:localhost:6060;lr")

    finding = kamailio_checks.next_hop_names(core, control)

    assert_helpful(finding)
    assert "localhost:6060" in finding.cause
    assert "known" not in finding.cause


def test_kamailio_itself_says_what_it_does_not_find(tmp_path: Path) -> None:
    with Stack(tmp_path, parts=("redis", "sip")) as stack:
        finding = kamailio_checks.next_hop_names(reaching("sip:no-such-host.invalid:6060"), stack.control)

    assert_helpful(finding)
    assert "no-such-host.invalid:6060" in finding.cause
