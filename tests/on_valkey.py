"""
`make test-valkey`: the tests of the store, and some on the wire, with Valkey where Redis is meant.

The server is the one that is named, else `valkey-server` of this machine, else Debian's own build for
Debian 12, which is in its backports: fetched and verified by apt with lists of our own, and unpacked beside
the checkout without being installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "build/valkey"
SOURCE: Final = "deb http://deb.debian.org/debian bookworm-backports main\n"
PACKAGES: Final = ("valkey-server", "valkey-tools")
TESTS: Final = (
    "tests/store",
    "tests/wire/test_message_out.py",
    "tests/wire/test_kill.py",
    "tests/wire/test_redis_access.py",
    "tests/wire/test_redis_away.py",
    "tests/wire/test_redis_failover.py",
    "tests/wire/test_results.py",
)
"What meets the server in every way that we use it: alone, by Cluster, Sentinel and TLS, killed, away."


def main() -> int:
    """Run the tests, or those that are named; pytest's exit code, 1 when there is no Valkey to be had."""
    parser = argparse.ArgumentParser(prog="make test-valkey")
    parser.add_argument("--server", default="", help="a valkey-server of yours")
    parser.add_argument("tests", nargs="*", default=TESTS)
    asked = parser.parse_args()
    try:
        server = Path(asked.server or shutil.which("valkey-server") or debians()).absolute()
        told = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"test-valkey: no valkey-server: {error}", file=sys.stderr)
        return 1
    if not told.startswith("Valkey"):
        print(f"test-valkey: {server} is no Valkey: {told.strip()}", file=sys.stderr)
        return 1
    print(f"test-valkey: {told.strip()}", flush=True)
    path = f"{stand_in(server)}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "pytest", "-m", "long or not long", *asked.tests]
    return subprocess.run(command, env={**os.environ, "PATH": path}, cwd=ROOT, check=False).returncode


def stand_in(server: Path) -> Path:
    """Return a folder in which `redis-server` is this one: all of ours that starts a Redis finds it there."""
    folder = FOLDER / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "redis-server"
    link.unlink(missing_ok=True)
    link.symlink_to(server)
    return folder


def debians() -> Path:
    """
    Return Debian's server, fetched unless it is there.

    Raises:
        subprocess.CalledProcessError: apt cannot get it, or the signature does not match.
    """
    server = FOLDER / "root/usr/bin/valkey-server"
    if not server.exists():
        lists, cache = FOLDER / "lists", FOLDER / "cache"
        for folder in (lists / "partial", cache / "archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        (FOLDER / "sources.list").write_text(SOURCE)
        # The machine's own lists, sources and packages stay as they are.
        apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={FOLDER / 'sources.list'}"]
        for key, value in (
            ("Dir::Etc::sourceparts", "/dev/null"),
            ("Dir::State::lists", lists),
            ("Dir::Cache", cache),
            ("APT::Sandbox::User", "root"),
        ):
            apt += ["-o", f"{key}={value}"]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "download", *PACKAGES], cwd=FOLDER, check=True)
        for package in FOLDER.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, FOLDER / "root"], check=True)
    return server


if __name__ == "__main__":
    raise SystemExit(main())
