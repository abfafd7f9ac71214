"""SIPp as the SIP peer that shares none of our code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.ports import free_port, is_bound
from tests.harness.processes import Process

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario ended."""

    exit_code: int
    "0: every call went as the scenario says; 1: one did not; 97: its deadline came; 255: it gave up."
    messages: str
    "Each message sent and received, as SIPp traced it."
    errors: str
    "What SIPp held against the peer, empty when nothing."

    def __str__(self) -> str:
        return f"SIPp ended with {self.exit_code}\n{self.errors}\n{self.messages}"


class Sipp:
    """
    One run of one scenario, in the background while the context lasts.

    Without `to` it waits for calls on `local_port`, and entering returns when it can take them.
    Traces stay in `folder`.
    """

    def __init__(
        self,
        scenario: Path,
        *,
        folder: Path,
        to: Address | None = None,
        local_ip: str = "127.0.0.1",
        local_port: int | None = None,
        calls: int = 1,
        rate: float | None = None,
        keys: Mapping[str, str] | None = None,
        inf: Sequence[Sequence[str]] | None = None,
        tcp: bool = False,
        deadline_s: float = 10.0,
    ) -> None:
        """`keys` fill `[name]` of the scenario, the rows of `inf` fill `[field0]` and on, a row a call."""
        self.port = local_port or free_port()
        self.deadline_s = deadline_s
        self._waits_for_calls = to is None
        folder.mkdir(parents=True, exist_ok=True)
        trace = f"{scenario.stem}-{self.port}"
        self._messages = folder / f"{trace}.messages"
        self._errors = folder / f"{trace}.errors"
        rows = folder / f"{trace}.csv"
        if inf is not None:
            rows.write_text(_injection(inf))
        self._process = Process(
            [
                *("sipp", "-sf", scenario, "-i", local_ip, "-p", str(self.port), "-m", str(calls)),
                *("-nostdin", "-t", "t1" if tcp else "u1", "-timeout", f"{deadline_s}s", "-timeout_error"),
                *("-trace_msg", "-message_file", self._messages, "-trace_err", "-error_file", self._errors),
                *(("-r", f"{rate:g}") if rate else ()),
                *(("-inf", rows) if inf is not None else ()),
                *(word for name, value in (keys or {}).items() for word in ("-key", name, value)),
                *((f"{to[0]}:{to[1]}",) if to else ()),
            ],
            log=folder / f"{trace}.screen",
            env={"TERM": "dumb"},
            cwd=folder,
        )

    def __enter__(self) -> Self:
        self._process.start()
        try:
            if self._waits_for_calls:
                self._process.wait_until(lambda: is_bound(self.port), 5, f"SIPp on port {self.port}")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.stop()

    def finish(self) -> Outcome:
        """The outcome, once SIPp ended by itself; TimeoutError when even its own deadline did not end it."""
        code = self._process.wait_for_exit(self.deadline_s + 5)
        screen = "" if code == 0 else self._process.log_tail()
        return Outcome(code, _read(self._messages), _read(self._errors) + screen)

    def run(self) -> Outcome:
        """Play the scenario to its end."""
        with self:
            return self.finish()

    def messages(self) -> str:
        """The trace so far."""
        return _read(self._messages)


def _injection(rows: Sequence[Sequence[str]]) -> str:
    """SIPp's injection file: the order of use in the first line, then fields between semicolons."""
    if any(";" in field or "\n" in field for row in rows for field in row):
        raise ValueError("a SIPp injection field cannot hold a semicolon or a line end")
    return "".join(f"{line}\n" for line in ("SEQUENTIAL", *(";".join(row) for row in rows)))


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
