"""Redis by TLS, as a user that may do just what we need; its password and certificate nowhere to be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from omapush.errors import PushError
from omapush.store import client, looks
from tests.fakes.initiator import PushInitiator
from tests.harness.authority import TestCa
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until
from tests.http.test_command import omapush

WORD = "the-password-of-psa"
MAY = "~* &* +@all -@admin -@dangerous +info +config|get +keys"
"What docs/security.md says the user needs; KEYS is for the tests alone."


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Settings]:
    """A Redis that lets nobody in but by TLS with a certificate, as psa; and how to reach it."""
    authority = TestCa(tmp_path / "ca")
    server, ours = authority.issue("localhost"), authority.issue("psa.home1.example")
    (tmp_path / "word").write_text(f"{WORD}\n")
    (tmp_path / "users.acl").write_text(f"user default off\nuser psa on >{WORD} {MAY}\n")
    (port,) = free_ports(1)
    command: list[str | Path] = [shutil.which("redis-server") or "redis-server", "--port", "0"]
    command += ["--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    command += ["--tls-cert-file", server.certificate, "--tls-key-file", server.private_key]
    command += ["--tls-ca-cert-file", authority.certificate, "--aclfile", tmp_path / "users.acl"]
    settings = {
        "url": f"rediss://psa@localhost:{port}/0",
        "password_file": str(tmp_path / "word"),
        "trusted_certificates": str(authority.certificate),
        "certificate": str(ours.certificate),
        "private_key": str(ours.private_key),
    }
    with Process(command, log=tmp_path / "redis.log") as running:
        wait_until(lambda: "Ready to accept" in running.log.read_text(), 10, "Redis")
        yield {"redis": settings}


@pytest.mark.timeout(60)
def test_everything_works_by_tls_and_a_user_and_no_secret_is_told(guarded: Settings, tmp_path: Path) -> None:
    with Stack(tmp_path / "stack", guarded, parts=("sip", "api", "notifier")) as stack:
        with SipPeer(stack.core_port) as core, PushInitiator(stack.http, "trusted", PASSWORD) as provider:
            provider.push("tls@pi", "sip:alice@home1.example", b"hello", app="mms.ua")
            with httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), trust_env=False) as api:
                wait_until(
                    lambda: api.get("/v1/pushes/tls@pi").json()["state"] == "finished", 20, "a final state"
                )
            assert [one.body for one in core.pushes("sip:alice@home1.example")] == [b"hello"]
        told = [omapush(stack, "doctor").stdout, omapush(stack, "config", "check").stdout]
        told += [file.read_text() for file in stack.folder.glob("*.log")]
        assert "rediss://psa@localhost" in told[0]
        assert not any(WORD in text or PASSWORD in text for text in told)


def test_without_password_or_certificate_nobody_gets_in(guarded: Settings, tmp_path: Path) -> None:
    for missing in ("password_file", "trusted_certificates", "certificate"):
        left = {key: value for key, value in guarded["redis"].items() if key != missing}
        if missing == "certificate":
            del left["private_key"]
        stack = Stack(tmp_path / missing, {"redis": left}, parts=())
        with pytest.raises(PushError):
            looks.ready(client.connect(stack.config.redis), [0])
