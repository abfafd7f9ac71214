"""Child processes of a test: started with a log, waited for by condition, ended by their own group only."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.wait import POLL_S, wait_until


class ProcessEnded(AssertionError):
    """The process ended before what was waited for happened; the text has its log's end."""


class Process:
    """
    One program in a process group of its own, its output in a log file.

    A context manager: entering starts it, leaving stops it. May be started again after `stop`.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """`env` is added to the environment of the test."""
        self.argv = [str(word) for word in argv]
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the process last started, which is its group's too; LookupError before the start."""
        if self._child is None:
            raise LookupError(f"{self.argv[0]} was never started")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs or was never started; negative for the signal that ended it."""
        if self._child is None or self._child.returncode is not None:
            return None if self._child is None else self._child.returncode
        # Looked at but not reaped before kill(): until then nobody else can get its id, which is its group's.
        ended = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    @property
    def is_running(self) -> bool:
        return self._child is not None and self.exit_code is None

    def start(self) -> Self:
        """Start it, with nothing to read and no terminal; the log is appended to."""
        if self.is_running:
            raise RuntimeError(f"{self.argv[0]} runs already as {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        return self

    def stop(self, patience_s: float = 5.0) -> int | None:
        """End it by TERM, then what is left of its group by KILL; the exit code, None when never started."""
        if self._child is None:
            return None
        if self.is_running:
            os.kill(self._child.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                wait_until(lambda: not self.is_running, patience_s, "end")
        self.kill()
        return self._child.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone; LookupError before the start."""
        os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to it and its children; LookupError before the start."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it and its children at once, as a power cut would."""
        if self._child is None or self._child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def log_text(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        """The log's last lines under the program's name, for a failure's message."""
        return "\n".join([f"--- {self.argv[0]}: {self.log}", *self.log_text().splitlines()[-lines:]])

    def wait_for_line(self, text: str, deadline_s: float = 10.0) -> str:
        """The first line of the log that contains the text, once there is one."""
        self.wait_until(lambda: text in self.log_text(), deadline_s, f"{text!r} in the log")
        return next(line for line in self.log_text().splitlines() if text in line)

    def wait_until(
        self, predicate: Callable[[], bool], deadline_s: float, what: str, *, poll_s: float = POLL_S
    ) -> None:
        """
        Return when the predicate, asked every `poll_s` seconds, holds while this process lives.

        Raises:
            ProcessEnded: It died first.
            TimeoutError: The deadline passed.
        """

        def held() -> bool:
            running = self.is_running  # asked first: what it wrote as its last word still counts
            if predicate():
                return True
            if not running:
                raise ProcessEnded(f"ended with {self.exit_code} before: {what}\n{self.log_tail()}")
            return False

        wait_until(held, deadline_s, lambda: f"{what}\n{self.log_tail()}", poll_s=poll_s)

    def wait_for_exit(self, deadline_s: float) -> int:
        """Its exit code, once it ended by itself."""
        wait_until(lambda: not self.is_running, deadline_s, lambda: f"end of\n{self.log_tail()}")
        code = self.exit_code
        if code is None:
            raise LookupError(f"{self.argv[0]} was never started")
        return code
