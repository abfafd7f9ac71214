"""The program in the README works as it is typed."""

import re
import signal
import sys
from pathlib import Path

import pytest

from tests.harness.markdown import ROOT
from tests.harness.processes import Process
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import grant, request, requests

HEADING = "## Receive pushes in your own program"
CORE = "sip:127.0.0.1:6060"
"Where `make run` has its stand-in S-CSCF."


@pytest.mark.req("PRA-GEN-3")
def test_the_example_registers_takes_one_push_refuses_another_and_leaves(tmp_path: Path) -> None:
    found = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text().partition(HEADING)[2], re.DOTALL
    )
    assert found
    source = found[1]
    assert len(source.splitlines()) <= 30
    assert source.count(CORE) == 1
    program = tmp_path / "receiver.py"
    with SipPeer(policy=grant) as peer:
        program.write_text(source.replace(CORE, f"sip:127.0.0.1:{peer.port}"))
        process = Process(
            [sys.executable, program], log=tmp_path / "example.log", env={"PYTHONPATH": str(ROOT)}
        )
        with process:
            process.wait_for_line("registered")
            contact = requests(peer, "REGISTER")[0].header("Contact")
            port = int(re.findall(r"@127\.0\.0\.1:([0-9]+)>", contact)[0])
            assert 'pusheventapp="mms.ua,ulp.ua"' in contact

            taken = peer.ask(request(peer, "MESSAGE", body=b"hello, bob"), ("127.0.0.1", port))
            supl = {"Accept-Contact": '*;+g.oma.pusheventapp="ulp.ua"'}
            refused = peer.ask(request(peer, "MESSAGE", supl, b"x"), ("127.0.0.1", port))
            assert (taken.status, refused.status) == (200, 603)
            assert "hello, bob" in process.log_text()

            process.send_signal(signal.SIGINT)
            assert process.wait_for_exit(10) == 0, process.log_tail()
        wait_until(lambda: requests(peer, "REGISTER")[-1].header("Expires") == "0", 5, "the last REGISTER")
