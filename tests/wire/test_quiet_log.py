"""What Kamailio quotes of messages that it cannot read stays out of the log, if an operator wants that."""

from __future__ import annotations

from pathlib import Path

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.wire.requests import register
from tests.wire.test_mutations import answers

CREDENTIALS = b'Authorization: Digest username="ann",response="0123456789abcdef0123456789abcdef"\r\n'


def test_of_a_register_that_cannot_be_read_nothing_is_in_the_log_of_level_critical(tmp_path: Path) -> None:
    settings = {"sip": {"log_level": "critical"}}
    with Stack(tmp_path, settings, ("redis", "sip")) as stack, SipPeer(stack.core_port) as core:
        inside = b"REGISTER sip:home1.example SIP/2.0\r\n" + CREDENTIALS + b"\r\n"
        raw = register("sip:ann@home1.example", core, body=inside)
        for name in (b"Call-ID", b"CSeq", b"Contact"):
            core.send(raw.replace(name + b":", name + b" x:", 1), stack.sip)
        answers(stack, core)

        assert "0123456789abcdef" not in stack.parts["sip"].log_text()
        assert core.ask(register("sip:ann@home1.example", core), stack.sip).status == 200
