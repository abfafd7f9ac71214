"""A Debian 12 in a folder: its own processes, users, services and loopback network, and no other network."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.processes import Process
from tests.harness.wait import wait_until

_BOOTED_WITHIN_S: Final = 60.0
_HALTED_WITHIN_S: Final = 20.0
_COMMAND_WITHIN_S: Final = 120.0
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Services that packages would start while the root is made, on this machine's own network.
_DENY: Final = "#!/bin/sh\nexit 101\n"
_INSTALL: Final = """
set -e
mount -t proc proc /proc
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {packages}
apt-get clean
"""
# The root stays as it is: what the machine writes goes to a folder of its own, and with it.
_BOOT: Final = """
set -e
mount -t tmpfs tmpfs {folder}
mkdir {folder}/changes {folder}/work {folder}/root
mount -t overlay overlay -o lowerdir={base},upperdir={folder}/changes,workdir={folder}/work {folder}/root
exec systemd-nspawn -q -D {folder}/root --machine=omapush-test --register=no --keep-unit --private-network \
    --link-journal=no --console=read-only -b
"""


def make_root(folder: Path, packages: list[str]) -> None:
    """
    Make a small Debian 12 with these packages; a minute or two, and nothing when it is there already.

    Raises:
        CalledProcessError: it could not be made; what was said is in the log beside it.
    """
    made = folder.with_name(f"{folder.name}.packages")
    wanted = " ".join(sorted(packages))
    if made.exists() and made.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with folder.with_name(f"{folder.name}.log").open("wb") as log:
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", str(folder)], check=True, stdout=log, stderr=log
        )
        policy = folder / "usr/sbin/policy-rc.d"
        policy.write_text(_DENY)
        policy.chmod(0o755)
        apart = ["unshare", "--mount", "--pid", "--fork", "chroot", str(folder)]
        install = _INSTALL.format(packages=wanted)
        subprocess.run([*apart, "sh", "-c", install], check=True, stdout=log, stderr=log)
        policy.unlink()
    made.write_text(wanted)


class Machine:
    """A context manager: entering boots it, leaving halts it; nothing of what it wrote is left."""

    def __init__(self, base: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        script = _BOOT.format(base=base, folder=folder)
        self._process = Process(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            log=folder.parent / "boot.log",
        )

    def __enter__(self) -> Self:
        self._process.start()
        try:
            self._process.wait_until(self._is_up, _BOOTED_WITHIN_S, "a booted machine")
        except BaseException:
            self._process.stop(_HALTED_WITHIN_S)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.stop(_HALTED_WITHIN_S)

    def run(self, command: str, *, user: str = "root", check: bool = True) -> str:
        """
        Return what a shell command prints there, errors included.

        Raises:
            AssertionError: it ended with another code than 0, and `check` was not taken back.
        """
        done = self._shell(command, user)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def code(self, command: str) -> int:
        """Return the exit code of a shell command there."""
        return self._shell(command, "root").returncode

    def put(self, file: Path) -> None:
        """Copy a file into /root."""
        shutil.copyfile(file, Path(f"/proc/{self._leader()}/root/root") / file.name)

    def write(self, path: str, text: str) -> None:
        """Write a file there, with its folder."""
        target = Path(f"/proc/{self._leader()}/root{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def wait_for(self, command: str, text: str, deadline_s: float = 30.0) -> None:
        """Return when what a command prints matches a pattern."""
        wait_until(
            lambda: re.search(text, self.run(command, check=False)) is not None,
            deadline_s,
            lambda: f"{text!r} from {command}:\n{self.run(command, check=False)}",
        )

    def _shell(self, command: str, user: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "--target", str(self._leader()), "--all", "--root", "--wd"]
        environment = ["env", "-i", _PATH, "LANG=C.UTF-8", "TERM=dumb", "HOME=/root"]
        as_user = [] if user == "root" else ["runuser", "-u", user, "--"]
        return subprocess.run(
            [*enter, *environment, *as_user, "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_WITHIN_S,
            check=False,
        )

    def _leader(self) -> int:
        """The machine's first process, as it is called here."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        raise ProcessLookupError("no machine")

    def _is_up(self) -> bool:
        try:
            return "running" in self.run("systemctl is-system-running", check=False).split()
        except (ProcessLookupError, FileNotFoundError):
            return False


def why_impossible() -> str:
    """Return why no machine can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""
