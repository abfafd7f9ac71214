"""
Write stubs/KSR.pyi: what Kamailio itself says it offers to Python, with the modules of kamailio.cfg.

`make stubs` runs this. Kamailio is started on a free loopback port with a private control socket, asked for
its list of KEMI functions, and stopped again.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from omapush import config
from omapush.cli import launch
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.wait import wait_until

TARGET = Path(__file__).with_name("KSR.pyi")
_FUNCTION = re.compile(r"ret: (\S+)\s+module: (\S*)\s+name: (\S+)\s+params: (.+)")
_TYPES = {"int": "int", "str": "str", "bool": "bool", "none": "None", "xval": "int | str | None"}
_HEAD = '''"""
KSR as Kamailio {version} offers it with the modules of kamailio.cfg. Written by `make stubs`; do not edit.
"""
'''


def main() -> None:
    """Ask Kamailio and write the stub."""
    with tempfile.TemporaryDirectory(prefix="ksr") as folder:
        listing = _listing(Path(folder))
    functions = _FUNCTION.findall(listing)
    if not functions:
        sys.exit("Kamailio listed no function")
    TARGET.write_text(_stub(functions), encoding="utf-8")
    print(f"{TARGET}: {len(functions)} functions")


def _listing(folder: Path) -> str:
    port = free_port()
    file = folder / "omapush.toml"
    file.write_text(
        f'sip.listen = ["udp:127.0.0.1:{port}"]\nsip.shared_memory_mb = 128\nsip.window = 100\n'
        f'redis.url = "unix://{folder}/none.sock"\n'
    )
    values = config.load(str(file))
    command = launch.kamailio_command(values, folder)
    environment = launch.kamailio_environment(values)
    with Process(command, log=folder / "kamailio.log", env=environment):
        ask = ["kamcmd", "-s", f"unixs:{folder}/kamailio.ctl", "app_python.api_list"]
        wait_until(lambda: _answer(ask) != "", 15, "Kamailio's control socket")
        return _answer(ask)


def _answer(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 and "methods" in done.stdout else ""


def _stub(functions: list[tuple[str, str, str, str]]) -> str:
    modules: dict[str, list[str]] = defaultdict(list)
    for returns, module, name, params in functions:
        kinds = [kind.strip() for kind in params.split(",") if kind.strip() != "none"]
        arguments = ", ".join(f"p{number}: {_TYPES[kind]}" for number, kind in enumerate(kinds, 1))
        modules[module].append(
            f"def {name}({arguments}{', /' if arguments else ''}) -> {_TYPES[returns]}: ..."
        )
    version = subprocess.run(["kamailio", "-v"], capture_output=True, text=True, check=True).stdout.split()[2]
    lines = [_HEAD.format(version=version)]
    lines += sorted(modules.pop("", []))
    for module, defs in sorted(modules.items()):
        lines += ["", f"class {module}:"]
        for one in sorted(defs):
            lines += ["    @staticmethod", f"    {one}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
