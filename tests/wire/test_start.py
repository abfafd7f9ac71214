"""What the server finds on a machine does not keep it from starting, and what it has ready then."""

import os
import re
import sys
from pathlib import Path

from bench.cpu import kinds_of
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


_SHARED = re.compile(
    r" rw-s [^\n]*/dev/zero[^\n]*\nSize: +([0-9]+) kB\n(?:[A-Za-z]+: [^\n]*\n)*?Rss: +([0-9]+) kB"
)
"A mapping in smaps: its size, and what of it the process has in its page table."


def test_no_process_has_to_wait_for_a_page_of_the_shared_memory(tmp_path: Path) -> None:
    with Stack(tmp_path / "run", {"sip": {"shared_memory_mb": 96}}, ("redis", "sip")) as stack:
        for process, kind in kinds_of(stack.control).items():
            found = _SHARED.findall(Path(f"/proc/{process}/smaps").read_text())
            size_kb, known_kb = (sum(int(one[part]) for one in found) for part in (0, 1))
            assert size_kb >= 96 * 1024, f"{kind}: {found}"
            assert known_kb == size_kb, f"{kind}: of {size_kb} kB it knows {known_kb}"
