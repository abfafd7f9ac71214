"""Kamailio's C presence module as the other side of a ratio, on a MariaDB of its own or in memory."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from bench import full_size
from bench.native import Native
from tests.harness.processes import Process

Kept = Literal["memory", "through", "database"]
"""
Where subscriptions are: in memory only; in memory, and written through to the database; in the database only,
so that any node can go on with any of them, as with us.
"""
_MODES: dict[Kept, int] = {"memory": 0, "through": 1, "database": 3}
_TABLES = Path("/usr/share/kamailio/mysql")


class Presence:
    """A context manager: the module in a Kamailio of its own, on `port` when it has been entered."""

    def __init__(self, folder: Path, kept: Kept) -> None:
        self._folder = folder / f"presence-{kept}"
        self._mode = _MODES[kept]
        self._running = ExitStack()
        self.port = 0

    def __enter__(self) -> Presence:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            environment, defines = self._database() if self._mode else ({}, ())
            native = Native(
                self._folder, "native_presence", full_size.WORKERS, defines=defines, env=environment
            )
            self.port = self._running.enter_context(native).port
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _database(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Start a MariaDB; returns how Kamailio finds it: environment and defines."""
        run = Path(tempfile.mkdtemp(prefix="push-db-"))  # a unix socket's path is short
        self._running.callback(shutil.rmtree, run, ignore_errors=True)
        unix, data = run / "s", self._folder / "data"
        install = Process(
            [
                *("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal"),
                *(f"--user={getpass.getuser()}", f"--datadir={data}", "--skip-test-db"),
            ],
            log=self._folder / "install.log",
        )
        with install:
            assert install.wait_for_exit(60) == 0, install.log_tail()
        server = Process(
            [
                *("mariadbd", "--no-defaults", f"--user={getpass.getuser()}", f"--datadir={data}"),
                *(
                    f"--socket={unix}",
                    f"--pid-file={run / 'pid'}",
                    "--skip-networking",
                    "--skip-grant-tables",
                ),
                # As durable as our append-only file: with the kernel at once, on the disk after a second.
                *("--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=1G"),
            ],
            log=self._folder / "mariadb.log",
        )
        self._running.enter_context(server)
        server.wait_until(unix.exists, 30, "MariaDB")
        self._make_tables(unix)
        defines = ("-A", 'DATABASE="mysql://root@localhost/kamailio"', "-A", f"SUBS_DB_MODE={self._mode}")
        return {"MYSQL_UNIX_PORT": str(unix)}, defines

    def _make_tables(self, unix: Path) -> None:
        script = self._folder / "tables.sql"
        tables = "".join((_TABLES / f"{name}-create.sql").read_text() for name in ("standard", "presence"))
        script.write_text(f"create database kamailio character set latin1; use kamailio;\n{tables}")
        client = Process(
            ["mariadb", "--no-defaults", f"--socket={unix}", "-e", f"source {script}"],
            log=self._folder / "tables.log",
        )
        with client:
            assert client.wait_for_exit(60) == 0, client.log_tail()
