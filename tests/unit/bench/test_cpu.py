"""What one push costs is told by kind of process."""

import os
import time

from bench import cpu
from bench.cpu import CpuTime

CORE_PSX = """{
	IDX: 1
	PID: 11
	DSC: udp receiver child=0 sock=127.0.0.1:5070
}
{
	IDX: 5
	PID: 12
	DSC: slow timer
}
{
	IDX: 13
	PID: 13
	DSC: RTIMER EXEC child=0 timer=results
}
{
	IDX: 15
	PID: 14
	DSC: RTIMER EXEC child=1 timer=sender
}
{
	IDX: 17
	PID: 15
	DSC: tcp receiver (generic) child=0
}
"""


def test_processes_of_kamailio_are_known_by_what_they_do() -> None:
    assert cpu.kinds(CORE_PSX) == {
        11: "SIP workers",
        13: "completer results",
        14: "senders",
        15: "SIP workers",
    }


def test_the_time_that_a_session_uses_is_counted() -> None:
    spent = CpuTime({"us": os.getsid(0)})
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass

    per_one = spent.per_one_us(10)

    assert per_one["us"] >= 9_000
    assert per_one["all"] == per_one["us"]


def test_the_middle_of_rounds_is_taken_for_each_kind() -> None:
    rounds = [{"senders": 1.0}, {"senders": 5.0, "SIPp": 3.0}, {"senders": 2.0, "SIPp": 3.0}]

    assert cpu.middle(rounds) == {"senders": 2.0, "SIPp": 3.0}
