"""What is counted as lost when processes are killed, and what as a repetition of what was in flight."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import kill9_lost
from bench.kill9_lost import Devices, Killed
from chaos.verdict import Verdict
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK

KILLED = [Killed("sip", 100.0, 104.0), Killed("redis", 200.0, 201.0)]


def message(ref: str, branch: str) -> SipText:
    via = f"Via: SIP/2.0/UDP a;branch={branch}"
    return SipText.parse(f"MESSAGE sip:a@b SIP/2.0\r\n{via}\r\nCall-ID: {ref}.0@x\r\n\r\n".encode())


def test_a_device_in_five_answers_a_repetition_alone_and_each_request_counts_once() -> None:
    devices = Devices()
    slow, quick = message("0005aa", "z9hG4bK1"), message("0001aa", "z9hG4bK2")

    assert [devices(slow), devices(slow), devices(slow)] == [None, OK, OK]
    assert devices(quick) == OK
    assert devices.reached == Counter({"0005aa": 1, "0001aa": 1})
    assert devices(message("0001aa", "z9hG4bK3")) == OK
    assert devices.reached["0001aa"] == 2


@pytest.mark.parametrize(
    ("answered", "because_of"),
    [
        ([50.0], []),
        ([99.0, 110.0], ["sip"]),  # its result was not stored yet
        ([103.9, 110.0], ["sip"]),  # answered to nobody
        ([97.0, 110.0], [""]),  # long stored
        ([105.0, 110.0], [""]),  # nothing had been killed
        ([99.5, 200.5, 210.0], ["sip", "redis"]),
        ([99.5, 150.0, 210.0], ["sip", ""]),
    ],
)
def test_what_comes_again_was_in_flight_or_is_a_fault(answered: list[float], because_of: list[str]) -> None:
    assert kill9_lost.came_again({"a": answered}, KILLED) == Counter(because_of)


def test_each_promise_that_was_not_kept_counts_and_is_named() -> None:
    judged = Verdict(9, Counter(), ["a", "b"], ["c"], ["d: told"], ["e"], repeated=7)

    assert judged.broken == 5
    assert len(kill9_lost.problems(judged)) == 5
    assert kill9_lost.problems(judged)[0] == "accepted and without a final state: a"
    assert Verdict(9, Counter(), repeated=7).faultless
