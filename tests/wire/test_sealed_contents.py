"""With keys configured no content lies in Redis or its files as it is, and every device gets it as it was."""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx

from tests.conftest import MakeStack
from tests.fakes.initiator import PushInitiator
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

SECRET = b"what nobody but the device should read"
PARTS = ("redis", "sip", "api", "notifier")


def on_disk(stack: Stack) -> bytes:
    """All that Redis has written so far."""
    folder = Path(str(stack.db.config_get("dir")["dir"]))
    return b"".join(file.read_bytes() for file in folder.rglob("*.aof"))


def test_a_push_is_sent_as_it_came_and_is_never_on_disk_as_it_is(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    stack = make_stack({"redis": {"content_keys": [str(key)]}}, parts=PARTS)
    with SipPeer(stack.core_port) as core, PushInitiator(stack.http, "trusted", PASSWORD) as provider:
        provider.push("sealed@pi", "sip:alice@home1.example", SECRET, app="mms.ua")
        with httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), trust_env=False) as api:
            wait_until(
                lambda: api.get("/v1/pushes/sealed@pi").json()["state"] == "finished", 20, "a final state"
            )

        assert [one.body for one in core.pushes("sip:alice@home1.example")] == [SECRET]
        written = on_disk(stack)
        assert b"sealed@pi" in written
        assert SECRET not in written
