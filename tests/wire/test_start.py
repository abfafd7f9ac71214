"""What the server finds on a machine does not keep it from starting."""

import os
import sys
from pathlib import Path

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.wire.requests import request


def test_another_python_that_comes_first_on_the_path_is_not_that_of_kamailio(tmp_path: Path) -> None:
    """
    Its interpreter looks for the standard library beside the first `python3` of PATH.

    There may be another build of the same version, such as pyenv's or conda's: here one without any module.
    """
    program = tmp_path / "other" / "bin" / "python3"
    library = tmp_path / "other" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (library / "lib-dynload").mkdir(parents=True)
    (library / "os.py").touch()
    program.parent.mkdir()
    program.touch(0o755)
    first = {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    with (
        Stack(tmp_path / "run", {}, ("redis", "sip"), environment=lambda _: first) as stack,
        SipPeer(stack.core_port) as core,
    ):
        answer = core.ask(request("OPTIONS", "sip:psa@home1.example", core.address), stack.sip)
    assert answer.status == 200
