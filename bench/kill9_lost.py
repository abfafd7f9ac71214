"""
kill9_lost: pushes that are lost when any one process is killed under load, 20 times each kind of process.

Four content providers push all the while, and try each push again until an answer says that it is taken. One
device in five answers only what is repeated, so that requests are in flight at any time. Redis, the api, the
notifier and all of Kamailio are killed with their children; of Kamailio one process at a time as well, which
its main process sees and ends the others for.

What counts is what must not be: a push that was accepted and has no final state, that its provider was not
told of or was told otherwise, books that do not balance; and a device or a provider that got again what was
over when the process was killed. What was in flight then may come again, and is counted beside it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import cpu
from bench.figure import Figure
from chaos import verdict
from chaos.load import Provider
from chaos.run import SETTINGS as OF_CHAOS
from chaos.verdict import Verdict
from tests.fakes.initiator import NotificationSink
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import DEFAULTS, PARTS, Settings, Stack
from tests.harness.wait import wait_until

KILLS: Final = int(os.environ.get("OMAPUSH_BENCH_KILLS", "20"))
"Of each kind of process, in all rounds together."
OF_KAMAILIO: Final = ("SIP workers", "senders", "completer results")
"Kinds of its processes, of which one is killed alone."
VICTIMS: Final = (*PARTS, *OF_KAMAILIO)
SETTINGS: Final[Settings] = {**OF_CHAOS, "delivery": DEFAULTS["delivery"]}
"As chaos, with transactions that outlast an outage of Redis: what it has not been told is not sent again."
PROVIDERS: Final = 4
RATE: Final = 100.0
"Pushes a second, of all providers together."
_BETWEEN_S: Final = 1.0
"So that each kill meets a stack at work."
_SETTLE_S: Final = 180.0
_STORED_WITHIN_S: Final = 2.0
"After an answer its result is stored; what has been answered for longer is no more in flight."


@dataclass(frozen=True, slots=True)
class Killed:
    """One kill, in seconds of the monotonic clock."""

    victim: str
    at_s: float
    up_s: float
    "When all ran again."


@dataclass
class Devices:
    """All devices: they answer 200, one in five only to a repetition."""

    answered_s: dict[str, list[float]] = field(default_factory=dict)
    "Reference of a push -> when each of its MESSAGEs got its 200."
    _seen: set[str] = field(default_factory=set)
    _answered: set[str] = field(default_factory=set)

    @property
    def reached(self) -> Counter[str]:
        """Reference of a push -> MESSAGEs that got 200."""
        return Counter({ref: len(times) for ref, times in list(self.answered_s.items())})

    def __call__(self, request: SipText) -> Says | None:
        ref, branch = request.header("Call-ID").partition(".")[0], request.branch
        if int(ref[:4], 16) % 5 == 0 and branch not in self._seen:
            self._seen.add(branch)
            return None
        if request.method == "MESSAGE" and branch not in self._answered:
            self._answered.add(branch)
            self.answered_s.setdefault(ref, []).append(time.monotonic())
        return OK


def measure(folder: Path, rounds: int) -> Figure:
    """Kill; the value is what was lost in all rounds, of which each has its part of the kills."""
    each = -(-KILLS // rounds)
    found = [_round(folder / str(number), each) for number in range(rounds)]
    lost = [float(one.lost) for one in found]
    repeated = sum((one.repeated for one in found), Counter[str]())
    said = (
        f"{each * rounds} kills of each, {sum(one.accepted for one in found):,} pushes; came again, being in "
        f"flight: {', '.join(f'{victim} {repeated[victim]}' for victim in VICTIMS)}; "
        f"notifications {sum(one.told_again for one in found)}"
    )
    return Figure("kill9_lost", sum(lost), "pushes", None, said, tuple(lost))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round brought."""

    accepted: int
    lost: int
    repeated: Counter[str]
    "MESSAGEs that were in flight and came again, by what was killed."
    told_again: int


def _round(folder: Path, kills: int) -> Outcome:
    devices = Devices()
    stack = Stack(folder, SETTINGS, PARTS)
    with NotificationSink() as sink, SipPeer(stack.core_port, policy=devices) as core, stack:
        clients = [Provider(stack, f"p{n}", RATE / PROVIDERS, sink.url) for n in range(PROVIDERS)]
        for client in clients:
            client.start()
        try:
            killed = [_kill(stack, core, victim) for _ in range(kills) for victim in VICTIMS]
        finally:
            for client in clients:
                client.end()
        for client in clients:
            client.join(timeout=60)
        verdict.settle(stack, _SETTLE_S)
        accepted = [push_id for client in clients for push_id in client.accepted]
        judged = verdict.judge(stack, devices, accepted, sink.received)
        again = came_again(devices.answered_s, killed)
        for line in problems(judged):
            print(f"kill9_lost: {line}", flush=True)
        return Outcome(len(accepted), judged.broken + again.pop("", 0), again, judged.told_again)


def problems(judged: Verdict) -> list[str]:
    """Return the first of what must not be, in words."""
    named = {
        "accepted and without a final state": judged.missing,
        "not told": judged.untold,
        "told otherwise than stored": judged.told_otherwise,
        "unbalanced": judged.unbalanced,
    }
    return [f"{what}: {one}" for what, entries in named.items() for one in entries]


def came_again(answered_s: Mapping[str, Sequence[float]], killed: Sequence[Killed]) -> Counter[str]:
    """
    Return how many MESSAGEs came again because of each victim; under no name, those that nothing explains.

    A push is in flight until its result is stored, shortly after its answer. So of two answers the first has
    to be from the time of an outage, or from shortly before it.
    """
    return Counter(
        next((one.victim for one in killed if one.at_s - _STORED_WITHIN_S <= first <= one.up_s), "")
        for times in answered_s.values()
        for first in times[:-1]
    )


def _kill(stack: Stack, core: SipPeer, victim: str) -> Killed:
    """Kill it once it has had something to do, and return when all runs again."""
    arrived = core.arrived
    time.sleep(_BETWEEN_S)
    wait_until(lambda: core.arrived > arrived, 60, f"pushes under way before {victim} is killed")
    part = victim if victim in PARTS else "sip"
    at_s = time.monotonic()
    if victim in PARTS:
        stack.kill(part)
    else:
        os.kill(_process_of(stack, victim), signal.SIGKILL)
        wait_until(lambda: not stack.parts[part].is_running, 30, f"the end of Kamailio without its {victim}")
    stack.start(part)
    return Killed(victim, at_s, time.monotonic())


def _process_of(stack: Stack, kind: str) -> int:
    """Return one process of Kamailio of that kind."""
    command = ["kamcmd", "-s", f"unixs:{stack.control}", "core.psx"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - words of ours
    return next(pid for pid, found in cpu.kinds(said.stdout).items() if found == kind)
