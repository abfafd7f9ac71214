"""What a node sees of itself: metrics of Kamailio, certificates, disks, the audit record."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush import clock, config
from omapush.audit.chain import Entry
from omapush.audit.journal import Journal
from omapush.config import Config
from omapush.health import files, kamailio
from omapush.health.kamailio import SipState
from omapush.push.alarm_rules import Hop
from tests.harness.certificates import certificate

EXPOSITION = """\
# HELP omapush_requests_in_flight
# TYPE omapush_requests_in_flight gauge
omapush_requests_in_flight{sender="0"} 3.000000 1800000000000
omapush_next_hop_paused_until_seconds{hop="192.0.2.1:6060"} 1800000000.500000 1800000000000
omapush_next_hop_down_until_seconds{hop="192.0.2.1:6060"} 0.000000 1800000000000
omapush_next_hop_down_until_seconds{hop="192.0.2.2:6060"} 1800000009.250000 1800000000000
omapush_shmem_free_size 111 1800000000000
omapush_shmem_total_size 222 1800000000000
"""


def configured(**tables: Any) -> Config:
    return config.parse(tables, "test.toml")


def test_memory_and_next_hops_are_read_from_the_metrics() -> None:
    assert kamailio.read(EXPOSITION) == SipState(
        111,
        222,
        (
            Hop("192.0.2.1:6060", 1_800_000_000_500, 0),
            Hop("192.0.2.2:6060", 0, 1_800_000_009_250),
        ),
    )


def test_when_each_process_went_round_is_read_from_the_metrics() -> None:
    text = (
        'omapush_process_seen_seconds{process="sender 0"} 1800000000.250000 1800000000300\n'
        'omapush_process_seen_seconds{process="results 0"} 1800000001.000000 1800000001300\n'
    )
    assert kamailio.rounds(EXPOSITION + text) == {
        "sender 0": "1800000000.250000",
        "results 0": "1800000001.000000",
    }
    assert kamailio.rounds(EXPOSITION) == {}


@given(st.text())
def test_whatever_is_not_our_metrics_says_nothing(text: str) -> None:
    assert kamailio.read(text) == SipState()


@pytest.mark.parametrize("length", range(0, len(EXPOSITION), 7))
def test_metrics_that_are_cut_off_are_read_as_far_as_they_go(length: int) -> None:
    state = kamailio.read(EXPOSITION[:length])

    assert state.memory_total in (0, 2, 22, 222)


def test_certificates_that_are_shown_are_looked_at_and_no_others(tmp_path: Path) -> None:
    certificate(tmp_path)
    file = str(tmp_path / "server.pem")
    other = tmp_path / "other.pem"
    other.write_text("no certificate")
    found = list(
        files.certificates(
            configured(
                tls={"certificate": str(other)},  # no address listens for TLS
                content={"listen": "127.0.0.1:8443", "certificate": file, "private_key": file},
                msrp={"certificate": str(other), "private_key": str(other)},
            )
        )
    )

    assert [one.file for one in found] == [file, str(other)]
    assert 0 < found[0].until_ms - datetime.now(UTC).timestamp() * 1000 <= 3_600_000
    assert found[1].until_ms == 0


def test_disks_are_those_of_the_private_redis_and_of_the_audit_record(tmp_path: Path) -> None:
    audit, sock = tmp_path / "audit", tmp_path / "redis.sock"
    audit.mkdir()
    of_both = configured(redis={"url": f"unix://{sock}"}, audit={"folder": str(audit)})
    elsewhere = configured(
        redis={"url": "redis://192.0.2.1:6379/0"}, audit={"folder": str(tmp_path / "none")}
    )

    assert [one.folder for one in files.disks(of_both)] == [str(tmp_path), str(audit)]
    assert all(0 < one.free <= one.total for one in files.disks(of_both))
    assert list(files.disks(elsewhere)) == []


def test_an_audit_record_whose_last_line_is_not_ours_is_a_problem(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "audit")
    assert journal.problem() == ""
    journal.append([Entry(clock.iso(0), "process/test", "start", "test", "done")])
    assert journal.problem() == ""
    (file,) = (tmp_path / "audit").glob("audit-*.jsonl")
    with file.open("a") as opened:
        opened.write("a foreign line\n")

    assert "not an audit entry" in journal.problem()


def test_a_folder_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")

    assert Journal(tmp_path / "audit" / "deeper").problem() != ""
