"""Many devices in one process: all registered, all reached, nothing lost."""

import asyncio
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from omapush.errors import BadConfiguration
from omapush.receiver import Push
from omapush.receiver.fleet import Fleet, Plan, Report
from tests.fakes.file_sender import File, FileSender
from tests.fakes.msrp_peer import MsrpPeer
from tests.fakes.sip_text import SipText
from tests.harness.processes import Process
from tests.harness.scscf import Scscf
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import ROOT
from tests.harness.wait import wait_until
from tests.unit.receiver.core import FAST, PSA, grant, request
from tests.wire.test_receiver_scenarios import json_lines


async def pushed(peer: SipPeer, plan: Plan, to: list[int], **settings: Any) -> tuple[Fleet, Report]:
    """Start the fleet, push to the devices of these numbers, stop."""
    fleet = Fleet(plan, timers=FAST, expires_s=600, **settings)
    await fleet.start()
    addresses = [endpoint.local for endpoint in fleet.endpoints]
    for number in to:
        line = f"MESSAGE sip:device{number}@127.0.0.1 SIP/2.0"
        raw = request(peer, "MESSAGE", body=b"x", line=line)
        answer = await asyncio.to_thread(peer.ask, raw, addresses[number % len(addresses)])
        assert answer.status == 200
    report = fleet.report()
    await fleet.stop()
    return fleet, report


def test_all_devices_register_over_shared_sockets_and_each_gets_its_own_pushes() -> None:
    got: list[Push] = []
    with SipPeer(policy=grant) as peer:
        plan = Plan(
            50, "sip:device{n}@home1.example", f"sip:127.0.0.1:{peer.port}", {"mms.ua": got.append}, sockets=3
        )
        _, report = asyncio.run(pushed(peer, plan, [1, 2, 3, 50, 50]))

        assert (report.devices, report.registered, report.failed) == (50, 50, 0)
        assert (report.received, report.refused, report.duplicates) == (5, 0, 0)
        assert report.memory_mb > 0
        assert report.registers_per_s > 0
        assert report.pushes_per_s > 0
        registers = [one for one in peer.requests if one.method == "REGISTER"]
        assert len({one.header("To") for one in registers}) == 50
        assert len({one.header("Contact").partition(">")[0].rpartition(":")[2] for one in registers}) == 3
        assert sum(one.header("Expires") == "0" for one in registers) == 50
    assert len(got) == 5


def test_devices_that_are_refused_are_counted_and_the_others_go_on() -> None:
    turn = count()

    def policy(one: SipText) -> Says | None:
        return Says(403, "No") if one.method == "REGISTER" and next(turn) < 3 else grant(one)

    with SipPeer(policy=policy) as peer:
        plan = Plan(10, "sip:device{n}@home1.example", f"sip:127.0.0.1:{peer.port}", {"mms.ua": print})
        fleet, report = asyncio.run(pushed(peer, plan, []))
        assert (report.registered, report.failed) == (7, 3)
        assert list(fleet.failures) == ["registration failed: 403: forbidden"]


def test_devices_cannot_share_one_identity() -> None:
    with pytest.raises(BadConfiguration, match=r"\{n\} is missing"):
        Fleet(Plan(2, "sip:a@home1.example", "sip:127.0.0.1", {}))


def all_are_taken(sender: SipPeer, sent: int) -> None:
    """Return when so many requests have got 200."""
    wait_until(lambda: sum(one.status == 200 for one in sender.responses) == sent, 10, f"{sent} answers")


def test_a_thousand_devices_run_in_one_process(tmp_path: Path) -> None:
    """Registered through the stand-in S-CSCF; each gets a push from it."""
    with Scscf(tmp_path / "scscf") as scscf, SipPeer() as sender:
        command: list[str | Path] = [sys.executable, "-m", "omapush.cli.main", "receiver", "fleet"]
        fleet = Process(
            [*command, "--count", "1000", "--proxy", scscf.uri, "--sockets", "2", "--json"],
            log=tmp_path / "fleet.log",
            cwd=ROOT,
        )
        with fleet:
            fleet.wait_for_line('"event": "registered"', 30)
            for number in range(1, 1001):
                line = f"MESSAGE sip:device{number}@home1.example SIP/2.0"
                to = {"To": f"<sip:device{number}@home1.example>"}
                sender.send(request(sender, "MESSAGE", to, b"hello", line=line), scscf.address)
                if number % 50 == 0:  # no more at a time than sockets hold
                    all_are_taken(sender, number)
            assert fleet.stop(20) == 0, fleet.log_tail()
        first, last = json_lines(fleet.log_text())
        assert (first["registered"], last["received"], last["failed"]) == (1000, 1000, 0)
        assert (last["refused"], last["duplicates"]) == (0, 0)
        assert last["memory_kb_per_device"] < 100
    wait_until(lambda: not fleet.is_running, 5, "the end")


def test_each_device_of_a_fleet_takes_its_own_files_over_one_msrp_port() -> None:
    got: list[Push] = []
    contents = {f"sip:device{number}@home1.example": bytes([number]) * 100_000 for number in (1, 2, 3)}

    def keep(push: Push) -> None:
        got.append(replace(push, content=push.read()))

    with SipPeer(policy=grant) as peer, MsrpPeer() as msrp:
        plan = Plan(3, "sip:device{n}@home1.example", f"sip:127.0.0.1:{peer.port}", {"mms.ua": keep})
        fleet = Fleet(plan, timers=FAST, expires_s=600)

        def send(address: tuple[str, int]) -> set[int]:
            senders = []
            for aor, content in contents.items():
                sender, file = FileSender(peer, address, aor=aor, sender=PSA), File(msrp.session(), content)
                assert sender.invite(file).status == 200
                file.session.connect()
                senders.append((sender, file))
            for sender, file in senders:
                file.session.send(file.content, "image/png")
                assert file.session.wait_for_report().header("Status") == "000 200 OK"
                assert sender.bye().status == 200
            return {sender.lines[0].port for sender, _ in senders}

        async def scenario() -> tuple[set[int], Report]:
            await fleet.start()
            ports = await asyncio.to_thread(send, fleet.endpoints[0].local)
            report = fleet.report()
            await fleet.stop()
            return ports, report

        ports, report = asyncio.run(scenario())
    assert len(ports) == 1
    assert report.received == 3
    assert {push.header("To"): push.content for push in got} == {
        f"<{aor}>": content for aor, content in contents.items()
    }
    assert msrp.violations == []
