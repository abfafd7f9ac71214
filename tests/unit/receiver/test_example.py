"""The program in the README works as it is typed, and the handset in examples/ over TLS."""

import asyncio
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.harness.certificates import certificate
from tests.harness.markdown import ROOT
from tests.harness.processes import Process
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, grant, request, requests
from tests.unit.receiver.stream_core import core, message

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


ALONE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import omapush.receiver
"""
OF_THE_SERVER = {
    "redis", "hiredis", "litestar", "uvicorn", "uvloop", "httptools", "aiohttp", "prometheus_client", "typer",
    "rich", "honcho", "jinja2", "argon2", "jwt", "opentelemetry", "lxml",
}  # fmt: skip


def test_the_library_needs_nothing_of_the_server() -> None:
    """As docs/receiver.md says of a program of one's own, which has five libraries and these files."""
    run = subprocess.run(
        [sys.executable, "-c", ALONE % OF_THE_SERVER], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    needed = {"structlog", "httpx", "cryptography", "msgspec", "dnspython"}
    written = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    names = {name.replace("_", "-") for name in OF_THE_SERVER} - {"jwt", "argon2", "opentelemetry"}
    assert written - names - needed == {
        "pyjwt", "argon2-cffi", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"
    }  # fmt: skip
    assert f"pip install {' '.join(sorted(needed))}" in (ROOT / "docs" / "receiver.md").read_text()


@pytest.mark.req("PRA-GEN-3")
def test_the_handset_takes_pushes_over_its_own_connection_by_tls(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)
    content = bytes(range(256))
    program, folder = ROOT / "examples" / "handset.py", tmp_path / "handset"

    async def scenario() -> int:
        async with core(server) as (made, port):
            proxy = f"sip:127.0.0.1:{port};transport=tls"
            ca = f"--ca={tmp_path}/server.pem"
            argv: list[str | Path] = [sys.executable, program, ALICE, proxy, folder, ca]
            with Process(argv, log=tmp_path / "handset.log", env={"PYTHONPATH": str(ROOT)}) as process:
                await asyncio.to_thread(process.wait_for_line, "registered")
                raw = message(1, "TLS", content).replace(b"mms.ua", b"ulp.ua")
                made.writers[0].write(raw.replace(b"text/plain", b"application/vnd.omaloc-supl-init"))
                status = (await made.response()).status
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait_for_exit, 10) == 0, process.log_tail()
            assert made.requests[-1].header("Expires") == "0"
            return status

    assert asyncio.run(scenario()) == 200
    assert [path.read_bytes() for path in (folder / "inbox").iterdir()] == [content]
